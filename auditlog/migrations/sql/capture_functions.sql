-- The functions that write statements call in their RETURNING clause. {schema} is the quoted schema of our tables.
--
-- They run as the tables' owner (the application has no right on the outbox) with a fixed search_path, and with fixed
-- output settings: numbers, times and intervals must not depend on the session of whoever writes. Settings reach only
-- what is evaluated inside, which is why rows are passed in whole and turned into text here.

-- The keys of masks: made here, never read by the application, never part of a statement's text.
CREATE TABLE {schema}.auditlog_secret (
    name text PRIMARY KEY,
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
REVOKE ALL ON {schema}.auditlog_secret FROM PUBLIC;

-- HMAC-SHA256 (RFC 2104) needs the key XORed with two constants: keep both results instead of the key.
INSERT INTO {schema}.auditlog_secret (name, inner_pad, outer_pad)
SELECT 'mask', string_agg(set_byte('\x00', 0, b # 54), '' ORDER BY i), string_agg(set_byte('\x00', 0, b # 92), '' ORDER BY i)
FROM (
    SELECT i, CASE WHEN i < 32 THEN get_byte(key, i) ELSE 0 END AS b
    FROM generate_series(0, 63) i,
        (SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) AS key) k
) bytes;

-- The keyed hash of a masked value: equal values look equal, and nobody without the key can try values out.
CREATE FUNCTION {schema}.auditlog_hash(p_value anyelement) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
    SELECT 'hmac:' || encode(sha256(outer_pad || sha256(inner_pad || convert_to(p_value::text, 'UTF8'))), 'hex')
    FROM {schema}.auditlog_secret WHERE name = 'mask'
$$;

-- Append one event to the outbox in its final bytes. Internal: called by the functions below with their settings.
-- The id is taken here, after the changed row is locked and written, so that id order is commit order for each row.
-- Everything is computed by assignments, and functions are called by them: PL/pgSQL evaluates these without an executor,
-- which PERFORM and the expressions of an INSERT need for each row.
CREATE FUNCTION {schema}.auditlog_append(
    p_op text, p_action text, p_topic text, p_key text, p_before text, p_after text, p_relation oid,
    p_source text, p_audit text, p_type text, p_schema_version text,
    p_m2m text, p_data text, p_masked_changed text, p_frame text, p_repr text, p_traceparent text, p_snapshot text
) RETURNS uuid
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    -- Assigned before the time and the id are taken: who knows of no older transaction under way may trust that neither an
    -- earlier event nor a lower id appears.
    transaction_id xid8 := pg_current_xact_id();
    at timestamptz := clock_timestamp();
    us bigint := extract(epoch FROM at) * 1000000;
    ms text := us / 1000;
    hex text := lpad(to_hex(us / 1000), 12, '0');
    -- UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then the version and 74 random bits.
    id uuid := substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7' || substr(gen_random_uuid()::text, 16);
    outbox_id bigint := nextval('{schema_text}.auditlog_outboxevent_id_seq');
    -- The WAL timeline is the first part of a WAL file's name: ids of a lost timeline must not look newer.
    timeline text := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
    -- Nothing is visible under this search_path, so that the name comes with its schema.
    namespace text := (parse_ident(p_relation::regclass::text))[1];
    shard integer := ('x' || substr(md5(p_topic || '/' || p_key), 1, 2))::bit(8)::integer & 63;
    event_type text := p_type || p_action || '.v1';
    timeline_number integer := ('x' || timeline)::bit(32)::integer;
    wire text := concat('{"before":', coalesce(p_before, 'null'), ',"after":', coalesce(p_after, 'null'),
        ',"op":"', p_op, '","ts_ms":', ms, ',"ts_us":', us,
        ',"source":{', p_source, ',"ts_ms":', ms, ',"ts_us":', us,
        ',"db":', to_json(current_database()), ',"schema":', coalesce(to_json(namespace)::text, 'null'),
        ',"txId":', transaction_id,
        ',"sequence":"', timeline, ':', lpad(outbox_id::text, 20, '0'), '","snapshot":"', p_snapshot,
        '"},"transaction":null,"audit":{"event_id":"', id, '","action":', to_json(p_action),
        ',"object_pk":', to_json(p_key), ',"object_repr":', coalesce(to_json(p_repr)::text, 'null'),
        ',"m2m":', coalesce(p_m2m, 'null'), ',"data":', coalesce(p_data, 'null'),
        ',"masked_changed":', coalesce(p_masked_changed, '[]'), ',', p_frame, ',', p_audit, '}}');
BEGIN
    INSERT INTO {schema}.auditlog_outboxevent (
        id, shard, topic, key, event_id, event_type, occurred_at, timeline, schema_version, traceparent, value
    ) OVERRIDING SYSTEM VALUE VALUES (
        outbox_id, shard, p_topic, p_key, id, event_type, at, timeline_number, p_schema_version, p_traceparent, wire
    );
    RETURN id;
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_append FROM PUBLIC;

-- The repr of an object out of the frame of the write: by key, or the one whose key was not known before the INSERT,
-- in which U+0001 stands for the key.
CREATE FUNCTION {schema}.auditlog_repr(p_reprs jsonb, p_key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(p_reprs ->> p_key, replace(p_reprs ->> '', E'\u0001', p_key)) $$;

-- Record the change of one row whose images are JSON text. p_op is c, u, d, r, or s for INSERT … ON CONFLICT DO UPDATE,
-- which is c or u. A change of the primary key is a d of the old key and a c of the new one. No event where nothing
-- tracked changed.
CREATE FUNCTION {schema}.auditlog_emit_images(
    p_op text, p_topic text, p_source text, p_audit text, p_type text, p_schema_version text,
    p_value_bytes integer, p_event_bytes integer, p_relation oid,
    p_old_key text, p_new_key text, p_before text, p_after text, p_masked_changed text[],
    p_frame text, p_reprs jsonb, p_traceparent text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    op text := CASE WHEN p_op <> 's' THEN p_op WHEN p_old_key IS NULL THEN 'c' ELSE 'u' END;
    changed text[] := array_remove(p_masked_changed, NULL);
    id uuid;
BEGIN
    IF op = 'u' AND p_before = p_after AND coalesce(cardinality(changed), 0) = 0 THEN
        RETURN false;
    END IF;
    -- Where an image is small, so is everything in it; where it escapes no character, it can be stored.
    IF greatest(octet_length(p_before), octet_length(p_after)) > p_value_bytes
        OR strpos(p_before, E'\\u') > 0 OR strpos(p_after, E'\\u') > 0
    THEN
        SELECT * INTO p_before, p_after FROM {schema}.auditlog_large_images(
            p_before, p_after, p_source, p_value_bytes, p_event_bytes,
            {schema}.auditlog_room(p_event_bytes, p_source, p_audit, p_frame)
        );
    END IF;
    IF op = 'u' AND p_old_key <> p_new_key THEN
        id := {schema}.auditlog_append(
            'd', 'delete', p_topic, p_old_key, p_before, NULL, p_relation, p_source, p_audit, p_type,
            p_schema_version, NULL, json_build_object('moved_to', p_new_key)::text, NULL, p_frame,
            {schema}.auditlog_repr(p_reprs, p_old_key), p_traceparent, 'false'
        );
        id := {schema}.auditlog_append(
            'c', 'create', p_topic, p_new_key, NULL, p_after, p_relation, p_source, p_audit, p_type,
            p_schema_version, NULL, json_build_object('moved_from', p_old_key)::text, NULL, p_frame,
            {schema}.auditlog_repr(p_reprs, p_new_key), p_traceparent, 'false'
        );
        RETURN true;
    END IF;
    id := {schema}.auditlog_append(
        op, CASE op WHEN 'c' THEN 'create' WHEN 'u' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'snapshot' END,
        p_topic, coalesce(p_new_key, p_old_key), p_before, p_after, p_relation, p_source, p_audit, p_type,
        p_schema_version, NULL, NULL, to_json(changed)::text, p_frame,
        {schema}.auditlog_repr(p_reprs, coalesce(p_new_key, p_old_key)), p_traceparent,
        CASE op WHEN 'r' THEN 'true' ELSE 'false' END
    );
    RETURN true;
END
$$;

-- Record the change of one row.
CREATE FUNCTION {schema}.auditlog_emit(
    p_op text, p_topic text, p_source text, p_audit text, p_type text, p_schema_version text,
    p_value_bytes integer, p_event_bytes integer, p_relation oid,
    p_old_key text, p_new_key text, p_before record, p_after record, p_masked_changed text[],
    p_frame text, p_reprs jsonb, p_traceparent text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
BEGIN
    RETURN {schema}.auditlog_emit_images(
        p_op, p_topic, p_source, p_audit, p_type, p_schema_version, p_value_bytes, p_event_bytes, p_relation,
        p_old_key, p_new_key,
        CASE WHEN p_old_key IS NOT NULL THEN row_to_json(p_before)::text END,
        CASE WHEN p_new_key IS NOT NULL THEN row_to_json(p_after)::text END,
        p_masked_changed, p_frame, p_reprs, p_traceparent
    );
END
$$;

-- What a row was and is, for masks that only the application can make: relation, keys, images, and which masked columns
-- changed, as a JSON array or null.
CREATE FUNCTION {schema}.auditlog_images(
    p_relation oid, p_old_key text, p_new_key text, p_before record, p_after record, p_masked_changed text[]
) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
BEGIN
    RETURN ARRAY[
        p_relation::text, p_old_key, p_new_key,
        CASE WHEN p_old_key IS NOT NULL THEN row_to_json(p_before)::text END,
        CASE WHEN p_new_key IS NOT NULL THEN row_to_json(p_after)::text END,
        to_json(array_remove(p_masked_changed, NULL))::text
    ];
END
$$;

-- Keep the row that ON CONFLICT DO UPDATE is about to change, until its RETURNING: before PostgreSQL 18 only.
-- The text is the same whatever the session's output settings are, and PostgreSQL reads it back under any.
CREATE FUNCTION {schema}.auditlog_remember(p_row record) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
BEGIN
    PERFORM set_config('auditlog.remembered', p_row::text, true);
    RETURN true;
END
$$;

-- A row as JSON text, whatever the session's output settings are.
CREATE FUNCTION {schema}.auditlog_image(p_row record) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'iso_8601' SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
BEGIN
    RETURN row_to_json(p_row)::text;
END
$$;

-- Record the links that one statement added to or removed from one object, or that a snapshot found.
CREATE FUNCTION {schema}.auditlog_emit_links(
    p_action text, p_topic text, p_source text, p_audit text, p_type text, p_schema_version text,
    p_value_bytes integer, p_event_bytes integer, p_relation oid,
    p_key text, p_field text, p_target_model text, p_targets text[], p_through text, p_labels jsonb,
    p_frame text, p_reprs jsonb, p_traceparent text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    added text := CASE WHEN p_action IN ('m2m.add', 'snapshot') THEN to_json(p_targets)::text ELSE '[]' END;
    removed text := CASE p_action WHEN 'm2m.remove' THEN to_json(p_targets)::text ELSE '[]' END;
    labels text := (
        SELECT json_object_agg(target, p_labels ->> target)::text FROM unnest(p_targets) target
        WHERE p_labels ? target
    );
    m2m text := '{"field":' || to_json(p_field) || ',"target_model":' || to_json(p_target_model)
        || ',"added":' || added || ',"removed":' || removed
        || ',"through":' || coalesce(p_through, 'null') || ',"labels":' || coalesce(labels, 'null') || '}';
    id uuid;
BEGIN
    IF octet_length(m2m) > p_value_bytes OR {schema}.auditlog_is_unstorable(p_through) THEN
        -- Each part as it is: whatever is too large for it is gone.
        PERFORM {schema}.auditlog_emit_links(
            p_action, p_topic, p_source, p_audit, p_type, p_schema_version, 2147483647, p_event_bytes, p_relation,
            p_key, p_field, p_target_model, part.targets, part.through, p_labels, p_frame, p_reprs, p_traceparent
        ) FROM {schema}.auditlog_parts_of_links(
            p_targets, p_through, p_labels, p_source, p_value_bytes, p_event_bytes,
            {schema}.auditlog_room(p_event_bytes, p_source, p_audit, p_frame)
        ) part;
        RETURN true;
    END IF;
    id := {schema}.auditlog_append(
        'm', p_action, p_topic, p_key, NULL, NULL, p_relation, p_source, p_audit, p_type, p_schema_version,
        m2m, NULL, NULL, p_frame, {schema}.auditlog_repr(p_reprs, p_key), p_traceparent,
        CASE p_action WHEN 'snapshot' THEN 'true' ELSE 'false' END
    );
    RETURN true;
END
$$;

-- Record what is no row change: a domain event or an access.
CREATE FUNCTION {schema}.auditlog_record(
    p_action text, p_topic text, p_source text, p_audit text, p_type text, p_schema_version text,
    p_value_bytes integer, p_event_bytes integer, p_key text, p_data text, p_frame text, p_repr text, p_traceparent text
) RETURNS uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT {schema}.auditlog_append(
        'm', p_action, p_topic, p_key, NULL, NULL, NULL, p_source, p_audit, p_type, p_schema_version,
        NULL,
        CASE
            WHEN octet_length(p_data) > p_value_bytes
            THEN {schema}.auditlog_reference(p_data, p_source, p_event_bytes)
            ELSE p_data
        END,
        NULL, p_frame, p_repr, p_traceparent, 'false'
    )
$$;
