"""
The policies of row security on the audit log: who sees which rows, whatever a query says.

The service's roles see all rows: their policy is a constant, which the planner drops. A policy that is none would keep
GIN indexes from being used, since their operators are not leakproof. Callers whose rights are restricted are read as
`auditlog_restricted`, which sees what the setting `auditlog.access` of the transaction says, and nothing without it.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

RESTRICTED = "auditlog_restricted"
TABLE = "auditlog_auditlog"
SETTING = "auditlog.access"
# What a restricted caller's statements read; the rows of the audit log go by the policy below.
READ_BY_RESTRICTED = (
    *(TABLE, "auditlog_eventshape", "auditlog_contentchunk"),
    *("auditlog_consumeroffset", "auditlog_lateevent"),
)

POLICIES = {
    "auditlog_service": """
CREATE POLICY auditlog_service ON auditlog_auditlog TO auditlog_reader, auditlog_consumer
USING (true) WITH CHECK (true)
""",
    # Of labels, the row needs one of each dimension: those of its labels that are allowed are of all dimensions.
    "auditlog_restricted": """
CREATE POLICY auditlog_restricted ON auditlog_auditlog FOR SELECT TO auditlog_restricted USING (
    ((SELECT auditlog_access('everybody')) IS NOT NULL OR actor_id = ANY ((SELECT auditlog_access('actors'))::text[]))
    AND ((SELECT auditlog_access('models')) IS NULL OR model = ANY ((SELECT auditlog_access('models'))::text[]))
    AND (
        (SELECT auditlog_access('dimensions')) IS NULL
        OR (
            labels && (SELECT auditlog_access('labels'))
            AND (
                SELECT count(DISTINCT split_part(label, ':', 1)) FROM unnest(labels) label
                WHERE label = ANY ((SELECT auditlog_access('labels'))::text[])
            ) = cardinality((SELECT auditlog_access('dimensions')))
        )
    )
)
""",
}
ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
IS_SECURED = "SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)"
EXISTING = "SELECT polname FROM pg_policy WHERE polrelid = to_regclass(%s)"
# Whether a role may become the restricted one, and policies stand behind it.
STANDS = """
SELECT EXISTS (
    SELECT FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid, pg_roles r
    WHERE p.polrelid = to_regclass(%s) AND p.polname = %s AND c.relrowsecurity
    AND r.rolname = %s AND pg_has_role(coalesce(%s, current_user), r.oid, 'MEMBER')
)
"""


def build(cursor: CursorWrapper) -> bool:
    """
    Make the policies that are missing, as the table's owner; False where row security is off or the role is missing.

    What is there stays: to make a policy locks out every reader for a moment.
    """
    cursor.execute(ROLE_EXISTS, [RESTRICTED])
    if cursor.fetchone() != (True,):
        return False
    cursor.execute(IS_SECURED, [TABLE])
    if cursor.fetchone() != (True,):  # also where the table is on another server
        return False
    cursor.execute(EXISTING, [TABLE])
    existing = {name for (name,) in cursor.fetchall()}
    for name, statement in POLICIES.items():
        if name not in existing:
            cursor.execute(statement)
    return True


def stand(connection: BaseDatabaseWrapper, *, reader: str | None = None) -> bool:
    """Tell whether a role, by default the connection's own, can put callers behind the wall."""
    with connection.cursor() as cursor:
        cursor.execute(STANDS, [TABLE, RESTRICTED, RESTRICTED, reader])
        return bool(cursor.fetchone()[0])
