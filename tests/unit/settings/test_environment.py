"""Reading the environment: every problem is noted, no secret is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from settings.env import Environment


@pytest.fixture
def env() -> Environment:
    return Environment()


def test_every_problem_is_named_at_once(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWS", "many")
    monkeypatch.setenv("FLAG", "perhaps")
    monkeypatch.setenv("PREFIX", "a b")
    env.production = True

    assert env.integer("ROWS", default=5) == 5
    assert env.boolean("FLAG", default=True) is True
    assert env.matching("PREFIX", "[a-z]+", default="audit", expectation="letters") == "audit"
    assert env.text("SECRET", required=True) == ""
    with pytest.raises(ImproperlyConfigured) as raised:
        env.check()
    assert str(raised.value).splitlines() == [
        "Environment variables are missing or wrong:",
        "  FLAG: must be true or false, not 'perhaps'",
        "  PREFIX: must be letters, not 'a b'",
        "  ROWS: must be a whole number from 0 to 2147483647, not 'many'",
        "  SECRET: is not set",
    ]


@pytest.mark.parametrize(
    "raw", ["http://:hunter2@here", "redis://", "redis://:hunter2@[here", "redis://:hunter2@here:x"]
)
def test_an_address_that_may_hold_a_password_is_not_repeated(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str
) -> None:
    monkeypatch.setenv("CACHE_URL", raw)
    assert env.secret_url("CACHE_URL", schemes=("redis",), example="redis://host:6379/0") == ""
    assert env.problems == {"CACHE_URL": "must look like redis://host:6379/0"}


def test_an_address_is_returned_as_it_was_given(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.secret_url("CACHE_URL", schemes=("redis",), example="redis://host") == ""
    monkeypatch.setenv("CACHE_URL", "redis://:secret@here:6379/1")
    assert env.secret_url("CACHE_URL", schemes=("redis",), example="redis://host") == "redis://:secret@here:6379/1"
    assert env.problems == {}


def test_nothing_wrong_is_no_error(env: Environment) -> None:
    env.text("SECRET", required=True)
    env.check()
    assert env.problems == {}


@pytest.mark.parametrize("raw", ["", "  ", "1.5", "1e3", "-1", "11", "0x5", "٣x", "9" * 5_000])
def test_a_number_is_whole_and_within_its_bounds(env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("ROWS", raw)

    assert env.integer("ROWS", default=7, minimum=1, maximum=10) == 7
    assert ("ROWS" in env.problems) == bool(raw.strip())


@pytest.mark.parametrize(("raw", "expected"), [("0", 0), ("0.25", 0.25), ("10", 10), ("", 0.1)])
def test_a_number_may_have_decimals(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str, expected: float
) -> None:
    monkeypatch.setenv("STEP", raw)

    assert env.number("STEP", default=0.1, minimum=0, maximum=10) == expected
    assert env.problems == {}


@pytest.mark.parametrize("raw", ["-0.1", "10.01", "nan", "inf", "0,1", "x", "9" * 5_000])
def test_a_number_with_decimals_is_within_its_bounds(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str
) -> None:
    monkeypatch.setenv("STEP", raw)

    assert env.number("STEP", default=0.1, minimum=0, maximum=10) == 0.1
    assert env.problems == {"STEP": f"must be a number from 0 to 10, not {raw[:40]!r}"}


@pytest.mark.parametrize(
    ("raw", "expected"), [("1", True), ("YES", True), (" on ", True), ("0", False), ("No", False), ("", True)]
)
def test_a_truth_value_has_eight_words(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str, expected: bool
) -> None:
    monkeypatch.setenv("FLAG", raw)

    assert env.boolean("FLAG", default=True) is expected
    assert env.problems == {}


@pytest.mark.parametrize(
    "raw",
    ["mysql://u:hunter2@h/x", "postgres://u:hunter2@h", "postgres://u:hunter2@h:x/y", "postgres://u:hunter2@[::1/x",
     "hunter2", "postgres://u:hunter2@h:99999/x"],
)  # fmt: skip
def test_a_bad_database_address_is_named_without_its_password(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str
) -> None:
    monkeypatch.setenv("SOME_URL", raw)

    assert env.database("SOME_URL", default="") is None
    assert env.problems == {"SOME_URL": "must look like postgres://user:password@host:port/name"}


def test_a_database_address_is_read_whole(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_URL", "postgresql://ann:p%40ss@db.example:6543/clinic?sslmode=require")

    found = env.database("SOME_URL", default="")
    assert found is not None
    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("ann", "p@ss", "db.example")
    assert (found["PORT"], found["NAME"], found["OPTIONS"]) == ("6543", "clinic", {"sslmode": "require"})
    assert env.database("ANOTHER_URL", default="") is None
    assert env.problems == {}


def test_a_secret_comes_out_of_a_file(env: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\n", encoding="utf-8")
    monkeypatch.setenv("SECRET", "not this one")
    monkeypatch.setenv("SECRET_FILE", str(path))

    assert env.text("SECRET") == "hunter2"


def test_a_value_out_of_a_file_is_never_shown(
    env: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("ROWS_FILE", str(path))

    assert env.integer("ROWS", default=5) == 5
    assert env.problems == {"ROWS": "must be a whole number from 0 to 2147483647"}


def test_a_file_that_cannot_be_read_is_a_problem(
    env: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    garbled = tmp_path / "garbled"
    garbled.write_bytes(b"hunter2\xff")
    monkeypatch.setenv("MISSING_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("FOLDER_FILE", str(tmp_path))
    monkeypatch.setenv("GARBLED_FILE", str(garbled))

    assert [env.text(name, default="d") for name in ("MISSING", "FOLDER", "GARBLED")] == ["d", "d", "d"]
    assert "No such file" in env.problems["MISSING"]
    assert "Is a directory" in env.problems["FOLDER"]
    assert env.problems["GARBLED"] == "GARBLED_FILE is not UTF-8"


@pytest.mark.parametrize("secret", ["$HOME", "$", r"\$x", "a,b", "#x", "'x'", "(x)=y"])
def test_a_secret_is_taken_as_it_stands(env: Environment, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("SECRET", secret)

    assert env.text("SECRET") == secret


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("https://a.example, http://b.example:8000", False),
        ("a.example", True),
        ("https://a.example/x", True),
        ("", False),
    ],
)
def test_an_origin_has_a_scheme_and_no_path(
    env: Environment, monkeypatch: pytest.MonkeyPatch, raw: str, problem: bool
) -> None:
    monkeypatch.setenv("ORIGINS", raw)

    found = env.origins("ORIGINS")
    assert bool(env.problems) is problem
    assert found == ([] if problem or not raw else ["https://a.example", "http://b.example:8000"])
