"""What may be kept of a question, and who may read of it: values that are kept from somebody are in questions, too."""

from __future__ import annotations

from typing import Any

from auditlog.access.rights import restricted_classes
from auditlog.registry import auditlog

REDACTED = {"$redacted": "asked"}
ALTERNATIVES = ("old_in", "new_in")
VALUES = ("old", "new", *ALTERNATIVES)
# Conditions on what `$subjects` and `$labels` may hide.
NAMING = frozenset({"subject", "label"})


def without_hidden_values(asked: Any) -> Any:
    """
    Return a question without the values of fields that may be hidden from whoever reads of it.

    A condition speaks of a field in whatever model: it is enough that one of them hides it. Of a field that no model
    has (any longer), nobody knows.
    """
    if isinstance(asked, list | tuple):
        return [without_hidden_values(item) for item in asked]
    if not isinstance(asked, dict):
        return asked
    found = {name: without_hidden_values(inner) for name, inner in asked.items()}
    if isinstance(field := asked.get("changed"), str) and may_be_hidden(field):
        found |= {name: REDACTED for name in VALUES if name in asked}
    return found


def names_somebody(asked: Any) -> bool:
    """Tell whether a question asks for subjects or labels, which some events keep from some of those who read it."""
    if isinstance(asked, list | tuple):
        return any(map(names_somebody, asked))
    if not isinstance(asked, dict):
        return False
    return asked.get("field") in NAMING or any(map(names_somebody, asked.values()))


def may_be_hidden(field: str) -> bool:
    """Tell whether a field of this name is masked or of a restricted class in any registered model, or in none."""
    is_known = False
    for model in auditlog.get_models():
        registration = auditlog.find(model._meta.label_lower)
        if registration is None or field not in {each.name for each in model._meta.get_fields()}:
            continue
        is_known = True
        if field in registration.masks or registration.classes.get(field) in restricted_classes():
            return True
    return not is_known
