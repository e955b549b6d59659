"""How programs authenticate at the audit API, and who may see what of the audit log."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from auditlog.access.scopes import Scope
from auditlog.registry import auditlog
from auditlog.topics import SYSTEM_MODEL

SCOPES = [(scope.value, scope.value) for scope in Scope]
LABEL = RegexValidator(r"\A[a-z][a-z0-9_]{0,49}:[^\x00-\x1f\x7f]{1,200}\Z", "Write dimension:value, as department:3.")
HOLDERS = ("user", "group", "api_key")


def _scopes(help_text: str) -> ArrayField[list[str], list[str]]:
    return ArrayField(
        models.CharField(max_length=40, choices=SCOPES), default=list, db_default=[], blank=True, help_text=help_text
    )


class ApiKey(models.Model):
    """
    A key of a user, stored as the SHA-256 of a 256-bit random secret: such a secret needs no slow hash.

    `prefix` is the public part that finds the row; the secret itself is shown once, when the key is made.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="audit_api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = _scopes("What the key may do of what its user may; none: everything.")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[ApiKey]]

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=[scope.value for scope in Scope]),
                name="auditlog_apikey_scopes",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AccessGrant(models.Model):
    """
    What one user, the members of a group, or an API key may see of the audit log.

    A user who has grants may do what they say, and no longer what permissions give; a grant without scopes takes those
    of the permissions. Those of an API key narrow what its user may. Never changed: revoked, and granted anew, so that
    each is an event. Make and revoke them by `auditlog.access.grants`.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="audit_grants"
    )
    group = models.ForeignKey(
        "auth.Group", on_delete=models.CASCADE, null=True, blank=True, related_name="audit_grants"
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="audit_grants")
    scopes = _scopes("None: those that the holder's permissions give.")
    model_names = ArrayField(
        models.CharField(max_length=200),
        default=list,
        db_default=[],
        blank=True,
        verbose_name="models",
        help_text="app_label.model, in lower case; none: all.",
    )
    labels = ArrayField(
        models.CharField(max_length=255, validators=[LABEL]),
        default=list,
        db_default=[],
        blank=True,
        help_text="dimension:value, as department:3; none: all. Events without a value of such a dimension are hidden.",
    )
    reason = models.CharField(max_length=1_000)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[AccessGrant]]

    class Meta:
        verbose_name = "access grant"
        permissions = [
            ("read_own", "Can see the audit events of their own acts"),
            ("read", "Can see audit events, without values of restricted classes"),
            ("read_sensitive", "Can see values of restricted classes in audit events"),
            ("admin", "Can see what others asked the audit log"),
            ("export", "Can export audit events"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, group__isnull=True, api_key__isnull=True)
                | models.Q(user__isnull=True, group__isnull=False, api_key__isnull=True)
                | models.Q(user__isnull=True, group__isnull=True, api_key__isnull=False),
                name="auditlog_accessgrant_one_holder",
                violation_error_message="Name one holder: a user, a group or an API key.",
            ),
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=[scope.value for scope in Scope]),
                name="auditlog_accessgrant_scopes",
            ),
        ]

    def __str__(self) -> str:
        what = [*(self.scopes or ["what permissions give"]), *self.model_names, *self.labels]
        return f"{self.holder}: {', '.join(what)}"

    @property
    def holder(self) -> str:
        """Return who holds the grant, as `user ada`."""
        kind = next((name for name in HOLDERS if getattr(self, f"{name}_id") is not None), "nobody")
        return f"{kind.replace('_', ' ')} {getattr(self, kind, '')}".strip()

    def clean(self) -> None:
        """Refuse models that are not audited: a misspelt one would hide everything."""
        known = {model._meta.label_lower for model in auditlog.get_models()} | {SYSTEM_MODEL}
        if unknown := sorted(set(self.model_names) - known):
            raise ValidationError({"model_names": f"Not audited: {', '.join(unknown)}."})
