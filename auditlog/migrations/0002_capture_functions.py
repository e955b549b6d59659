"""The SQL functions that the write statements call in their RETURNING clause."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0001_outbox")]

    operations = []
