"""The read model, partitioned by month of the event id, and the consumer's offsets."""

from django.db import migrations, models

import auditlog.exact_json

# Indexes are made on the parent, so that every partition has them. The functions run as the tables' owner: the
# consumer's role owns nothing and still must never fail on the first event of a month.
READ_MODEL = """
CREATE TABLE auditlog_auditlog (
    event_id uuid NOT NULL PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    model text NOT NULL,
    object_pk text,
    object_repr text,
    action text NOT NULL,
    category text NOT NULL,
    changes jsonb,
    before jsonb,
    after jsonb,
    m2m jsonb,
    data jsonb,
    masked jsonb,
    classes jsonb,
    actor_id text,
    actor_repr text,
    actor jsonb,
    request_id text,
    session text,
    transaction_id text,
    remote_addr inet,
    reason text,
    context jsonb,
    schema_version text,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    sequence text NOT NULL,
    shape uuid
) PARTITION BY RANGE (event_id);
CREATE INDEX auditlog_auditlog_time ON auditlog_auditlog (occurred_at, event_id);
CREATE INDEX auditlog_auditlog_object ON auditlog_auditlog (model, object_pk, sequence);
CREATE INDEX auditlog_auditlog_model_time ON auditlog_auditlog (model, occurred_at, event_id);
CREATE INDEX auditlog_auditlog_actor_time ON auditlog_auditlog (actor_id, occurred_at, event_id)
    WHERE actor_id IS NOT NULL;
CREATE INDEX auditlog_auditlog_request ON auditlog_auditlog (request_id) WHERE request_id IS NOT NULL;

-- The lowest UUID of a millisecond (RFC 9562, section 5.7: 48 bits of Unix time in milliseconds come first).
CREATE FUNCTION auditlog_uuid_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT rpad(lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid $$;

-- Make the partition of the month of a time, in UTC; true where it was missing.
-- Raises datetime_field_overflow outside 120 months back and 25 months ahead: such a time is a mistake.
CREATE FUNCTION auditlog_ensure_partition(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    first_day timestamp := date_trunc('month', at AT TIME ZONE 'UTC');
    partition_name text := 'auditlog_auditlog_p' || to_char(first_day, 'YYYYMM');
BEGIN
    IF at NOT BETWEEN now() - interval '120 months' AND now() + interval '25 months' THEN
        RAISE EXCEPTION 'no partition for %: outside the horizon', at USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('auditlog_auditlog partitions', 0));
    -- A query, which sees what committed until now; to_regclass may remember from before the lock that there is none.
    IF EXISTS (
        SELECT FROM pg_class c WHERE c.relname = partition_name AND c.relnamespace = current_schema()::regnamespace
    ) THEN
        RETURN false;
    END IF;
    -- Attached rather than created in place: readers and writers of other months are not locked out.
    EXECUTE format('CREATE TABLE %I (LIKE auditlog_auditlog INCLUDING ALL)', partition_name);
    EXECUTE format(
        'ALTER TABLE auditlog_auditlog ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        partition_name,
        auditlog_uuid_floor(first_day AT TIME ZONE 'UTC'),
        auditlog_uuid_floor((first_day + interval '1 month') AT TIME ZONE 'UTC')
    );
    RETURN true;
END
$$;
-- Pinned: it runs as the owner, and must find and make tables in this schema whatever the caller's path is.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION auditlog_ensure_partition(timestamptz) SET search_path = %I, pg_temp', current_schema()
    );
END
$$;
SELECT auditlog_ensure_partition(now() + make_interval(months => month)) FROM generate_series(-1, 3) month;
"""
DROP_READ_MODEL = """
DROP TABLE auditlog_auditlog;
DROP FUNCTION auditlog_ensure_partition(timestamptz);
DROP FUNCTION auditlog_uuid_floor(timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0002_capture_functions")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(READ_MODEL, DROP_READ_MODEL, hints={"table": "auditlog.auditlog"})
            ],
            state_operations=[
                migrations.CreateModel(
                    name='AuditLog',
                    fields=[
                        ('event_id', models.UUIDField(primary_key=True, serialize=False)),
                        ('occurred_at', models.DateTimeField()),
                        ('stored_at', models.DateTimeField()),
                        ('model', models.TextField()),
                        ('object_pk', models.TextField(null=True)),
                        ('object_repr', models.TextField(null=True)),
                        ('action', models.TextField()),
                        ('category', models.TextField()),
                        ('changes', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('before', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('after', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('m2m', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('data', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('masked', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('classes', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('actor_id', models.TextField(null=True)),
                        ('actor_repr', models.TextField(null=True)),
                        ('actor', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('request_id', models.TextField(null=True)),
                        ('session', models.TextField(null=True)),
                        ('transaction_id', models.TextField(null=True)),
                        ('remote_addr', models.GenericIPAddressField(null=True)),
                        ('reason', models.TextField(null=True)),
                        ('context', models.JSONField(decoder=auditlog.exact_json.ExactDecoder, null=True)),
                        ('schema_version', models.TextField(null=True)),
                        ('topic', models.TextField()),
                        ('partition', models.IntegerField()),
                        ('offset', models.BigIntegerField()),
                        ('sequence', models.TextField()),
                        ('shape', models.UUIDField(null=True)),
                    ],
                    options={
                        'verbose_name': 'audit event',
                        'verbose_name_plural': 'audit log',
                        'default_permissions': ('view',),
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='EventShape',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('text', models.TextField()),
            ],
            options={
                'verbose_name': 'event shape',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ConsumerOffset',
            fields=[
                ('pk', models.CompositePrimaryKey('group', 'topic', 'partition', blank=True, editable=False, primary_key=True, serialize=False)),
                ('group', models.TextField()),
                ('topic', models.TextField()),
                ('partition', models.IntegerField()),
                ('next_offset', models.BigIntegerField()),
                ('updated_at', models.DateTimeField()),
            ],
            options={
                'verbose_name': 'consumer offset',
            },
        ),
    ]
