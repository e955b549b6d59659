"""The SQL functions that the write statements call in their RETURNING clause, and the keys of masks."""

from pathlib import Path

from django.db import migrations

from auditlog.capture.state import forget_capability

FUNCTIONS = Path(__file__).parent / "sql" / "capture_functions.sql"
DROP = """
DROP FUNCTION {schema}.auditlog_record, {schema}.auditlog_remember, {schema}.auditlog_emit_links, {schema}.auditlog_image, {schema}.auditlog_emit,
    {schema}.auditlog_emit_images, {schema}.auditlog_images,
    {schema}.auditlog_repr, {schema}.auditlog_append, {schema}.auditlog_hash;
DROP TABLE {schema}.auditlog_secret;
"""


def install(apps, schema_editor):
    """Create the functions in the schema that the tables were made in."""
    _run(schema_editor, FUNCTIONS.read_text(encoding="utf-8"))


def uninstall(apps, schema_editor):
    """Drop the functions; writes go uncaptured from here on, which is logged."""
    _run(schema_editor, DROP)


def _run(schema_editor, template):
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        text = schema.replace("'", "''")
        cursor.execute(template.replace("{schema_text}", text).replace("{schema}", schema))
    # Whether the functions are there is decided once for each connection.
    forget_capability(connection)


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0001_outbox")]

    operations = [migrations.RunPython(install, uninstall, hints={"table": "auditlog.outboxevent"})]
