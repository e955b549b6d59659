"""Row security of the audit log: the second wall, behind what the queries leave out."""

from pathlib import Path

from django.db import migrations

BUILD = (Path(__file__).parent / "sql" / "wall.sql").read_text(encoding="utf-8")
TAKE_DOWN = """
DROP POLICY IF EXISTS auditlog_restricted ON auditlog_auditlog;
DROP POLICY IF EXISTS auditlog_service ON auditlog_auditlog;
DROP POLICY auditlog_others ON auditlog_auditlog;
ALTER TABLE auditlog_auditlog DISABLE ROW LEVEL SECURITY;
DROP FUNCTION auditlog_access(text);
"""


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0008_positions")]

    operations = [migrations.RunSQL(BUILD, TAKE_DOWN, hints={"table": "auditlog.auditlog"})]
