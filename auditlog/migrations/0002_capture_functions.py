"""The SQL functions that the write statements call in their RETURNING clause, and the keys of masks."""

from pathlib import Path

from django.db import migrations

from auditlog.capture.state import forget_capability

FOLDER = Path(__file__).parent / "sql"
FILES = ("large_values.sql", "capture_functions.sql")
DROP = """
DROP FUNCTION {schema}.auditlog_record, {schema}.auditlog_remember, {schema}.auditlog_emit_links, {schema}.auditlog_image, {schema}.auditlog_emit,
    {schema}.auditlog_emit_images, {schema}.auditlog_images,
    {schema}.auditlog_repr, {schema}.auditlog_append, {schema}.auditlog_hash,
    {schema}.auditlog_parts_of_links, {schema}.auditlog_large_images, {schema}.auditlog_replaced, {schema}.auditlog_room,
    {schema}.auditlog_members, {schema}.auditlog_reference, {schema}.auditlog_send_content,
    {schema}.auditlog_is_unstorable, {schema}.auditlog_offload, {schema}.auditlog_smaller, {schema}.auditlog_member,
    {schema}.auditlog_with_members;
DROP TABLE {schema}.auditlog_secret, {schema}.auditlog_sentcontent;
"""


def install(apps, schema_editor):
    """Create the functions in the schema that the tables were made in."""
    for name in FILES:
        _run(schema_editor, (FOLDER / name).read_text(encoding="utf-8"))


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
