"""Events that are stored where a position had passed, and up to where offsets are read again."""

from django.db import migrations, models

# A column without a default: nothing is rewritten.
LATE = "ALTER TABLE auditlog_auditlog ADD COLUMN late bigint"
DROP_LATE = "ALTER TABLE auditlog_auditlog DROP COLUMN late"


class Migration(migrations.Migration):

    dependencies = [
        ('auditlog', '0007_access'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(LATE, DROP_LATE, hints={'table': 'auditlog.auditlog'})],
            state_operations=[
                migrations.AddField(
                    model_name='auditlog',
                    name='late',
                    field=models.BigIntegerField(null=True),
                ),
            ],
        ),
        migrations.AddField(
            model_name='consumeroffset',
            name='again_until',
            field=models.BigIntegerField(null=True),
        ),
        migrations.CreateModel(
            name='LateEvent',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('event_id', models.UUIDField()),
            ],
            options={
                'verbose_name': 'late event',
                'default_permissions': (),
            },
        ),
    ]
