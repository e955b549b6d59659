"""
Plans: for a model class, the SQL expressions that turn a row of its table into an event.

A plan belongs to the model class of the query: historical models in migrations write before a column exists.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog import __version__, large_values, topics
from auditlog.capture import subjects
from auditlog.capture.columns import (
    SCHEMA,
    Column,
    comparable,
    image_expression,
    key_expression,
    literal,
    quote,
    schema_version,
)
from auditlog.registry import Registration, auditlog
from auditlog.text import encode
from auditlog.vocabulary import Action


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How the rows of one registered model become events."""

    label: str
    registration: Registration
    columns: tuple[Column, ...]
    key_columns: tuple[str, ...]
    constants: str
    # Rendering takes as long as a short statement: once for each form.
    rendered: dict[tuple[str | None, ...], str] = field(default_factory=dict, compare=False)

    def emit(self, *, schema: str, op: str, old: str | None, new: str | None, relation: str | None = None) -> str:
        """
        Return the call of `auditlog_emit`, with three parameters: frame, reprs, traceparent.

        `schema` is the quoted schema of the functions; `old` and `new` are qualified row references, None where there
        is no such row. `relation` is the SQL of the table's oid, for a row out of a sub-select, which has none.
        """
        form = (schema, op, old, new, relation)
        if form not in self.rendered:
            table = relation or f"{new or old}.tableoid"
            self.rendered[form] = self._render(op, old, new, table).replace(SCHEMA, f"{schema}.")
        return self.rendered[form]

    def images(self, *, schema: str, old: str | None, new: str | None, relation: str | None = None) -> str:
        """Return the call of `auditlog_images`: what `emit` would record, but for the masks that Python makes."""
        table = relation or f"{new or old}.tableoid"
        before, after = (
            "NULL::record" if row is None else image_expression(row, self.columns, unmasked="callable")
            for row in (old, new)
        )
        masked = self._masked_changed(old, new) if old and new else "NULL::text[]"
        call = f"auditlog_images({table}, {self.key(old)}, {self.key(new)}, {before}, {after}, {masked})"
        return f"{SCHEMA}{call}".replace(SCHEMA, f"{schema}.")

    def key(self, row: str | None) -> str:
        """Return the SQL of an object's key as text, out of a row reference."""
        return "NULL" if row is None else key_expression(row, self.key_columns)

    def _render(self, op: str, old: str | None, new: str | None, table: str) -> str:
        masked = self._masked_changed(old, new) if old and new else "NULL"
        return (
            f"{SCHEMA}auditlog_emit('{op}', {self.constants}, {table}, "
            f"{self.key(old)}, {self.key(new)}, {self._image(old)}, {self._image(new)}, {masked}, %s, %s, %s)"
        )

    def _image(self, row: str | None) -> str:
        return "NULL::record" if row is None else image_expression(row, self.columns)

    def _masked_changed(self, old: str, new: str) -> str:
        cases = [
            f"CASE WHEN {comparable(old, column)} IS DISTINCT FROM {comparable(new, column)} "
            f"THEN {literal(column.name)} END"
            for column in self.columns
            if column.mask
        ]
        return f"ARRAY[{', '.join(cases)}]" if cases else "NULL"


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """How the rows of a through table become membership events of the object that declares the field."""

    through_label: str
    owner_label: str
    registration: Registration
    owner_column: str
    target_column: str
    # The primary keys of the two ends, looked up where the links hold another field of theirs.
    owner_lookup: str
    target_lookup: str
    fields: tuple[Column, ...]
    # SQL literals: topic, source, audit, type, schema version, the limits of a value and of an event.
    constants: str
    field_name: str
    target_model: str

    def emit(self, *, schema: str, action: str, owner: str, target: str) -> str:
        """
        Return the call of `auditlog_emit_links` over rows of `auditlog_links` that are grouped by `owner`.

        It has four parameters: labels, frame, reprs, traceparent.
        """
        through = "NULL"
        if self.fields and action != Action.M2M_REMOVE:
            through = f"'{{' || string_agg(to_json({target})::text || ':' || auditlog_through, ',') || '}}'"
        return (
            f"{schema}.auditlog_emit_links('{action}', {self.constants}, min(auditlog_table::text)::oid, "
            f"{owner}, {literal(self.field_name)}, {literal(self.target_model)}, "
            f"array_agg({target} ORDER BY length({target}), {target}), {through}, %s, %s, %s, %s)"
        )

    def returning(self, *, old: str | None, new: str | None, schema: str) -> dict[str, str]:
        """
        Return what the statement on the through table hands on of each row: name -> SQL.

        The ends of the link after the write, or of the link that is gone; those before an update; its own fields, and
        whether an update changed them.
        """
        row = new or old or ""
        columns = {
            "auditlog_owner": self._end(row, self.owner_column, self.owner_lookup),
            "auditlog_target": self._end(row, self.target_column, self.target_lookup),
            "auditlog_table": f"{row}.tableoid",
        }
        if old and new:
            columns["auditlog_old_owner"] = self._end(old, self.owner_column, self.owner_lookup)
            columns["auditlog_old_target"] = self._end(old, self.target_column, self.target_lookup)
            columns["auditlog_changed"] = self._changed(old, new)
        if self.fields or (old and new):
            columns["auditlog_through"] = self._own_fields(row)
        return {name: sql.replace(SCHEMA, f"{schema}.") for name, sql in columns.items()}

    def _changed(self, old: str, new: str) -> str:
        """Return whether fields of the link's own changed: by their plain values, which masks may hide."""
        pairs = (f"{comparable(old, c)} IS DISTINCT FROM {comparable(new, c)}" for c in self.fields)
        return f"({' OR '.join(pairs)})" if self.fields else "false"

    def _own_fields(self, row: str) -> str:
        if not self.fields:
            return "NULL::text"
        return f"{SCHEMA}auditlog_image({image_expression(row, self.fields)})"

    @staticmethod
    def _end(row: str, column: str, lookup: str) -> str:
        return lookup.replace("{}", f"{row}.{quote(column)}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a write of a table leads to: an event of the row, membership events, or both."""

    row: RowPlan | None
    links: LinkPlan | None


_plans: weakref.WeakKeyDictionary[type[models.Model], Plan | None] = weakref.WeakKeyDictionary()
_through: dict[str, tuple[str, str]] | None = None


def plan_for(model: type[models.Model], connection: BaseDatabaseWrapper) -> Plan | None:
    """Return the plan of a model class; None where nothing of it is captured."""
    try:
        return _plans[model]
    except KeyError:
        plan = _plans[model] = _make(model, connection)
        return plan


def forget_plans(*_args: Any, **_kwargs: Any) -> None:
    """Make plans anew: a registration changed, or a setting that they depend on."""
    global _through  # noqa: PLW0603 - a cache of this module
    _plans.clear()
    _through = None


def event_constants(*, topic: str, label: str, table: str, audit: dict[str, Any], version: str) -> tuple[str, ...]:
    """
    Return what is constant in the events of a model.

    Topic, `source` and `audit` members, type prefix, version, and how large a value and an event may be.
    """
    source = {"version": __version__, "connector": "auditlog", "name": topics.prefix(), "table": table}
    members = {"category": "write", "model": label, **audit, "schema_version": version}
    limits = str(large_values.value_bytes()), str(large_values.event_bytes())
    return topic, encode(source)[1:-1], encode(members)[1:-1], f"auditlog.{label}.", version, *limits


def _classes(*named: tuple[str, str | None]) -> dict[str, dict[str, list[str]]]:
    """Return `audit.classes`, class -> names, where there are any: every event carries it, so it is kept short."""
    found: dict[str, list[str]] = {}
    for name, data_class in named:
        if data_class:
            found.setdefault(str(data_class), []).append(name)
    return {"classes": found} if found else {}


def _make(model: type[models.Model], connection: BaseDatabaseWrapper) -> Plan | None:
    row, links = _row_plan(model, connection), _link_plan(model, connection)
    return Plan(row, links) if row or links else None


def _row_plan(model: type[models.Model], connection: BaseDatabaseWrapper) -> RowPlan | None:
    concrete = model._meta.concrete_model or model
    label = concrete._meta.label_lower
    registration = auditlog.find(label)
    if registration is None:
        return None
    fields = [f for f in concrete._meta.local_concrete_fields if f.column]
    columns = tuple(_column(f, registration, connection) for f in fields if registration.tracks(f.name))
    audit = {
        "masked": [c.name for c in columns if c.mask],
        "fields": {c.name: c.field_name for c in columns if c.name != c.field_name},
        **_classes(*((c.name, c.data_class) for c in columns)),
        **subjects.declared(registration, columns),
    }
    constants = event_constants(
        topic=topics.row_topic(label),
        label=label,
        table=concrete._meta.db_table,
        audit=audit,
        version=schema_version(label, columns),
    )
    return RowPlan(
        label=label,
        registration=registration,
        columns=columns,
        key_columns=tuple(str(f.column) for f in concrete._meta.pk_fields),
        constants=", ".join(map(literal, constants)),
    )


def _column(field: Any, registration: Registration, connection: BaseDatabaseWrapper) -> Column:
    db_type = (field.db_type(connection) or "").lower()
    return Column(
        name=field.column,
        field_name=field.name,
        db_type=db_type,
        mask=registration.masks.get(field.name),
        nullable=field.null,
        data_class=registration.classes.get(field.name),
        subject=subjects.subject_model(field, registration),
        labels=subjects.label_dimensions(field, registration),
    )


def _link_plan(model: type[models.Model], connection: BaseDatabaseWrapper) -> LinkPlan | None:
    found = _through_fields().get(model._meta.label_lower)
    if found is None:
        return None
    owner_label, field_name = found
    registration = auditlog.find(owner_label)
    owner = next(m for m in auditlog.get_models() if m._meta.label_lower == owner_label)
    declared: Any = owner._meta.get_field(field_name)
    names = (declared.m2m_field_name(), declared.m2m_reverse_field_name())
    known = {f.name: f for f in model._meta.local_concrete_fields}
    if registration is None or not set(names) <= set(known):
        return None  # a historical state in which the through table looked different
    owner_field, target_field = (known[name] for name in names)
    rules = _rules_of_links(registration, auditlog.find(model._meta.label_lower))
    own_fields = (f for f in known.values() if f.name not in names and not f.primary_key and rules.tracks(f.name))
    extra = tuple(_column(f, rules, connection) for f in own_fields)
    target_label = declared.remote_field.model._meta.label_lower
    constants = event_constants(
        topic=topics.events_topic(owner_label),
        label=owner_label,
        table=model._meta.db_table,
        audit={
            "masked": [c.name for c in extra if c.mask],
            **_classes((field_name, registration.classes.get(field_name)), *((c.name, c.data_class) for c in extra)),
            **subjects.declared(registration, ()),
        },
        version=schema_version(f"{owner_label}.{field_name}", extra),
    )
    return LinkPlan(
        through_label=model._meta.label_lower,
        owner_label=owner_label,
        registration=registration,
        owner_column=str(owner_field.column),
        target_column=str(target_field.column),
        owner_lookup=_key_lookup(owner_field),
        target_lookup=_key_lookup(target_field),
        fields=extra,
        constants=", ".join(map(literal, constants)),
        field_name=field_name,
        target_model=target_label,
    )


def _rules_of_links(owner: Registration, through: Registration | None) -> Registration:
    """Return the rules for the fields of a link's own: those of its model, where it is registered, and its owner's."""
    # Links have no images: what their own fields name is not told.
    rules = replace(through or owner, subject_fields=(), label_fields={})
    if through is None:
        return replace(rules, include_fields=frozenset())
    return replace(rules, masks={**owner.masks, **through.masks}, classes={**owner.classes, **through.classes})


def _key_lookup(foreign_key: Any) -> str:
    target = foreign_key.target_field
    if target.primary_key:
        return "{}::text"
    meta = target.model._meta
    table, key, column = quote(meta.db_table), quote(meta.pk.column), quote(target.column)
    return f"(SELECT auditlog_t.{key}::text FROM {table} auditlog_t WHERE auditlog_t.{column} = {{}})"


def _through_fields() -> dict[str, tuple[str, str]]:
    """Return the through tables of tracked many-to-many fields: label -> (label of the owner, name of the field)."""
    global _through  # noqa: PLW0603 - a cache of this module
    if _through is None:
        _through = {
            _label(field.remote_field.through): (model._meta.label_lower, field.name)
            for model in auditlog.get_models()
            for field in model._meta.local_many_to_many
            if (registration := auditlog.find(model._meta.label_lower)) and registration.tracks_links(field.name)
        }
    return _through


def _label(through: Any) -> str:
    return str(through._meta.label_lower)


auditlog.on_change(forget_plans)
