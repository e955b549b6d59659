"""Who may see what of the audit log, and whose bearer tokens say so."""

from __future__ import annotations

from typing import Any

from settings.env import env

# Field classes whose values only callers with the scope audit.read.sensitive see.
AUDITLOG_RESTRICTED_CLASSES = env.words(
    "AUDITLOG_RESTRICTED_CLASSES", default=("sensitive", "health", "financial", "credential", "confidential")
)

# Signed with a private key: who verifies cannot sign.
ASYMMETRIC = frozenset(
    {
        *("RS256", "RS384", "RS512"),
        *("PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA"),
    }
)


def _issuer() -> dict[str, Any] | None:
    """Return the issuer of bearer tokens; None where none is named."""
    issuer = env.text("AUDIT_OIDC_ISSUER")
    algorithms = env.words("AUDIT_OIDC_ALGORITHMS", default=("RS256", "ES256"))
    found = {
        "issuer": issuer,
        "audience": env.text("AUDIT_OIDC_AUDIENCE"),
        "jwks_url": env.secret_url(
            "AUDIT_OIDC_JWKS_URL",
            schemes=("https",) if env.production else ("https", "http"),
            example="https://id.example.org/jwks.json",
        ),
        "algorithms": algorithms,
        "subject_claim": env.text("AUDIT_OIDC_SUBJECT_CLAIM", default="sub"),
        "name_claim": env.text("AUDIT_OIDC_NAME_CLAIM", default="preferred_username"),
        "scopes_claim": env.text("AUDIT_OIDC_SCOPES_CLAIM", default="scope"),
        "labels_claim": env.text("AUDIT_OIDC_LABELS_CLAIM"),
        "leeway_seconds": env.integer("AUDIT_OIDC_LEEWAY_SECONDS", default=30, maximum=300),
        "timeout_seconds": env.integer("AUDIT_OIDC_TIMEOUT_SECONDS", default=3, minimum=1, maximum=30),
        "pause_seconds": env.integer("AUDIT_OIDC_REFETCH_SECONDS", default=30, minimum=1, maximum=3_600),
        "lifetime_seconds": env.integer("AUDIT_OIDC_KEYS_SECONDS", default=3_600, minimum=60, maximum=86_400),
    }
    if not issuer:
        return None
    for name in ("audience", "jwks_url"):
        variable = f"AUDIT_OIDC_{name.upper()}"
        if not found[name] and variable not in env.problems:
            env.problems[variable] = "is not set, and AUDIT_OIDC_ISSUER is"
    if unfit := sorted(set(algorithms) - ASYMMETRIC):
        env.problems["AUDIT_OIDC_ALGORITHMS"] = f"may name {', '.join(sorted(ASYMMETRIC))}, not {', '.join(unfit)}"
    return found


AUDITLOG_OIDC = _issuer()
