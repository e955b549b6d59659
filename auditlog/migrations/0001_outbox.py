"""The outbox, its ledger, and API keys."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The primary key is (shard, id): one index serves the relay's ordered fetch and its delete, and the inserts of
# concurrent writers do not meet on one right-most page. Values stay inline and uncompressed up to a page: compressing
# costs more than the bytes save in a table whose rows live for milliseconds. Vacuum starts by count, because the
# share of dead rows in a queue table says nothing.
OUTBOX = """
CREATE TABLE auditlog_outboxevent (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    shard smallint NOT NULL CHECK (shard BETWEEN 0 AND 63),
    topic text NOT NULL,
    key text NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    timeline integer NOT NULL,
    schema_version text,
    traceparent text,
    value text NOT NULL,
    parked_at timestamptz,
    parked_reason text,
    PRIMARY KEY (shard, id)
) WITH (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE auditlog_outboxevent ALTER COLUMN value SET STORAGE EXTERNAL;
-- Held-back keys: almost always empty, so that looking at it costs nothing.
CREATE INDEX auditlog_outboxevent_parked ON auditlog_outboxevent (topic, key) WHERE parked_at IS NOT NULL;
"""

# Ids hardly compress, and trying took a quarter of the time of an acknowledgement.
LEDGER_STORAGE = """
ALTER TABLE auditlog_outboxledger
    ALTER COLUMN outbox_ids SET STORAGE EXTERNAL, ALTER COLUMN event_ids SET STORAGE EXTERNAL;
"""


class Migration(migrations.Migration):
    # Not called 0001_initial: django-auditlog has the same application label, and a database that had it would
    # take our first migration for applied.
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    OUTBOX, "DROP TABLE auditlog_outboxevent", hints={"table": "auditlog.outboxevent"}
                )
            ],
            state_operations=[
                migrations.CreateModel(
                    name='OutboxEvent',
                    fields=[
                        ('id', models.BigAutoField(primary_key=True, serialize=False)),
                        ('shard', models.PositiveSmallIntegerField()),
                        ('topic', models.TextField()),
                        ('key', models.TextField()),
                        ('event_id', models.UUIDField()),
                        ('event_type', models.TextField()),
                        ('occurred_at', models.DateTimeField()),
                        ('timeline', models.IntegerField()),
                        ('schema_version', models.TextField(null=True)),
                        ('traceparent', models.TextField(null=True)),
                        ('value', models.TextField()),
                        ('parked_at', models.DateTimeField(null=True)),
                        ('parked_reason', models.TextField(null=True)),
                    ],
                    options={
                        'verbose_name': 'outbox event',
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='OutboxLedger',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('topic', models.TextField()),
                ('outbox_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                ('event_ids', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ('digest', models.BigIntegerField()),
                ('relay', models.TextField()),
                ('first_occurred_at', models.DateTimeField()),
                ('last_occurred_at', models.DateTimeField()),
                ('acknowledged_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'outbox ledger entry',
                'verbose_name_plural': 'outbox ledger',
                'indexes': [django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['first_occurred_at', 'last_occurred_at'], name='auditlog_outboxledger_times', pages_per_range=16)],
            },
        ),
        migrations.CreateModel(
            name='LedgerBeginning',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('purged_until', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'beginning of the ledger',
                'default_permissions': (),
            },
        ),
        migrations.RunSQL(LEDGER_STORAGE, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('prefix', models.CharField(max_length=16, unique=True)),
                ('secret_sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='audit_api_keys', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API key',
            },
        ),
    ]
