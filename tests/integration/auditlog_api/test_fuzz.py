"""
Every operation of the OpenAPI document under requests that are made up from it, by Schemathesis, with all its checks.

Some for each in the test run; FUZZ_EXAMPLES=500 makes that many (`make fuzz`), FUZZ_ONLY="GET .*/feed/" for those
operations alone.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import schemathesis
from django.conf import LazySettings
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import (
    ChecksConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)

from auditlog import api_keys
from settings.wsgi import application
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
ONLY = os.environ.get("FUZZ_ONLY", "")
# What no schema can tell: that a cursor is signed, that a value is none of its kind, that a row refers to another.
REFUSALS: list[str | int] = ["2xx", 304, 400, 401, 403, 404, 406, 409, 503]


@pytest.fixture
def schema(settings: LazySettings) -> Any:
    """The document as it is served, and the service behind it."""
    settings.AUDITLOG_RATE_LIMIT_TOKENS = settings.AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS = 0
    checks = ChecksConfig(positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=REFUSALS))
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(checks=checks)))
    return schemathesis.openapi.from_wsgi("/api/schema/", application, config=config)


@pytest.mark.parametrize(
    ("who", "mode"),
    [
        ("auditor", GenerationMode.POSITIVE),
        ("auditor", GenerationMode.NEGATIVE),
        ("nobody", GenerationMode.POSITIVE),
    ],
)
@pytest.mark.timeout(3_600)
def test_every_answer_is_one_that_the_document_promises(
    schema: Any, store: Store, user_of: UserOf, who: str, mode: GenerationMode
) -> None:
    headers: dict[str, str] = {}
    if who == "auditor":
        store()
        key = api_keys.issue(user=user_of(is_superuser=True, is_staff=True), name="fuzz")
        headers["Authorization"] = f"Api-Key {key}"
    tried = 0
    failures: dict[str, str] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if not re.search(ONLY, operation.label):
            continue
        try:
            _try(operation, mode, headers)
        except Unsatisfiable:
            # A text in a path and nothing else: none is malformed.
            assert mode.is_negative, operation.label
        # What several checks say comes as a group that is no `Exception`; one operation must not hide the others.
        except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001
            failures[operation.label] = repr(exc) + "\n" + "\n".join(map(str, getattr(exc, "exceptions", [exc])))
        tried += 1
    assert tried > (0 if ONLY else 45)
    assert not failures, "\n\n".join(f"{label}: {text[:1500]}" for label, text in failures.items())


def _try(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        case.call_and_validate(headers=headers)

    attempt()
