"""The demo's story, and the file that it is about."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from doctors.models import Doctor
from tests.conftest import Events

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = "--rows=40"


def demo() -> list[dict[str, Any]]:
    output = io.StringIO()
    call_command("demo", "--json", ROWS, stdout=output, stderr=io.StringIO())
    users: list[dict[str, Any]] = json.loads(output.getvalue())["users"]
    return users


def test_the_demo_lets_several_people_do_several_things(events: Events) -> None:
    demo()

    done = {
        (event["audit"]["actor"]["repr"], event["audit"]["model"], event["audit"]["action"])
        for event in events()
        if event["audit"]["actor"]
    }
    assert {
        ("m.okonkwo", "doctors.doctor", "update"),
        ("m.okonkwo", "doctors.appointment", "booked"),
        ("m.okonkwo", "doctors.appointment", "update"),
        ("m.okonkwo", "doctors.appointment", "cancelled"),
        ("s.lindqvist", "doctors.appointment", "cancelled"),
        ("s.lindqvist", "doctors.doctor", "m2m.add"),
        ("s.lindqvist", "doctors.doctor", "m2m.remove"),
        ("s.lindqvist", "doctors.doctor", "deactivated"),
        ("s.lindqvist", "doctors.doctor", "activated"),
        ("doctor-admin", "doctors.doctor", "delete"),
    } <= done


def test_the_demo_prints_credentials_that_work_and_can_be_repeated() -> None:
    first, second = demo(), demo()

    assert [user["username"] for user in second] == ["auditor", "doctor-admin"]
    auditor, admin = second
    assert auditor["permissions"] == ["auditlog.view_auditlog"]
    assert auditor["api_key"]
    assert admin["api_key"] is None
    assert "doctors.delete_doctor" in admin["permissions"]
    for old, new in zip(first, second, strict=True):
        assert authenticate(username=new["username"], password=old["password"]) is None
        user = authenticate(username=new["username"], password=new["password"])
        assert user is not None
        assert user.has_perms(new["permissions"])
    assert get_user_model().objects.count() == 4


def test_a_generated_file_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path in paths:
        call_command("generate_clinicians", str(path), "--rows=25", "--seed=5", stdout=io.StringIO())

    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(paths[0].read_text(encoding="utf-8").splitlines()) == 26


@pytest.mark.parametrize("arguments", [["--rows=0"], ["--rows=10000001"]])
def test_an_absurd_number_of_rows_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--rows must be"):
        call_command("generate_clinicians", str(tmp_path / "x.csv"), *arguments)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("generate_clinicians", str(tmp_path / "no" / "x.csv"))
    assert not Doctor.objects.exists()
