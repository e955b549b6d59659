from django.db import migrations

# Taking over what dead workers left looks for running tasks every few seconds; all others in the table have ended or wait.
CREATE = """
CREATE INDEX doctors_tasks_running ON django_tasks_database_dbtaskresult (started_at) WHERE status = 'RUNNING'
"""
DROP = "DROP INDEX doctors_tasks_running"


class Migration(migrations.Migration):
    """An index of our own on the table of the background tasks."""

    dependencies = [
        ('doctors', '0001_initial'),
        ('django_tasks_database', '0021_conditional_partial_index_ordering'),
    ]

    operations = [migrations.RunSQL(CREATE, DROP)]
