"""What a process does with its environment when it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
SECRET = "a-key-for-this-test-only-0123456789-abcdefghijklmnopqrstuvwxyz"
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "settings.production",
    "DJANGO_SECRET_KEY": SECRET,
    "DJANGO_ALLOWED_HOSTS": "audit.example",
    "DATABASE_URL": "postgres://check@127.0.0.1/check",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
}
ENTRY_POINTS = ("settings.wsgi", "settings.asgi")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with nothing but these variables in its environment."""
    # A folder without the state of a local stack.
    environment = {"PATH": os.environ["PATH"], "DEVSTACK_DATA_DIR": "no-such-folder", **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_bad_values_are_all_named_and_nothing_starts() -> None:
    refused = run(
        "manage.py",
        "check",
        DJANGO_SETTINGS_MODULE="settings.local",
        DATABASE_URL="mysql://ann:hunter2@h/x",
        AUDIT_DATABASE_URL="hunter2",
        KAFKA_TOPIC_PARTITIONS="some",
        KAFKA_TOPIC_PREFIX="a b",
        KAFKA_SECURITY_PROTOCOL="TLS",
        AUDITLOG_CID_HEADER="X Request:ID",
        AUDITLOG_DEFAULT_WINDOW_DAYS="0",
        AUDITLOG_TRUSTED_PROXIES="1e3",
        DATABASE_BEHIND_PGBOUNCER="perhaps",
        DATA_UPLOAD_MAX_MEMORY_BYTES="9" * 30,
        DJANGO_CSRF_TRUSTED_ORIGINS="audit.example",
        LOG_FORMAT="xml",
    )

    assert refused.returncode == 2
    first, *lines = refused.stderr.splitlines()
    assert first == "Configuration error. Environment variables are missing or wrong:"
    assert [line.strip().partition(":")[0] for line in lines] == [
        "AUDITLOG_CID_HEADER", "AUDITLOG_DEFAULT_WINDOW_DAYS", "AUDITLOG_TRUSTED_PROXIES", "AUDIT_DATABASE_URL",
        "DATABASE_BEHIND_PGBOUNCER", "DATABASE_URL", "DATA_UPLOAD_MAX_MEMORY_BYTES", "DJANGO_CSRF_TRUSTED_ORIGINS",
        "KAFKA_SECURITY_PROTOCOL", "KAFKA_TOPIC_PARTITIONS", "KAFKA_TOPIC_PREFIX", "LOG_FORMAT",
    ]  # fmt: skip
    assert "hunter2" not in refused.stderr + refused.stdout


@pytest.mark.parametrize("arguments", [("manage.py", "check"), *(("-c", f"import {name}") for name in ENTRY_POINTS)])
def test_production_starts_with_nothing_missing(arguments: tuple[str, ...]) -> None:
    refused = run(*arguments, DJANGO_SETTINGS_MODULE="settings.production")

    assert refused.returncode != 0
    named = [line.strip() for line in refused.stderr.splitlines() if line.endswith(": is not set")]
    assert named == [
        "DATABASE_URL: is not set",
        "DJANGO_ALLOWED_HOSTS: is not set",
        "DJANGO_SECRET_KEY: is not set",
        "KAFKA_BOOTSTRAP_SERVERS: is not set",
    ]


def test_production_reads_its_secrets_out_of_files(tmp_path: Path) -> None:
    for name in ("DJANGO_SECRET_KEY", "DATABASE_URL"):
        (tmp_path / name).write_text(PRODUCTION[name] + "\n", encoding="utf-8")
    files = {f"{name}_FILE": str(tmp_path / name) for name in ("DJANGO_SECRET_KEY", "DATABASE_URL")}
    plain = {name: value for name, value in PRODUCTION.items() if f"{name}_FILE" not in files}
    shown = "from django.conf import settings; print(settings.SECRET_KEY, settings.DATABASES['audit']['USER'])"

    assert run("-c", shown, **plain, **files).stdout == f"{SECRET} check\n"


def test_production_names_no_value_of_a_bad_secret(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("hunter2", encoding="utf-8")
    (tmp_path / "key").write_bytes(b"hunter2\xff")

    refused = run(
        "manage.py",
        "check",
        DJANGO_SETTINGS_MODULE="settings.production",
        DATABASE_URL_FILE=str(tmp_path / "url"),
        DJANGO_SECRET_KEY_FILE=str(tmp_path / "key"),
        AUDITLOG_TRUSTED_PROXIES_FILE=str(tmp_path / "url"),
    )

    assert refused.returncode == 2
    assert all(name in refused.stderr for name in ("DATABASE_URL", "DJANGO_SECRET_KEY", "AUDITLOG_TRUSTED_PROXIES"))
    assert "hunter2" not in refused.stderr + refused.stdout


def test_production_passes_djangos_deployment_checks() -> None:
    checked = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout


def test_production_logs_one_json_object_a_line() -> None:
    script = (
        "import django, logging, structlog; django.setup(); "
        "structlog.get_logger('ours').warning('some.event', count=3, text='two\\nlines'); "
        "logging.getLogger('library').error('in words')"
    )

    first, second = map(json.loads, run("-c", script, **PRODUCTION).stderr.splitlines())

    assert (first["event"], first["level"], first["count"], first["text"]) == ("some.event", "warning", 3, "two\nlines")
    assert (second["event"], second["level"], second["logger"]) == ("in words", "error", "library")
    assert first["timestamp"].endswith("Z")


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_an_entry_point_is_an_application(module: str) -> None:
    shown = f"import {module}; print(type({module}.application).__mro__[1].__name__)"
    started = run("-c", shown, **PRODUCTION)

    assert started.stdout == f"{module.rpartition('.')[2].upper()}Handler\n", started.stderr


def test_an_embedded_relay_without_an_address_of_its_own_is_refused_by_name() -> None:
    refused = run("manage.py", "check", **PRODUCTION, RELAY_EMBEDDED="true")

    assert refused.returncode != 0
    assert "RELAY_DATABASE_URL: is not set, and RELAY_EMBEDDED needs it" in refused.stderr
