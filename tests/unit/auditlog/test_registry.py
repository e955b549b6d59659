"""Registration: the keywords of django-auditlog and ours, and what is refused or complained about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core import checks
from django.db import connections, models
from django.db.models.signals import post_delete, pre_save
from django.utils.text import slugify

from auditlog.capture.compilers import install, installed_on
from auditlog.checks import check_compilers, check_registrations
from auditlog.errors import RegistrationError
from auditlog.models import ApiKey
from auditlog.registry import AuditlogRegistry, auditlog
from auditlog.vocabulary import FieldClass
from tests.samples.models import Book, BookProxy, Chapter, Comic, Loan, Stamp, Ticket, Unwatched


@pytest.fixture
def registry() -> AuditlogRegistry:
    return AuditlogRegistry()


@pytest.fixture
def unwatched() -> Iterator[type[models.Model]]:
    """A model that a test registers as it likes."""
    yield Unwatched
    auditlog.unregister(Unwatched)


def test_every_keyword_of_django_auditlog_is_understood(registry: AuditlogRegistry) -> None:
    registry.register(
        Book,
        ["title"],
        ["draft"],
        {"title": "Title"},
        ["secret"],
        "django.utils.text.slugify",
        {"genres"},
        serialize_data=True,
        serialize_kwargs={"fields": ["title"]},
        serialize_auditlog_fields_only=True,
    )
    found = registry.find("samples.book")
    assert found is not None
    assert (found.tracks("title"), found.tracks("quantity")) == (True, False)
    assert found.masks == {"secret": "callable", "password": "full"}
    assert found.mask_callable is slugify
    assert (found.tracks_links("genres"), found.tracks_links("readers")) == (True, False)


def test_all_memberships_are_tracked_unless_some_are_named(registry: AuditlogRegistry) -> None:
    registry.register(Book)
    found = registry.find("samples.book")
    assert found is not None
    assert found.tracks_links("genres")
    assert found.tracks_links("readers")


def test_a_decorator_registers_and_a_proxy_stands_for_its_model(registry: AuditlogRegistry) -> None:
    assert registry.register(object_repr=None)(BookProxy) is BookProxy
    assert registry.contains(Book)
    assert registry.get_models() == [Book]
    registry.unregister(Book)
    assert not registry.contains(BookProxy)
    registry.unregister(Book)


@pytest.mark.parametrize("model", [ApiKey, Session])
def test_what_is_never_captured_is_refused(model: type[models.Model], registry: AuditlogRegistry) -> None:
    with pytest.raises(RegistrationError, match="never captured"):
        registry.register(model)


@pytest.mark.parametrize(
    ("options", "complaint"), [({"mask_fields": {"title": "rot13"}}, "rot13"), ({"bulk": "ignore"}, "ignore")]
)
def test_what_is_not_understood_is_named(options: Any, complaint: str, registry: AuditlogRegistry) -> None:
    with pytest.raises(RegistrationError, match=complaint):
        registry.register(Book, **options)


def test_all_models_but_the_excluded_are_registered_where_a_setting_says_so(
    registry: AuditlogRegistry, settings: Any
) -> None:
    registry.register_by_settings(apps.get_models())
    assert registry.get_models() == []
    settings.AUDITLOG_INCLUDE_ALL_MODELS = True
    settings.AUDITLOG_EXCLUDE_TRACKING_MODELS = ["doctors", "samples.Chapter"]
    registry.register(Book, bulk="raise")
    registry.register_by_settings(apps.get_models())
    labels = {model._meta.label_lower for model in registry.get_models()}
    assert {"samples.book", "samples.unwatched", "auth.user", "samples.loan"} <= labels
    assert not {"samples.chapter", "doctors.doctor", "auditlog.auditlog", "sessions.session"} & labels
    assert "samples.bookproxy" not in labels
    found = registry.find("samples.book")
    assert found is not None
    assert found.bulk == "raise"
    assert Chapter._meta.label_lower not in labels


def test_a_model_that_is_unregistered_has_no_receivers_left(unwatched: type[models.Model]) -> None:
    before = len(pre_save.receivers), len(post_delete.receivers)
    auditlog.register(unwatched)
    auditlog.register(unwatched)
    assert (len(pre_save.receivers), len(post_delete.receivers)) == (before[0] + 1, before[1] + 1)
    auditlog.unregister(unwatched)
    assert (len(pre_save.receivers), len(post_delete.receivers)) == before


def test_the_registrations_of_the_project_are_in_order() -> None:
    assert check_registrations() == []
    assert check_compilers() == []


def test_a_masked_key_and_a_misspelt_name_are_errors(unwatched: type[models.Model]) -> None:
    auditlog.register(unwatched, mask_fields=["id", "vlaue"], exclude_fields=["valeu"], m2m_fields={"genre"})
    found = check_registrations()
    assert [message.id for message in found] == ["auditlog.E001", *["auditlog.E002"] * 3]
    assert all(message.level == checks.ERROR for message in found)
    assert ["genre" in found[1].msg, "valeu" in found[2].msg, "vlaue" in found[3].msg] == [True] * 3


def test_an_unknown_class_and_a_misspelt_name_of_a_classified_field_are_errors(
    unwatched: type[models.Model], settings: Any
) -> None:
    settings.AUDITLOG_CLASSIFY_TRACKING_FIELDS = {"ssn": "personnal", "id": "internal"}
    auditlog.register(unwatched, classify_fields={"vlaue": "health", "value": "secret"})
    found = check_registrations()
    assert [message.id for message in found] == ["auditlog.E002", "auditlog.E004", "auditlog.E004"]
    assert ["vlaue" in found[0].msg, "personnal" in found[1].msg, "'secret'" in found[2].msg] == [True] * 3
    auditlog.register(unwatched, classify_fields={"value": FieldClass.HEALTH, "ssn": "sensitive"})
    assert [message.id for message in check_registrations()] == []
    settings.AUDITLOG_CLASSIFY_TRACKING_FIELDS = {}
    auditlog.register(unwatched, classify_fields={"value": FieldClass.HEALTH})
    assert check_registrations() == []


@pytest.mark.parametrize(
    ("model", "options", "found"),
    [
        (Book, {"subject": True, "subject_fields": ["shelf"], "label_fields": {"shelf": "shelf", "code": "code"}}, []),
        (Ticket, {"subject_fields": ["parent"], "label_fields": {"desk": "title"}}, []),
        # The key of a reference that is itself a key.
        (Stamp, {"subject_fields": ["card"]}, []),
        (Book, {"subject_fields": ["shlef"], "label_fields": {"x": "cdoe"}}, ["'cdoe'", "'shlef'"]),
        (Book, {"subject_fields": ["title"]}, ["no foreign key to a primary key"]),
        (Loan, {"subject_fields": ["reader"]}, ["no foreign key to a primary key"]),
        (Book, {"subject_fields": ["genres"]}, ["'genres' cannot name a subject: it is no column"]),
        (Comic, {"subject_fields": ["shelf"]}, ["no column of the model's own table"]),
        (Book, {"subject_fields": ["shelf"], "exclude_fields": ["shelf"]}, ["not tracked"]),
        (Book, {"subject_fields": ["shelf"], "mask_fields": {"shelf": "hash"}}, ["masked"]),
        (Book, {"label_fields": {"code": "code"}, "mask_fields": ["code"]}, ["'code' cannot hold the label 'code'"]),
        (Book, {"label_fields": {"code": "code"}, "include_fields": ["title"]}, ["not tracked"]),
        (Book, {"label_fields": {"note": "note"}}, ["JSONField holds neither"]),
        (Book, {"label_fields": {"at": "updated_at"}}, ["DateTimeField holds neither"]),
        (Book, {"label_fields": {"": "code"}}, ["empty or has a colon"]),
        (Book, {"label_fields": {"a:b": "code"}}, ["empty or has a colon"]),
    ],
)
def test_what_names_subjects_and_labels_is_a_column_that_everybody_sees(
    model: type[models.Model], options: dict[str, Any], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = AuditlogRegistry()
    registry.register(model, **options)
    monkeypatch.setattr("auditlog.checks.auditlog", registry)
    messages = check_registrations()
    missing = [text for text in found if text in {"'cdoe'", "'shlef'"}]
    assert [message.id for message in messages] == [
        "auditlog.E002" if text in missing else "auditlog.E009" for text in found
    ]
    for message, text in zip(messages, found, strict=True):
        assert text in message.msg


def test_a_database_whose_writes_pass_by_is_an_error() -> None:
    operations: Any = type(connections["default"].ops)
    ours = operations.compiler_module
    operations.compiler_module = "django.db.models.sql.compiler"
    try:
        for alias in connections:
            fresh: Any = connections[alias].ops
            fresh._cache = None
        assert {message.id for message in check_compilers()} == {"auditlog.E003"}
        install()
        assert installed_on(connections["default"])
        assert check_compilers() == []
    finally:
        operations.compiler_module = ours
        install()
