"""What was found can be adopted: events that say how the row came to be what it is, and no more than is known."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from auditlog.completeness.adoption import adopt
from auditlog.completeness.bypass import compare
from auditlog.completeness.tables import Table
from auditlog.context import set_actor, set_reason
from auditlog.registry import auditlog
from auditlog.roles import Role
from tests.conftest import ConnectAs, Events
from tests.integration.completeness.conftest import Project, Run, raw
from tests.samples.models import Book, Country, OrderLine, Shelf

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]
ADOPT = ("--adopt", "--grace", "0")


def test_the_chain_of_images_goes_on(events: Events, run: Run, project: Project) -> None:
    changed = Book.objects.create(title="Emma", quantity=1, code="c", secret="s")
    (created,) = events()
    project()
    raw("UPDATE samples_book SET quantity = 7, code = 'd' WHERE id = %s", changed.pk)
    with set_actor("operator"), set_reason("ticket 12"):
        code, report = run("audit_bypass", "samples.Book", *ADOPT)
    assert (code, [one["key"] for one in report["adopted"]]) == (0, [str(changed.pk)])
    (event,) = events()
    assert (event["op"], event["audit"]["action"], event["before"]) == ("u", "update", created["after"])
    assert (event["after"]["quantity"], event["after"]["double"], event["after"]["secret"]) == (7, 14, "***")
    assert event["audit"]["captured_by"] == "bypass_check"
    assert event["audit"]["masked_changed"] == ["code"]
    # Nobody knows who did it; who adopted it is known.
    assert event["audit"]["actor"] is None
    assert event["audit"]["context"]["extra"]["adopted_by"]["actor"]["repr"] == "operator"
    assert event["audit"]["reason"] == "ticket 12"
    project()
    assert run("audit_bypass", "samples.Book", "--grace", "0")[0] == 0


def test_rows_that_came_and_went_are_adopted(events: Events, run: Run, project: Project) -> None:
    OrderLine.objects.bulk_create(OrderLine(tenant="a", number=n) for n in (1, 2))
    OrderLine.objects.get(pk=("a", 2)).delete()
    events()
    project()
    raw("DELETE FROM samples_orderline")
    raw("INSERT INTO samples_orderline (tenant, number, amount) VALUES ('a', 2, 5), ('a', 3, 6)")
    code, report = run("audit_bypass", "samples.OrderLine", *ADOPT)
    assert (code, len(report["adopted"])) == (0, 3)
    told = {e["audit"]["object_pk"]: (e["op"], e["before"], e["after"]) for e in events()}
    assert told == {
        '["a",1]': ("d", {"tenant": "a", "number": 1, "amount": 0}, None),
        '["a",2]': ("c", None, {"tenant": "a", "number": 2, "amount": 5}),
        '["a",3]': ("c", None, {"tenant": "a", "number": 3, "amount": 6}),
    }
    project()
    assert run("audit_bypass", "samples.OrderLine", "--grace", "0")[0] == 0


def test_what_changed_since_it_was_found_is_left_alone(events: Events, project: Project) -> None:
    country = Country.objects.create(code="NL", name="a")
    project()
    raw("UPDATE samples_country SET name = 'b'")
    table = Table.of(Country)
    (finding,) = compare(table, ["NL"])
    country.name = "c"
    country.save()
    events()
    assert adopt(table, finding) is False
    project()
    assert adopt(table, finding) is False
    assert events() == []


def test_an_event_on_its_way_comes_first(events: Events, project: Project) -> None:
    Country.objects.create(code="NL", name="a")
    table = Table.of(Country)
    (finding,) = compare(table, ["NL"])
    events()
    assert adopt(table, finding) is False
    assert events() == []


def test_a_deletion_is_not_adopted_while_somebody_writes(
    events: Events, project: Project, connect_as: ConnectAs
) -> None:
    Country.objects.create(code="NL", name="a")
    project()
    raw("DELETE FROM samples_country")
    events()
    table = Table.of(Country)
    (finding,) = compare(table, ["NL"])
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        writer.execute("INSERT INTO samples_country (code, name) VALUES ('NL', 'back')")
        assert adopt(table, finding) is False
    assert adopt(table, finding) is False
    assert events() == []


def test_masks_that_python_made_are_kept(events: Events, run: Run, project: Project) -> None:
    auditlog.register(Country, mask_fields=["name"], mask_callable=lambda text: text[:1] + "…")
    try:
        Country.objects.create(code="NL", name="Nederland")
        project()
        raw("UPDATE samples_country SET code = 'BE'")
        events()
        run("audit_bypass", "samples.Country", *ADOPT)
        told = {e["audit"]["object_pk"]: (e["op"], e["before"], e["after"]) for e in events()}
        # The plain value is in neither.
        assert told == {
            "NL": ("d", {"code": "NL", "name": "N…"}, None),
            "BE": ("c", None, {"code": "BE", "name": "***"}),
        }
    finally:
        auditlog.register(Country)


def test_without_a_right_on_the_outbox_nothing_is_adopted(
    project: Project, owner_connection: psycopg.Connection[Any]
) -> None:
    Shelf.objects.create(name="a")
    project()
    owner_connection.execute("REVOKE SELECT ON auditlog_outboxevent FROM auditlog_reader")
    try:
        with pytest.raises(CommandError, match="may read the outbox"):
            call_command("audit_bypass", "samples.Shelf", *ADOPT)
    finally:
        owner_connection.execute("GRANT SELECT ON auditlog_outboxevent TO auditlog_reader")
