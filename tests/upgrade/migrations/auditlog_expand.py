"""The next version's expand step: columns that may be missing, and a function beside the one that it is to replace."""

from django.db import migrations

OUTBOX = """
ALTER TABLE auditlog_outboxevent ADD COLUMN origin text DEFAULT 'unknown';
-- An argument more, without a default: with one, a call of the old function could mean either.
DO $step$
DECLARE
    definition text := pg_get_functiondef((SELECT oid FROM pg_proc WHERE proname = 'auditlog_emit'));
BEGIN
    definition := replace(definition, 'p_traceparent text)', 'p_traceparent text, p_origin text)');
    definition := replace(
        definition, 'p_source, p_audit,', 'p_source, p_audit || '',"origin":'' || to_json(p_origin)::text,'
    );
    EXECUTE definition;
END
$step$;
"""
READ_MODEL = "ALTER TABLE auditlog_auditlog ADD COLUMN origin text"


class Migration(migrations.Migration):
    dependencies = [("auditlog", "__newest__")]

    operations = [
        migrations.RunSQL(OUTBOX, hints={"table": "auditlog.outboxevent"}),
        migrations.RunSQL(READ_MODEL, hints={"table": "auditlog.auditlog"}),
    ]
