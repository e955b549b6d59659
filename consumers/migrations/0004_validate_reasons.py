"""The reasons of old rows, checked while dead letters may be written."""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('consumers', '0003_unknown_version'),
    ]

    operations = [
        ValidateConstraint(model_name='deadletter', name='consumers_deadletter_reason'),
    ]
