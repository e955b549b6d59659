"""The contents of large values, in the chunks in which they came."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('auditlog', '0003_read_model'),
    ]

    operations = [
        migrations.CreateModel(
            name='ContentChunk',
            fields=[
                ('event_id', models.UUIDField(primary_key=True, serialize=False)),
                ('stored_at', models.DateTimeField()),
                ('sha256', models.TextField()),
                ('bytes', models.BigIntegerField()),
                ('chunk', models.IntegerField()),
                ('chunks', models.IntegerField()),
                ('data', models.BinaryField(null=True)),
                ('headers', models.JSONField(null=True)),
                ('topic', models.TextField()),
                ('partition', models.IntegerField()),
                ('offset', models.BigIntegerField()),
            ],
            options={
                'verbose_name': 'content chunk',
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('data__isnull', False)), fields=['sha256', 'chunks', 'chunk', 'event_id'], name='auditlog_contentchunk_bytes')],
            },
        ),
    ]
