"""The contract step of the version after: the function that only the version before the next one calls."""

from django.db import migrations

DROP = """
DO $step$
BEGIN
    EXECUTE (
        SELECT 'DROP FUNCTION ' || oid::regprocedure FROM pg_proc WHERE proname = 'auditlog_emit' ORDER BY pronargs LIMIT 1
    );
END
$step$;
"""


class Migration(migrations.Migration):
    dependencies = [("auditlog", "__newest__")]

    operations = [migrations.RunSQL(DROP, hints={"table": "auditlog.outboxevent"})]
