"""What questions are asked by: whom an event is about, where it belongs, which fields changed, for whom, in which trace."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

# Constant defaults: no row is written again, and a consumer of the version before goes on. Rows that are there already
# keep empty arrays. Indexes are made on the parent, so that every partition has them, also those that are made later.
QUESTIONS = """
ALTER TABLE auditlog_auditlog
    ADD COLUMN subjects text[] NOT NULL DEFAULT '{}',
    ADD COLUMN labels text[] NOT NULL DEFAULT '{}',
    ADD COLUMN changed_fields text[] NOT NULL DEFAULT '{}',
    ADD COLUMN on_behalf_of_id text,
    ADD COLUMN trace_id text;
CREATE INDEX auditlog_auditlog_arrays ON auditlog_auditlog USING gin (subjects, changed_fields, labels)
    WITH (gin_pending_list_limit = 1024);
CREATE INDEX auditlog_auditlog_transaction ON auditlog_auditlog (transaction_id);
CREATE INDEX auditlog_auditlog_session_time ON auditlog_auditlog (session, occurred_at, event_id)
    WHERE session IS NOT NULL;
CREATE INDEX auditlog_auditlog_trace ON auditlog_auditlog (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX auditlog_auditlog_address_time ON auditlog_auditlog (remote_addr, occurred_at, event_id)
    WHERE remote_addr IS NOT NULL;
CREATE INDEX auditlog_auditlog_on_behalf_of_time ON auditlog_auditlog (on_behalf_of_id, occurred_at, event_id)
    WHERE on_behalf_of_id IS NOT NULL;
-- text_pattern_ops: by the beginning of an action as well, whatever the database's locale.
CREATE INDEX auditlog_auditlog_action_time ON auditlog_auditlog (action text_pattern_ops, occurred_at, event_id);
CREATE INDEX auditlog_auditlog_category_time ON auditlog_auditlog (category, occurred_at, event_id)
    WHERE category IN ('admin', 'security');
CREATE INDEX auditlog_auditlog_position ON auditlog_auditlog (topic, partition, "offset");

-- The words by which an event is found. Letters and digits between what else there is are a word each: PostgreSQL's parser
-- would take `m.okonkwo`, an address of mail or a path as one. Long texts count with their beginning, since there is
-- a limit to what an index takes. Written as RETURN, so that names do not depend on anybody's search path.
CREATE FUNCTION auditlog_words(object_repr text, actor_repr text, reason text, action text, model text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector(
    'pg_catalog.simple'::regconfig,
    replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
        left(coalesce(object_repr, ''), 4000) || ' ' || left(coalesce(actor_repr, ''), 4000) || ' '
            || left(coalesce(reason, ''), 4000) || ' ' || left(coalesce(action, ''), 4000) || ' ' || left(coalesce(model, ''), 4000),
        '.', ' '), '-', ' '), '_', ' '), '/', ' '), '@', ' '), ':', ' '), '&', ' '), '<', ' '), '>', ' '), '+', ' '), '~', ' ')
);
-- What waits to be sorted in is read by every search: 1 MB instead of 4 keeps that short, and costs writers nothing.
CREATE INDEX auditlog_auditlog_words ON auditlog_auditlog
    USING gin (auditlog_words(object_repr, actor_repr, reason, action, model)) WITH (gin_pending_list_limit = 1024);

-- Which objects have most events. Without it the planner takes an object of thousands for one of two (as if model and key
-- were independent), and reads and sorts its whole life for a page. New partitions are made like the parent.
CREATE STATISTICS auditlog_auditlog_objects (mcv) ON model, object_pk FROM auditlog_auditlog;
DO $$
DECLARE
    partition_name text;
BEGIN
    FOR partition_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'auditlog_auditlog'::regclass
    LOOP
        EXECUTE format(
            'CREATE STATISTICS %I (mcv) ON model, object_pk FROM %I', partition_name || '_objects', partition_name
        );
    END LOOP;
END
$$;
"""
DROP_QUESTIONS = """
DO $$
DECLARE
    statistics_name text;
BEGIN
    FOR statistics_name IN
        SELECT format('%s.%I', e.stxnamespace::regnamespace, e.stxname) FROM pg_statistic_ext e
        WHERE e.stxrelid IN (SELECT relid FROM pg_partition_tree('auditlog_auditlog'))
    LOOP
        EXECUTE 'DROP STATISTICS ' || statistics_name;
    END LOOP;
END
$$;
DROP INDEX auditlog_auditlog_words;
DROP FUNCTION auditlog_words(text, text, text, text, text);
ALTER TABLE auditlog_auditlog
    DROP COLUMN subjects, DROP COLUMN labels, DROP COLUMN changed_fields, DROP COLUMN on_behalf_of_id,
    DROP COLUMN trace_id;
DROP INDEX auditlog_auditlog_transaction;
DROP INDEX auditlog_auditlog_session_time;
DROP INDEX auditlog_auditlog_address_time;
DROP INDEX auditlog_auditlog_action_time;
DROP INDEX auditlog_auditlog_category_time;
DROP INDEX auditlog_auditlog_position;
"""


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0004_contents")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(QUESTIONS, DROP_QUESTIONS, hints={"table": "auditlog.auditlog"})
            ],
            state_operations=[
                migrations.AddField('auditlog', 'subjects', ArrayField(models.TextField(), default=list, db_default=[])),
                migrations.AddField('auditlog', 'labels', ArrayField(models.TextField(), default=list, db_default=[])),
                migrations.AddField(
                    'auditlog', 'changed_fields', ArrayField(models.TextField(), default=list, db_default=[])
                ),
                migrations.AddField('auditlog', 'on_behalf_of_id', models.TextField(null=True)),
                migrations.AddField('auditlog', 'trace_id', models.TextField(null=True)),
            ],
        ),
    ]
