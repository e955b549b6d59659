"""Values that are too large for their events are compared by their hashes, and adopted with the references they had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from auditlog.capture.plans import forget_plans
from auditlog.completeness.bypass import compare
from auditlog.completeness.tables import Table
from auditlog.large_values import Reference
from tests.integration.capture.contents import Outbox
from tests.integration.completeness.conftest import Project, Run, raw
from tests.samples.models import Author, Copy, Form, Manuscript

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]
BODY = "\u00fc\\\n" * 30_000
MARGIN = {"deep": [1.50, None, "x" * 70_000]}


@pytest.fixture
def outbox(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Outbox:
    return Outbox(owner_connection)


def found(model: type[Any], *keys: Any) -> list[tuple[str, tuple[str, ...]]]:
    """Return (kind, columns) of what disagrees with the audit log."""
    return [(finding.kind, finding.columns) for finding in compare(Table.of(model), [str(key) for key in keys])]


def test_an_untouched_row_agrees_and_one_changed_byte_is_found(outbox: Outbox, project: Project) -> None:
    manuscript = Manuscript.objects.create(body=BODY, margin=MARGIN, scan=bytes(range(256)) * 400)
    after = outbox.look().events[0]["after"]
    assert all(Reference.of(after[name]) for name in ("body", "margin", "scan"))
    project()
    assert found(Manuscript, manuscript.pk) == []
    raw("UPDATE samples_manuscript SET body = 'x' || substr(body, 2)")
    assert found(Manuscript, manuscript.pk) == [("changed", ("body",))]
    raw("UPDATE samples_manuscript SET body = 'small', margin = NULL, scan = scan || '\\x00'::bytea")
    assert found(Manuscript, manuscript.pk) == [("changed", ("body", "scan", "margin"))]


def test_adoption_keeps_the_references_of_what_did_not_change(outbox: Outbox, run: Run, project: Project) -> None:
    manuscript = Manuscript.objects.create(body=BODY, margin=MARGIN, code="a")
    created = outbox.look().events[0]
    project()
    raw("UPDATE samples_manuscript SET code = 'b', margin = '1'")
    assert run("audit_bypass", "samples.Manuscript", "--adopt", "--grace", "0")[0] == 0
    (event,) = outbox.look().events
    assert event["before"] == created["after"]
    assert event["before"]["body"] == event["after"]["body"]
    assert event["after"]["margin"] == 1
    # Sent with the first event, and known since.
    assert outbox.chunks == []
    project()
    assert found(Manuscript, manuscript.pk) == []


def test_an_adopted_value_that_is_new_is_sent(outbox: Outbox, run: Run, project: Project) -> None:
    Manuscript.objects.create(body="small")
    outbox.look()
    project()
    raw("UPDATE samples_manuscript SET body = repeat('n', 70000)")
    assert run("audit_bypass", "samples.Manuscript", "--adopt", "--grace", "0")[0] == 0
    (event,) = outbox.look().events
    assert (event["before"]["body"], outbox.value(event["after"]["body"])) == ("small", "n" * 70_000)


@pytest.fixture
def smaller_values(settings: Any) -> Iterator[Callable[[int], None]]:
    """Change from which size on values are referred to."""
    before = settings.AUDITLOG_LARGE_VALUE_BYTES

    def change(size: int) -> None:
        settings.AUDITLOG_LARGE_VALUE_BYTES = size
        forget_plans()

    yield change
    change(before)


def test_a_value_that_would_stand_in_an_event_of_today_still_is_the_one_of_then(
    smaller_values: Callable[[int], None], outbox: Outbox, run: Run, project: Project
) -> None:
    smaller_values(2_000)
    form = Form.objects.create(answer_1="y" * 3_000, answer_2="a")
    assert Reference.of(outbox.look().events[0]["after"]["answer_1"]) is not None
    project()
    smaller_values(65_536)
    assert found(Form, form.pk) == []
    raw("UPDATE samples_form SET answer_2 = 'b'")
    assert run("audit_bypass", "samples.Form", "--adopt", "--grace", "0")[0] == 0
    (event,) = outbox.look().events
    changed = {name for name in event["after"] if event["before"][name] != event["after"][name]}
    assert changed == {"answer_2"}


def test_fields_of_links_are_compared_by_their_hashes_too(run: Run, project: Project) -> None:
    manuscript, author = Manuscript.objects.create(), Author.objects.create(name="Ada")
    manuscript.copyists.add(author, through_defaults={"remark": "r" * 70_000})
    project()
    assert run("audit_bypass", "samples.Manuscript", "--grace", "0")[0] == 0
    raw("UPDATE samples_copy SET remark = 's' || substr(remark, 2)")
    code, report = run("audit_bypass", "samples.Manuscript", "--grace", "0")
    assert (code, [one["changed"] for one in report["found"]]) == (1, [{str(author.pk): ["remark"]}])
    assert Copy.objects.count() == 1
