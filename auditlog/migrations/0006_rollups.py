"""Rollups: how many events of each kind there were in each hour, counted by the statement that stores them."""

from django.db import migrations, models

# No key and no unique index: consumers only append, so that none waits for another, and no value is too long to be
# counted. The trigger runs as the owner: nobody else may write counts.
ROLLUPS = """
CREATE TABLE auditlog_rollup (
    at timestamptz NOT NULL,
    by_actor boolean NOT NULL,
    model text NOT NULL,
    action text NOT NULL,
    category text NOT NULL,
    actor_id text,
    events bigint NOT NULL,
    compacted boolean NOT NULL DEFAULT false
);
CREATE INDEX auditlog_rollup_hours ON auditlog_rollup (by_actor, at);
CREATE INDEX auditlog_rollup_fresh ON auditlog_rollup (at) WHERE NOT compacted;

CREATE FUNCTION auditlog_roll_up() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    INSERT INTO auditlog_rollup (at, by_actor, model, action, category, actor_id, events)
    SELECT date_trunc('hour', occurred_at, 'UTC'), grouping(actor_id) = 0, model, action, category, actor_id, count(*)
    FROM stored
    GROUP BY date_trunc('hour', occurred_at, 'UTC'), model, action, category, GROUPING SETS ((actor_id), ());
    RETURN NULL;
END
$$;
-- Pinned: it runs as the owner, and must find the table of this schema whatever the caller's path is.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION auditlog_roll_up() SET search_path = %I, pg_temp', current_schema());
END
$$;
-- Or else a trigger on somebody's own table could count what never happened.
REVOKE EXECUTE ON FUNCTION auditlog_roll_up() FROM PUBLIC;
-- Of the transition table, which has the rows that were stored and not those that were there before. Waits for the
-- transactions that are storing: what they stored is found below.
CREATE TRIGGER auditlog_auditlog_rollup AFTER INSERT ON auditlog_auditlog
REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION auditlog_roll_up();

-- Months of which events are stored already, and their neighbours: the time inside an id, which decides about the
-- partition, may be a day from the event's.
CREATE TABLE auditlog_rollupbacklog (month timestamptz NOT NULL PRIMARY KEY);
DO $$
DECLARE
    partition_name text;
    first_day timestamp;
    has_events boolean;
BEGIN
    FOR partition_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'auditlog_auditlog'::regclass
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', partition_name) INTO has_events;
        CONTINUE WHEN NOT has_events;
        first_day := to_date(right(partition_name, 6), 'YYYYMM');
        INSERT INTO auditlog_rollupbacklog (month)
        SELECT (first_day + make_interval(months => step)) AT TIME ZONE 'UTC' FROM generate_series(-1, 1) step
        ON CONFLICT DO NOTHING;
    END LOOP;
END
$$;
"""
DROP_ROLLUPS = """
DROP TRIGGER auditlog_auditlog_rollup ON auditlog_auditlog;
DROP FUNCTION auditlog_roll_up();
DROP TABLE auditlog_rollupbacklog;
DROP TABLE auditlog_rollup;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('auditlog', '0005_questions'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(ROLLUPS, DROP_ROLLUPS, hints={'table': 'auditlog.auditlog'})
            ],
            state_operations=[
                migrations.CreateModel(
                    name='Rollup',
                    fields=[
                        ('at', models.DateTimeField(primary_key=True, serialize=False)),
                        ('by_actor', models.BooleanField()),
                        ('model', models.TextField()),
                        ('action', models.TextField()),
                        ('category', models.TextField()),
                        ('actor_id', models.TextField(null=True)),
                        ('events', models.BigIntegerField()),
                        ('compacted', models.BooleanField()),
                    ],
                    options={
                        'verbose_name': 'rollup',
                        'default_permissions': (),
                    },
                ),
                migrations.CreateModel(
                    name='RollupBacklog',
                    fields=[
                        ('month', models.DateTimeField(primary_key=True, serialize=False)),
                    ],
                    options={
                        'verbose_name': 'month without rollups',
                        'verbose_name_plural': 'months without rollups',
                        'default_permissions': (),
                    },
                ),
            ],
        ),
    ]
