"""
The reference: triggers written by hand that put the same outbox rows down for one model.

They hold what ours hold (both images with the masked column masked, key, actor, table, transaction, UUIDv7, shard),
run with the owner's rights and with fixed settings as ours do. PostgreSQL has `uuidv7()` since 18; before, their ids
are random, and a little cheaper than ours. What they cannot have is what only Python knows: the actor is a setting of
the session, and there is no `object_repr`.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db.models import DecimalField

from auditlog.text import encode
from bench.models import Triggered

TABLE = Triggered._meta.db_table
LINKS = Triggered.specialties.through._meta.db_table
# Set by sessions that have an actor.
ACTOR_SETTING = "bench.actor"
LABEL = "bench.triggered"
HAS_UUIDV7 = 180_000
SETTINGS = """LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'"""

# The statement that both functions end with; {shape} is what differs between a row and a set of links.
INSERT = """
    INSERT INTO public.auditlog_outboxevent (
        shard, topic, key, event_id, event_type, occurred_at, timeline, schema_version, value
    )
    SELECT ('x' || substr(md5({topic} || '/' || e.key), 1, 2))::bit(8)::integer & 63, {topic}, e.key, e.id,
        'auditlog.{label}.' || e.action || '.v1', at, 1, '{label}:000000',
        concat('{{"before":', coalesce(e.before, 'null'), ',"after":', coalesce(e.after, 'null'), ',"op":"', e.op,
        '","ts_ms":', ms, ',"ts_us":', us,
        ',"source":{{"version":"1.0.0","connector":"trigger","name":"audit","table":"', TG_TABLE_NAME,
        '","ts_ms":', ms, ',"ts_us":', us, ',"db":', to_json(current_database()), ',"schema":"', TG_TABLE_SCHEMA,
        '","txId":', pg_current_xact_id(), ',"sequence":"', e.id, '","snapshot":"false"}}',
        ',"transaction":null,"audit":{{"event_id":"', e.id, '","action":"', e.action, '","object_pk":', to_json(e.key),
        ',"object_repr":null,"m2m":', coalesce(e.m2m, 'null'), ',"data":null',
        ',"masked_changed":', coalesce(e.changed, '[]'),
        ',"actor":', current_setting('{actor}', true), ',"context":{{}},"reason":null,{audit}}}}}')
    FROM ({shape}) e;
"""
DECLARE = """
DECLARE
    at timestamptz := clock_timestamp();
    us bigint := extract(epoch FROM at) * 1000000;
    ms bigint := us / 1000;
"""
ROW_FUNCTION = """
CREATE FUNCTION bench_row() RETURNS trigger {settings} AS $$ {declare}
    before text := CASE WHEN TG_OP <> 'INSERT' THEN ({old}) END;
    after text := CASE WHEN TG_OP <> 'DELETE' THEN ({new}) END;
BEGIN
    IF TG_OP = 'UPDATE' AND before = after AND OLD.tax_id = NEW.tax_id THEN
        RETURN NULL;
    END IF;
    {insert}
    RETURN NULL;
END $$;
CREATE TRIGGER bench_row AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION bench_row();
"""
ROW = """
    SELECT coalesce(NEW.id, OLD.id)::text AS key, uuidv7() AS id, before, after, NULL AS m2m,
        CASE TG_OP WHEN 'INSERT' THEN 'c' WHEN 'UPDATE' THEN 'u' ELSE 'd' END AS op,
        CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'delete' END AS action,
        CASE WHEN TG_OP = 'UPDATE' AND OLD.tax_id <> NEW.tax_id THEN '["tax_id"]' END AS changed
"""
LINKS_FUNCTION = """
CREATE FUNCTION bench_links() RETURNS trigger {settings} AS $$ {declare}
BEGIN
    {insert}
    RETURN NULL;
END $$;
CREATE TRIGGER bench_added AFTER INSERT ON {table} REFERENCING NEW TABLE AS links
FOR EACH STATEMENT EXECUTE FUNCTION bench_links();
CREATE TRIGGER bench_removed AFTER DELETE ON {table} REFERENCING OLD TABLE AS links
FOR EACH STATEMENT EXECUTE FUNCTION bench_links();
"""
LINK_SET = """
    SELECT l.triggered_id::text AS key, uuidv7() AS id, NULL AS before, NULL AS after, 'm' AS op,
        CASE TG_OP WHEN 'INSERT' THEN 'm2m.add' ELSE 'm2m.remove' END AS action, NULL AS changed,
        concat('{"field":"specialties","target_model":"bench.specialty","',
            CASE TG_OP WHEN 'INSERT' THEN 'added' ELSE 'removed' END, '":',
            json_agg(l.specialty_id::text ORDER BY l.specialty_id), ',"through":null,"labels":null}') AS m2m
    FROM links l GROUP BY l.triggered_id
"""


def install(owner: psycopg.Connection[Any]) -> None:
    """Make the triggers, as the tables' owner."""
    insert = INSERT.replace("{actor}", ACTOR_SETTING).replace("{label}", LABEL)
    insert = insert.replace("{audit}", encode(_audit())[1:-1].replace("'", "''")).replace("{{", "{").replace("}}", "}")
    row = insert.replace("{topic}", f"'audit.{LABEL}'").replace("{shape}", ROW)
    links = insert.replace("{topic}", f"'audit.{LABEL}.events'").replace("{shape}", LINK_SET)
    statements = (
        ROW_FUNCTION.format(
            settings=SETTINGS, declare=DECLARE, old=_image("OLD"), new=_image("NEW"), insert=row, table=TABLE
        ),
        LINKS_FUNCTION.format(settings=SETTINGS, declare=DECLARE, insert=links, table=LINKS),
    )
    made = "uuidv7()" if owner.info.server_version >= HAS_UUIDV7 else "gen_random_uuid()"
    for statement in statements:
        owner.execute(statement.replace("uuidv7()", made).encode())


def _image(row: str) -> str:
    columns = ", ".join(_value(row, field) for field in Triggered._meta.local_concrete_fields)
    return f"SELECT row_to_json(r)::text FROM (SELECT {columns}) r"


def _value(row: str, field: Any) -> str:
    value = f'{row}."{field.column}"'
    if field.name == "tax_id":
        return f"CASE WHEN {value} IS NOT NULL THEN '***' END AS \"{field.column}\""
    return f'{value}::text AS "{field.column}"' if isinstance(field, DecimalField) else value


def _audit() -> dict[str, Any]:
    return {
        "category": "write",
        "model": LABEL,
        "masked": ["tax_id"],
        "fields": {},
        "schema_version": f"{LABEL}:000000",
    }
