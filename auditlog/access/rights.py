"""What one caller may see: all that the queries and the views know of who asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from django.conf import settings
from rest_framework.request import Request

from auditlog.access.grants import held, reach_of
from auditlog.access.reach import Reach, combined, narrowed
from auditlog.access.scopes import AUDITOR_PERMISSION, AUDITOR_SCOPES, PERMISSIONS, Scope
from auditlog.vocabulary import FieldClass

RESTRICTED_CLASSES = frozenset(
    {
        *(FieldClass.SENSITIVE, FieldClass.HEALTH, FieldClass.FINANCIAL),
        *(FieldClass.CREDENTIAL, FieldClass.CONFIDENTIAL),
    }
)
DIGEST_CHARACTERS = 32
# Of a principal: what the event of a call holds of it, so that no two callers have one name there.
PRINCIPAL_CHARACTERS = 512
# Where a request keeps the rights of its caller.
FOUND = "_auditlog_rights"


@dataclass(frozen=True, slots=True)
class Rights:
    """
    What a caller may do.

    A row is visible where the caller may READ, or may READ_OWN and acted; and where its model is one of `models`; and
    where for each dimension of `labels` the row has one of the values. A row without a value in such a dimension is
    not visible.
    """

    # Who asks: `user:7`, `api_key:<prefix>`, `oidc:<issuer>#<subject>`.
    principal: str
    scopes: frozenset[Scope]
    # `actor_id` of the caller's own events.
    actor_id: str | None = None
    # None: all.
    models: frozenset[str] | None = None
    # Dimension -> values; empty: no row is left out because of its labels.
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def sees_everything(self) -> bool:
        """Tell whether no row is hidden."""
        return Scope.READ in self.scopes and self.models is None and not self.labels

    @property
    def may_read(self) -> bool:
        """Tell whether the caller may ask at all."""
        return not self.scopes.isdisjoint({Scope.READ, Scope.READ_OWN})

    @property
    def reads_own_only(self) -> bool:
        """Tell whether only rows of the caller's own acts are visible."""
        return Scope.READ not in self.scopes

    @property
    def label_sets(self) -> tuple[tuple[str, ...], ...]:
        """Return the labels as rows hold them, a tuple for each dimension: a visible row has one out of each."""
        return tuple(
            tuple(f"{dimension}:{value}" for value in sorted(values))
            for dimension, values in sorted(self.labels.items())
        )

    @property
    def policy_filters(self) -> tuple[str, ...]:
        """Return by what rows are left out of every answer, so that an answer can say so."""
        kinds = {"own": self.reads_own_only, "models": self.models is not None, "labels": bool(self.labels)}
        return tuple(name for name, applies in kinds.items() if applies)

    @property
    def hidden_classes(self) -> frozenset[str]:
        """Return the classes of fields whose values are kept from this caller."""
        if Scope.READ_SENSITIVE in self.scopes:
            return frozenset()
        return restricted_classes()

    @property
    def digest(self) -> str:
        """Return a digest of who asks and what they may: it binds cursors and validators of caches."""
        members = {
            "principal": self.principal,
            "scopes": sorted(self.scopes),
            "actor_id": self.actor_id,
            "models": None if self.models is None else sorted(self.models),
            "labels": {dimension: sorted(values) for dimension, values in self.labels.items()},
            "hidden": sorted(self.hidden_classes),
        }
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def restricted_classes() -> frozenset[str]:
    """Return the classes of fields whose values only some may see."""
    return frozenset(getattr(settings, "AUDITLOG_RESTRICTED_CLASSES", RESTRICTED_CLASSES))


def rights_of(request: Request) -> Rights:
    """
    Return what the authenticated caller of a request may do; found out once for each request.

    At most three statements: Django's two for permissions, and one for grants.
    """
    known = getattr(request, FOUND, None)
    if isinstance(known, Rights):
        return known
    credential = cast("Any", request.auth)
    rights = getattr(credential, "rights", None)
    if not isinstance(rights, Rights):  # a bearer token says itself what its holder may do
        is_key = getattr(credential, "is_api_key", False)
        rights = rights_of_user(request.user, key=credential if is_key else None)
    setattr(request, FOUND, rights)
    return rights


def rights_of_user(user: Any, *, key: Any = None) -> Rights:
    """Return what a user may do, with one of their API keys (its `key_id`, `prefix` and `scopes`) or without."""
    reach = Reach(_permitted(user))
    # A superuser may everything; their key may be narrowed all the same.
    needed = user.is_active and (not user.is_superuser or key is not None)
    grants = held(user=user, key_id=getattr(key, "key_id", None)) if needed else ()
    own = [reach_of(grant, otherwise=reach) for grant in grants if grant.api_key_id is None]
    if own and not user.is_superuser:
        reach = combined(own)
    if key is not None:
        reach = narrowed(reach, Reach(frozenset(key.scopes) or frozenset(Scope)))
        limits = [reach_of(grant, otherwise=reach) for grant in grants if grant.api_key_id is not None]
        reach = narrowed(reach, combined(limits)) if limits else reach
    return Rights(
        principal=f"user:{user.pk}" if key is None else f"api_key:{key.prefix}",
        scopes=reach.scopes,
        actor_id=str(user.pk),
        models=reach.models,
        labels=reach.labels,
    )


def _permitted(user: Any) -> frozenset[Scope]:
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(Scope)
    auditor = AUDITOR_SCOPES if user.has_perm(AUDITOR_PERMISSION) else frozenset()
    return auditor | {scope for scope, permission in PERMISSIONS.items() if user.has_perm(permission)}
