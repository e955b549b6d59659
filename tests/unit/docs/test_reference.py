"""The reference has every member of what operators, dashboards and other services rely on, and no other."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from django.core.management import load_command_class
from django.core.management.base import BaseCommand
from prometheus_client.metrics import MetricWrapperBase

import auditlog.metrics
import consumers.metrics
import doctors.background.metrics
import publishers.metrics
from auditlog.api.parameters import LIST
from auditlog.api.problems import Code
from auditlog.api.serializers import DETAIL_FIELDS
from auditlog.capture.statement import LINK_EVENTS
from auditlog.metrics import UncapturedReason
from auditlog.registry import AuditlogRegistry
from auditlog.roles import FUNCTIONS, OWN_PREFIXES, OWN_TABLES, Role
from auditlog.vocabulary import Action, ActorType, BulkPolicy, Category, FieldClass, Operation
from consumers.decode import Decoded, Horizon, decode
from consumers.reasons import DeadLetterReason
from consumers.records import Partition, Record
from doctors.background.metrics import Attempt
from publishers.metrics import GivenUp, TopicTrouble
from tests.unit.docs.documents import CODE, ROOT, reference, sources

PACKAGES = ("auditlog", "publishers", "consumers", "doctors", "devstack")
METRICS = {
    metric._name + ("_total" if metric._type == "counter" else ""): metric
    for module in (auditlog.metrics, publishers.metrics, consumers.metrics, doctors.background.metrics)
    for metric in vars(module).values()
    if isinstance(metric, MetricWrapperBase)
}
COMMANDS = {
    path.stem: package
    for package in PACKAGES
    for path in (ROOT / package / "management" / "commands").glob("[a-z]*.py")
}


def members(vocabulary: type[StrEnum]) -> set[str]:
    """Return the members of a vocabulary."""
    return {str(member) for member in vocabulary}


@pytest.mark.parametrize(
    ("vocabulary", "page", "section"),
    [
        (Action, "event-format", "Actions"),
        (Operation, "event-format", "Operations"),
        (Category, "event-format", "Categories"),
        (ActorType, "event-format", "Actors"),
        (DeadLetterReason, "dead-letters", "Reasons"),
        (Role, "database-roles", "Database roles and rights"),
        (FieldClass, "registration", "Classes of fields"),
    ],
)
def test_a_vocabulary_is_documented_whole(vocabulary: type[StrEnum], page: str, section: str) -> None:
    assert members(vocabulary) - reference(page).first_column(section) == set()


@pytest.mark.parametrize(
    ("vocabulary", "page", "section"),
    [
        (Operation, "event-format", "Operations"),
        (Category, "event-format", "Categories"),
        (ActorType, "event-format", "Actors"),
        (DeadLetterReason, "dead-letters", "Reasons"),
        (FieldClass, "registration", "Classes of fields"),
    ],
)
def test_nothing_is_documented_that_is_not_in_the_vocabulary(
    vocabulary: type[StrEnum], page: str, section: str
) -> None:
    assert reference(page).first_column(section) - members(vocabulary) == set()


def test_every_action_of_a_link_is_one_that_is_documented() -> None:
    actions = {str(event[0]) for events in LINK_EVENTS.values() for event in events}
    assert actions <= reference("event-format").first_column("Actions")


def test_every_problem_code_is_documented_with_its_status() -> None:
    rows = {CODE.findall(cells[0])[0]: cells[1] for cells in reference("audit-api").rows("Errors")}
    assert members(Code) - rows.keys() == set()
    assert all(re.match(r"\d{3}", rows[code]) for code in members(Code))
    assert re.findall(r"^## `([a-z_]+)`$", reference("problems").prose, re.MULTILINE) == list(map(str, Code))


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    page = reference("metrics")
    rows = {
        CODE.findall(cells[0])[0]: cells
        for section in ("Capture", "API", "Relay", "Consumer", "Worker", "Loss proof")
        for cells in page.rows(section)
    }
    documented = {name: cells for name, cells in rows.items() if name.startswith("auditlog_")}
    assert documented.keys() == METRICS.keys()
    for name, metric in METRICS.items():
        _, kind, labels, *_ = documented[name]
        assert kind == metric._type, name
        assert tuple(CODE.findall(labels)) == metric._labelnames, name


@pytest.mark.parametrize(
    ("values", "section"),
    [
        (members(UncapturedReason), "Capture"),
        (members(GivenUp) | members(TopicTrouble), "Relay"),
        (members(Attempt), "Worker"),
    ],
)
def test_every_value_of_a_label_is_documented(values: set[str], section: str) -> None:
    found = {word for word in reference("metrics").first_column(section) if not word.startswith("auditlog_")}
    assert found == values


def test_every_command_is_documented_and_no_other() -> None:
    headings = set(re.findall(r"^### `([a-z_]+)`$", reference("commands").prose, re.MULTILINE))
    assert headings == COMMANDS.keys()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_and_subcommand_is_documented(name: str) -> None:
    section = reference("commands").section(f"`{name}`")
    command = load_command_class(COMMANDS[name], name)
    own = words_of(command.create_parser("manage.py", name)) - words_of(BaseCommand().create_parser("manage.py", "x"))
    documented = {word.split()[0] for word in CODE.findall(section) if word.startswith("--")}
    subcommands = {word for word in own if not word.startswith("--")}
    assert {word for word in own if word.startswith("--")} - documented == set()
    assert {word for word in subcommands if not re.search(rf"`{name} {word}\b", section)} == set()


def words_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the long options and the subcommands of a parser, those of its subcommands included."""
    found: set[str] = set()
    for action in parser._actions:
        found |= {option for option in action.option_strings if option.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            found |= set(action.choices).union(*(words_of(child) for child in action.choices.values()))
    return found


def test_every_log_event_is_documented_with_its_level_and_no_other() -> None:
    logged: dict[str, set[str]] = {}
    for path in sources(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (level := level_of(node)) and isinstance(node.args[0], ast.Constant):
                logged.setdefault(str(node.args[0].value), set()).add(level)
    page = reference("log-events")
    documented = {
        name: {cells[1]}
        for section in ("Capture", "Relay", "Consumer", "Loss proof", "Worker", "API and commands")
        for cells in page.rows(section)
        for name in CODE.findall(cells[0])
    }
    assert documented == logged


def level_of(call: ast.Call) -> str | None:
    """Return the level of a call of a method of `log`."""
    function = call.func
    is_log = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"
    return function.attr if is_log and isinstance(function, ast.Attribute) and call.args else None


def test_every_keyword_of_a_registration_is_documented() -> None:
    keywords = set(inspect.signature(AuditlogRegistry.register).parameters) - {"self", "model"}
    page = reference("registration")
    assert page.first_column("`auditlog.register(model, …)`") == keywords
    assert all(f'`"{policy}"`' in page.text for policy in BulkPolicy)


def test_every_check_is_documented() -> None:
    code = (ROOT / "auditlog" / "checks.py").read_text(encoding="utf-8")
    checks = set(re.findall(r"auditlog\.[EW]\d{3}", code))
    assert reference("registration").first_column("System checks") == checks


def test_the_rights_on_every_table_of_ours_are_documented() -> None:
    rows = {
        CODE.findall(cells[0])[0]: cells[1:] for cells in reference("database-roles").rows("Tables") if "`" in cells[0]
    }
    columns = (Role.APP, Role.RELAY, Role.CONSUMER, Role.READER)
    rights = {**OWN_TABLES, **{f"{prefix}*": granted for prefix, granted in OWN_PREFIXES.items()}}
    assert rows == {table: [granted.get(role, "-") for role in columns] for table, granted in rights.items()}


def test_every_function_that_may_be_executed_is_documented_with_its_role() -> None:
    rows = {CODE.findall(cells[0])[0]: cells[1] for cells in reference("database-roles").rows("Functions")}
    assert {name: rows.get(name) for name in FUNCTIONS} == {
        name: ", ".join(f"`{role}`" for role in roles) for name, roles in FUNCTIONS.items()
    }


def test_every_parameter_and_member_of_the_audit_api_is_documented() -> None:
    page = reference("audit-api")
    assert page.first_column("Parameters of lists") == LIST
    assert set(DETAIL_FIELDS) - set(CODE.findall(page.section("An event in a list"))) == set()


def test_the_example_event_has_every_member_and_the_consumer_reads_it() -> None:
    text = reference("event-format").blocks("json")[0]
    example = json.loads(text)
    sql = (ROOT / "auditlog" / "migrations" / "sql" / "capture_functions.sql").read_text(encoding="utf-8")
    append = sql[sql.index(".auditlog_append(") : sql.index("REVOKE ALL ON FUNCTION {schema}.auditlog_append")]
    assert set(re.findall(r'"(\w+)":', append)) - keys_of(example) == set()
    horizon = Horizon(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    decoded = decode(Record(Partition("audit.doctors.doctor", 0), 0, b"1", text.encode()), horizon=horizon)
    assert isinstance(decoded, Decoded)
    assert json.loads(decoded.row.changes or "") == {
        "phone": ["2025550154", "2025550142"],
        "consultation_fee": ["125.75", "180.00"],
        "updated_at": ["2026-11-25T13:53:12.168981+00:00", "2026-11-25T13:54:13.689306+00:00"],
        "tax_id": ["***", "***"],
    }


def keys_of(value: Any) -> set[str]:
    """Return the names of all members, at any depth."""
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys_of(inner) for inner in value.values()))
