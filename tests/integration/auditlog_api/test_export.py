"""`audit_export`: what it writes, for whom, what it tells of itself, and that nothing half looks whole."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog.exporting import walk
from auditlog.roles import Role
from tests.conftest import ConnectAs, Events, WaitUntil
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 120
RECORD = "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'auditlog_record'"
# A row for each second from a month ago on, with an image of about a kilobyte.
MANY = """
INSERT INTO auditlog_auditlog
    (event_id, occurred_at, model, object_pk, action, category, after, topic, partition, "offset", sequence)
SELECT overlay(overlay(auditlog_uuid_floor(at)::text PLACING '7' FROM 15)
        PLACING lpad(to_hex(number), 12, '0') FROM 25)::uuid,
    at, 'doctors.doctor', number::text, 'create', 'write', jsonb_build_object('text', repeat(md5(number::text), 30)),
    't', 0, number, '1'
FROM generate_series(1, %s) number, LATERAL (SELECT now() - interval '28 days' + number * interval '1 second') a (at)
"""


def export(*arguments: str) -> None:
    """Run the command."""
    call_command("audit_export", "--reason", "Review 4", *arguments, stdout=StringIO())


def started(*arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
    """Start the command as an operator does."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "audit_export", "--reason", "Review 4", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test"},
        stderr=subprocess.PIPE,
        **pipes,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of NDJSON."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def told(events: Events) -> list[dict[str, Any]]:
    """Return the events of exports since the last call."""
    return [event["audit"] for event in events() if event["audit"]["action"] == "audit_log_exported"]


def test_an_export_holds_the_events_as_the_api_shows_them_and_ends_with_their_digest(
    client: APIClient, store: Store, tmp_path: Path
) -> None:
    ids = [
        store(3, occurred_at=NEWEST - timedelta(days=45)),
        store(2, reason='=1+1\n"x"', remote_addr="192.0.2.7", masked=Jsonb(["tax_id"]), subjects=["doctors.patient:1"]),
        store(1, before=Jsonb({"fee": "1.10"}), after=Jsonb({"n": 1}), actor=Jsonb({"id": "7", "repr": "ada"})),
    ]
    export("--output", str(tmp_path / "all"), "--from", "2001-01-01T00:00:00Z")
    *found, trailer = lines(tmp_path / "all")
    shown = [client.get(f"/api/audit/v1/events/{event_id}/").json() for event_id in ids]
    assert found == shown
    content = b"".join((tmp_path / "all").read_bytes().splitlines(keepends=True)[:-1])
    assert (trailer["type"], trailer["rows"]) == ("audit_export.trailer", 3)
    assert trailer["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_table_has_its_digest_beside_it(store: Store, tmp_path: Path) -> None:
    store(2, reason="=cmd|' /C calc'!A0", object_repr='@x\r\n,"y"')
    store(1, object_repr=None)
    path = tmp_path / "events.csv"
    export("--format", "csv", "--output", str(path))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [(row["reason"], row["object_repr"]) for row in rows] == [
        ("'=cmd|' /C calc'!A0", "'@x\r\n,\"y\""), ("", "")
    ]  # fmt: skip
    assert json.loads(rows[0]["changes"]) == {"email": ["a@example.org", "b@example.org"]}
    trailer = json.loads((tmp_path / "events.csv.digest").read_text(encoding="utf-8"))
    assert (trailer["rows"], trailer["sha256"]) == (2, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_filter_chooses_as_in_the_api(store: Store, tmp_path: Path) -> None:
    store(3, action="create")
    store(2, action="update", actor_id="7")
    store(1, action="delete", model="doctors.patient")
    body = tmp_path / "query.json"
    body.write_text(json.dumps({"filter": {"not": {"field": "action", "in": ["create", "delete"]}}}), encoding="utf-8")
    for number, arguments in enumerate(
        (
            ["--where", "action=update"],
            ["--where", "not.model=doctors.patient", "--where", "not.action=create"],
            ["--query", str(body)],
        )
    ):
        export(*arguments, "--output", str(tmp_path / str(number)))
        *found, trailer = lines(tmp_path / str(number))
        assert ([one["action"] for one in found], trailer["rows"]) == (["update"], 1)
    assert trailer["filter"] == {"not": {"field": "action", "in": ["create", "delete"]}}


def test_months_and_batches_are_walked_through_without_a_gap(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "BATCH_ROWS", 2)
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    moments = [first - timedelta(days=40), first - timedelta(microseconds=1), *[first] * 5, first + timedelta(hours=1)]
    ids = [str(store(occurred_at=moment)) for moment in moments if moment <= datetime.now(UTC)]
    export("--output", str(tmp_path / "all"))
    found = [one["event_id"] for one in lines(tmp_path / "all")[:-1]]
    assert (sorted(found), len(found)) == (sorted(ids), len(ids))
    until = (first + timedelta(minutes=1)).isoformat()
    export("--output", str(tmp_path / "some"), "--from", first.isoformat(), "--to", until)
    assert len(lines(tmp_path / "some")) == 5 + 1


def test_an_export_is_told_before_its_first_byte_and_at_its_end(store: Store, tmp_path: Path, events: Events) -> None:
    store()
    export("--output", str(tmp_path / "all"), "--where", "reason=a\x1b[31m\nlog.forged")
    begun, finished = told(events)
    assert [(one["data"]["state"], one["data"]["rows"]) for one in (begun, finished)] == [
        ("begun", None),
        ("finished", 0),
    ]
    assert (begun["data"]["sha256"], finished["data"]["sha256"]) == (None, lines(tmp_path / "all")[-1]["sha256"])
    assert (finished["reason"], finished["category"], finished["data"]["principal"]) == (
        "Review 4", "read", "command:audit_export"
    )  # fmt: skip
    assert finished["data"]["asked"]["filter"] == {"field": "reason", "in": ["a\x1b[31m\nlog.forged"]}


def test_nothing_is_exported_that_cannot_be_told(store: Store, tmp_path: Path, connect_as: ConnectAs) -> None:
    store()
    owner = connect_as(Role.OWNER)
    (function,) = owner.execute(RECORD.encode()).fetchone() or ("",)
    owner.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM auditlog_app".encode())
    try:
        with pytest.raises(CommandError, match="could not be recorded"):
            export("--output", str(tmp_path / "all"))
    finally:
        owner.execute(f"GRANT EXECUTE ON FUNCTION {function} TO auditlog_app".encode())
    assert list(tmp_path.iterdir()) == []


def test_an_export_with_the_rights_of_a_user_holds_what_the_user_may_see(
    store: Store, user_of: UserOf, tmp_path: Path, events: Events
) -> None:
    auditor, stranger = user_of("auditor"), user_of("stranger", auditor=False)
    store(1, actor_id=str(auditor.pk))
    for name, message in (("stranger", "may not export"), ("nobody", "no such user")):
        with pytest.raises(CommandError, match=message):
            export("--as", name, "--output", str(tmp_path / "none"))
    assert (list(tmp_path.iterdir()), told(events)) == ([], [])
    for codename in ("read_own", "export"):
        stranger.user_permissions.add(Permission.objects.get(codename=codename))
    store(2, actor_id=str(stranger.pk), classes=Jsonb({"health": ["email"]}))
    export("--as", "stranger", "--output", str(tmp_path / "own"))
    (event,) = lines(tmp_path / "own")[:-1]
    assert event["changes"] == {"email": [{"$redacted": "health"}] * 2}
    assert (event["redacted"], lines(tmp_path / "own")[-1]["policy_filters"]) == (["email"], ["own"])
    assert told(events)[-1]["data"]["principal"] == f"user:{stranger.pk}"
    export("--as", "auditor", "--output", str(tmp_path / "all"))
    assert len(lines(tmp_path / "all")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", " \n"], "must say why"),
        (["--where", "nothing=1"], "Known here"),
        (["--where", "action"], "empty"),
        (["--from", "yesterday"], "ISO 8601"),
        (["--query", "/nowhere"], "cannot be read"),
        (["--digest-file", "x"], "is for csv"),
        (["--where", "model=a.b", "--query", "-"], "not both"),
        (["--output", "/nowhere/x"], "is not whole"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        export(*arguments)


def test_a_file_that_is_there_is_not_replaced(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "all"
    path.write_bytes(b"theirs")
    with pytest.raises(CommandError, match="is there already"):
        export("--output", str(path))
    assert path.read_bytes() == b"theirs"


@pytest.mark.processes
def test_a_table_alone_goes_to_the_output_and_its_digest_to_standard_error(store: Store) -> None:
    beginnings = ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r\n=1", "\uff1d1", "'=1", "plain"]
    for number, text in enumerate(beginnings):
        store(number, object_repr=text, reason=text, actor=Jsonb({"id": text}), changes=Jsonb({text: [text, None]}))
    process = started("--format", "csv", "--where", "model=doctors.doctor", stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err

    rows = list(csv.DictReader(StringIO(out.decode(), newline=""), strict=True))
    assert [row["reason"].removeprefix("'") for row in rows] == beginnings[::-1]
    cells = [cell for row in rows for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n\uff1d"))] == []
    assert {row["reason"] for row in rows if row["reason"][0] != "'"} == {"plain"}
    (trailer,) = map(json.loads, err.decode().splitlines())
    assert (trailer["rows"], trailer["sha256"]) == (len(beginnings), hashlib.sha256(out).hexdigest())


@pytest.mark.processes
def test_a_reader_who_goes_away_ends_an_export_that_is_not_whole(store: Store, events: Events) -> None:
    store(reason="x" * 900)
    process = started("--format", "csv", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1, err
    assert (b"is not whole" in err, b"sha256" in err) == (True, False)
    assert [one["data"]["state"] for one in told(events)] == ["begun", "broken_off"]


@pytest.mark.processes
def test_a_signal_leaves_no_file_that_looks_whole(
    store: Store, tmp_path: Path, connect_as: ConnectAs, wait_until: WaitUntil, events: Events
) -> None:
    store()
    owner, watcher = connect_as(Role.OWNER), connect_as(Role.OWNER)
    with owner.transaction():
        owner.execute("LOCK TABLE auditlog_auditlog IN ACCESS EXCLUSIVE MODE")
        process = started("--format", "csv", "--output", str(tmp_path / "events.csv"))
        wait_until(
            lambda: watcher.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'auditlog_auditlog'::regclass"
            ).fetchone()
        )
        assert [path.name.endswith(".partial") for path in tmp_path.iterdir()] == [True, True]
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "Stopped before the end" in err.decode()
    assert [one["data"]["state"] for one in told(events)] == ["begun", "broken_off"]


@pytest.mark.processes
def test_a_large_export_needs_no_more_memory_than_a_small_one(
    store: Store, tmp_path: Path, connect_as: ConnectAs
) -> None:
    owner = connect_as(Role.OWNER)

    def peak_kilobytes(path: Path) -> int:
        with path.open("wb") as file, started("--where", "model=doctors.doctor", stdout=file) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss

    owner.execute(MANY.encode(), [500])
    small = peak_kilobytes(tmp_path / "small")
    owner.execute(b"TRUNCATE auditlog_auditlog")
    owner.execute(MANY.encode(), [40_000])
    large = peak_kilobytes(tmp_path / "large")
    with (tmp_path / "large").open("rb") as file:
        rows = sum(1 for _ in file)
    assert (rows, (tmp_path / "large").stat().st_size > 40_000_000) == (40_001, True)
    assert large - small < 16_000
