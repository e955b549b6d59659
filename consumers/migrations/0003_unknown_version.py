"""A reason for records of a newer version of the format; old rows are looked at by the next migration, without a lock."""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('consumers', '0002_hash_mismatch'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='deadletter',
            name='consumers_deadletter_reason',
        ),
        migrations.AlterField(
            model_name='deadletter',
            name='reason',
            field=models.TextField(choices=[('empty_value', 'EMPTY_VALUE'), ('invalid_utf8', 'INVALID_UTF8'), ('invalid_json', 'INVALID_JSON'), ('invalid_event', 'INVALID_EVENT'), ('unstorable_text', 'UNSTORABLE_TEXT'), ('invalid_event_id', 'INVALID_EVENT_ID'), ('unknown_version', 'UNKNOWN_VERSION'), ('header_mismatch', 'HEADER_MISMATCH'), ('hash_mismatch', 'HASH_MISMATCH'), ('out_of_horizon', 'OUT_OF_HORIZON'), ('refused_by_database', 'REFUSED_BY_DATABASE')]),
        ),
        AddConstraintNotValid(
            model_name='deadletter',
            constraint=models.CheckConstraint(condition=models.Q(('reason__in', ['empty_value', 'invalid_utf8', 'invalid_json', 'invalid_event', 'unstorable_text', 'invalid_event_id', 'unknown_version', 'header_mismatch', 'hash_mismatch', 'out_of_horizon', 'refused_by_database'])), name='consumers_deadletter_reason'),
        ),
    ]
