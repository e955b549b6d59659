-- What is too large for an event: its content travels in chunks on a topic of its own, and a reference stands in its
-- place. {schema} is the quoted schema of our tables. Called by the functions of capture_functions.sql with their rights
-- and settings, and only where one look at a length says so.

-- Which contents were sent before. No constraint and no lock: who writes the same content at the same time would wait
-- for the other, or fail. Where neither sees the other, both send it.
CREATE TABLE {schema}.auditlog_sentcontent (
    sha256 bytea NOT NULL,
    topic text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX auditlog_sentcontent_sha256 ON {schema}.auditlog_sentcontent (sha256);
REVOKE ALL ON {schema}.auditlog_sentcontent FROM PUBLIC;

-- Put a content into the outbox, in chunks, unless it is known to have been sent. A chunk is no larger than an event may
-- be; its number and the number of chunks say which bytes it holds. Index: auditlog_sentcontent_sha256.
CREATE FUNCTION {schema}.auditlog_send_content(p_topic text, p_content bytea, p_event_bytes integer) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    hash bytea := sha256(p_content);
    hex text := encode(hash, 'hex');
    size integer := octet_length(p_content);
    -- Three bytes become four characters of base64; a thousand are for the other members.
    chunks integer := ceil(size::numeric / least(524288, (p_event_bytes - 1000) / 4 * 3));
    slice integer := ceil(size::numeric / chunks);
    shard integer := ('x' || substr(md5(p_topic || '/' || hex), 1, 2))::bit(8)::integer & 63;
    -- Assigned before the time and the ids are taken, as in auditlog_append.
    transaction_id xid8 := pg_current_xact_id();
    at timestamptz := clock_timestamp();
    milliseconds text := lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0');
    timeline integer := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
BEGIN
    -- A serializable transaction that looked would conflict with every other one that notes something.
    IF current_setting('transaction_isolation') <> 'serializable' AND EXISTS (
        SELECT FROM {schema}.auditlog_sentcontent s WHERE s.sha256 = hash AND s.topic = p_topic
    ) THEN
        RETURN;
    END IF;
    INSERT INTO {schema}.auditlog_outboxevent (
        shard, topic, key, event_id, event_type, occurred_at, timeline, value
    )
    SELECT
        shard, p_topic, hex, event_id, 'auditlog.blobs.chunk.v1', at, timeline,
        concat('{"event_id":"', event_id, '","sha256":"', hex, '","bytes":', size,
        ',"chunk":', number, ',"chunks":', chunks,
        ',"data":"', translate(encode(substring(p_content FROM number * slice + 1 FOR slice), 'base64'), E'\n', ''), '"}')
    FROM (
        -- UUIDv7, as in auditlog_append.
        SELECT number, (substr(milliseconds, 1, 8) || '-' || substr(milliseconds, 9, 4)
            || '-7' || substr(gen_random_uuid()::text, 16))::uuid AS event_id
        FROM generate_series(0, chunks - 1) number
    ) numbered;
    INSERT INTO {schema}.auditlog_sentcontent (sha256, topic) VALUES (hash, p_topic);
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_send_content FROM PUBLIC;

-- The reference to a value given as JSON text, whose content is on its way from here on. Written as jsonb writes it, so
-- that it is the same text when it comes back out of the audit log.
CREATE FUNCTION {schema}.auditlog_reference(p_value text, p_source text, p_event_bytes integer) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    content bytea := convert_to(p_value, 'UTF8');
    prefix text := ('{' || p_source || '}')::json ->> 'name';
BEGIN
    PERFORM {schema}.auditlog_send_content(prefix || '.auditlog.blobs', content, p_event_bytes);
    RETURN concat('{"$ref": "', encode(sha256(content), 'hex'), '", "bytes": ', octet_length(content), '}');
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_reference FROM PUBLIC;

-- The members of a JSON object, each value with the text that it has there. A column of type json may hold what escapes
-- no character (\u0000, half a surrogate pair), over which json_each stumbles: escapes are hidden from it.
CREATE FUNCTION {schema}.auditlog_members(p_object text) RETURNS TABLE (key text, value text, number bigint)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    backslash text := gen_random_uuid();
    code text := gen_random_uuid();
BEGIN
    IF strpos(p_object, E'\\u') = 0 THEN
        RETURN QUERY SELECT m.key, m.value::text, m.ordinality FROM json_each(p_object::json) WITH ORDINALITY m;
    ELSE
        RETURN QUERY SELECT
            replace(m.key, backslash, E'\\'), replace(replace(m.value::text, code, E'\\u'), backslash, E'\\\\'),
            m.ordinality
        FROM json_each(replace(replace(p_object, E'\\\\', backslash), E'\\u', code)::json) WITH ORDINALITY m;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_members FROM PUBLIC;

-- Whether JSON text has an escape that stands for no character, which only a column of type json can hold: NUL, or half a
-- surrogate pair. Neither the audit log nor most of those who read the topics can store it.
CREATE FUNCTION {schema}.auditlog_is_unstorable(p_value text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    escapes text;
BEGIN
    IF p_value IS NULL OR strpos(p_value, E'\\u') = 0 THEN
        RETURN false;
    END IF;
    -- Without backslashes that are escaped themselves, and without whole pairs.
    escapes := regexp_replace(
        replace(p_value, E'\\\\', ' '), E'\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}', ' ', 'g'
    );
    RETURN escapes ~ E'\\\\u(0000|[dD][89a-fA-F])';
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_is_unstorable FROM PUBLIC;

-- How many bytes the images or the links of an event may take beside its other members. An object's text, its key and what
-- is constant take less than ten thousand.
CREATE FUNCTION {schema}.auditlog_room(p_event_bytes integer, p_source text, p_audit text, p_frame text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT p_event_bytes - octet_length(concat(p_source, p_audit, p_frame)) - 10000 $$;

-- The images of a row with references in the place of the values that are over the limit or cannot be stored, and of the
-- largest others until both together have `p_room` bytes. Equal values share their fate: who compares the images sees no
-- change where there is none. A reference takes about a hundred bytes.
CREATE FUNCTION {schema}.auditlog_large_images(
    INOUT p_before text, INOUT p_after text, p_source text, p_value_bytes integer, p_event_bytes integer, p_room integer
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    total bigint := coalesce(octet_length(p_before), 0) + coalesce(octet_length(p_after), 0);
    contents text[] := ARRAY(
        SELECT value FROM (
            SELECT value, size, unstorable, sum(saved) OVER (ORDER BY size DESC, value COLLATE "C") - saved AS saved_before
            FROM (
                SELECT value, octet_length(value) AS size, count(*) * (octet_length(value) - 100) AS saved,
                    {schema}.auditlog_is_unstorable(value) AS unstorable
                FROM (
                    SELECT value FROM {schema}.auditlog_members(p_before)
                    UNION ALL SELECT value FROM {schema}.auditlog_members(p_after)
                ) both_images
                GROUP BY value
            ) distinct_values
            WHERE size > 200 OR unstorable
        ) ranked
        WHERE size > p_value_bytes OR unstorable OR total - saved_before > p_room
    );
    replacements text[] := ARRAY(
        SELECT {schema}.auditlog_reference(content, p_source, p_event_bytes)
        FROM unnest(contents) WITH ORDINALITY c (content, number) ORDER BY number
    );
BEGIN
    IF cardinality(contents) > 0 THEN
        p_before := {schema}.auditlog_replaced(p_before, contents, replacements);
        p_after := {schema}.auditlog_replaced(p_after, contents, replacements);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_large_images FROM PUBLIC;

-- A JSON object in which some values stand for others.
CREATE FUNCTION {schema}.auditlog_replaced(p_object text, p_values text[], p_replacements text[]) RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT '{' || string_agg(
        to_json(key)::text || ':' || coalesce(p_replacements[array_position(p_values, value)], value), ',' ORDER BY number
    ) || '}'
    FROM {schema}.auditlog_members(p_object)
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_replaced FROM PUBLIC;

-- The links of one statement in parts that each fit an event of which they may take `p_room` bytes, in their order;
-- `through` with references in the place of what is too large. One part where all fit. A target and its label take less
-- than 20,000 bytes. Links of one target, of which a through model may have several, stay in one part if they fit, each
-- with its fields.
CREATE FUNCTION {schema}.auditlog_parts_of_links(
    p_targets text[], p_through text, p_labels jsonb, p_source text, p_value_bytes integer, p_event_bytes integer,
    p_room integer
) RETURNS TABLE (targets text[], through text)
LANGUAGE sql VOLATILE
AS $$
    WITH links AS MATERIALIZED (
        SELECT target, t.number, CASE
            WHEN octet_length(value) > least(p_value_bytes, p_room / 2 - 20000)
                OR {schema}.auditlog_is_unstorable(value)
            THEN (
                {schema}.auditlog_large_images(
                    NULL, value, p_source, p_value_bytes, p_event_bytes, p_room / 2 - 20000
                )
            ).p_after
            ELSE value
        END AS fields
        FROM (
            SELECT target, number, row_number() OVER (PARTITION BY target ORDER BY number) AS nth
            FROM unnest(p_targets) WITH ORDINALITY u (target, number)
        ) t
        LEFT JOIN (
            SELECT key, value, row_number() OVER (PARTITION BY key ORDER BY number) AS nth
            FROM {schema}.auditlog_members(p_through)
        ) f ON f.key = t.target AND f.nth = t.nth
    ), sized AS (
        SELECT *, sum(size) OVER () AS total, CASE
            WHEN sum(size) OVER (PARTITION BY target) > p_room / 2
            THEN sum(size) OVER (ORDER BY length(target), target, number)
            ELSE sum(size) OVER (ORDER BY length(target), target)
        END AS size_so_far
        FROM (
            SELECT *, 20 + 3 * octet_length(to_json(target)::text) + coalesce(octet_length(fields), 0)
                + coalesce(octet_length(to_json(p_labels ->> target)::text), 0) AS size
            FROM links
        ) each_link
    )
    SELECT
        array_agg(target ORDER BY number),
        '{' || string_agg(to_json(target)::text || ':' || fields, ',' ORDER BY number) || '}'
    FROM sized
    GROUP BY CASE WHEN total > p_room THEN size_so_far / (p_room / 2) ELSE 0 END
    ORDER BY min(number)
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_parts_of_links FROM PUBLIC;

-- Take values out of a parked event that its topic refuses for its size, largest first, until it has at most `p_bytes`;
-- and let it be published. Everything else of it stays as it is, byte by byte. Returns its size then; more than `p_bytes`
-- where what is left cannot be taken out, and null where the event is not parked: nothing was changed. For the relay's
-- role. Index: primary key (shard, id).
CREATE FUNCTION {schema}.auditlog_offload(p_shard smallint, p_id bigint, p_bytes integer, p_event_bytes integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event text := (
        SELECT value FROM {schema}.auditlog_outboxevent
        WHERE shard = p_shard AND id = p_id AND parked_at IS NOT NULL FOR UPDATE
    );
    size integer;
BEGIN
    event := {schema}.auditlog_smaller(event, p_bytes, p_event_bytes);
    size := octet_length(event);
    IF size <= p_bytes THEN
        UPDATE {schema}.auditlog_outboxevent SET value = event, parked_at = NULL, parked_reason = NULL
        WHERE shard = p_shard AND id = p_id;
    END IF;
    RETURN size;
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_offload FROM PUBLIC;

-- The text of an event with references in the place of its largest values, so that it has at most `p_bytes` if it can.
-- Values are those of its images; of an event without images its `data`, and the fields of its links.
CREATE FUNCTION {schema}.auditlog_smaller(p_event text, p_bytes integer, p_event_bytes integer) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    source text := substr({schema}.auditlog_member(p_event, 'source'), 2, octet_length(p_event));
    before text := nullif({schema}.auditlog_member(p_event, 'before'), 'null');
    after text := nullif({schema}.auditlog_member(p_event, 'after'), 'null');
    audit text := {schema}.auditlog_member(p_event, 'audit');
    m2m text := nullif({schema}.auditlog_member(audit, 'm2m'), 'null');
    through text := nullif({schema}.auditlog_member(m2m, 'through'), 'null');
    data text := nullif({schema}.auditlog_member(audit, 'data'), 'null');
    too_much integer := octet_length(p_event) - p_bytes;
BEGIN
    source := left(source, -1);
    IF too_much <= 0 OR audit IS NULL THEN
        RETURN p_event;
    END IF;
    IF before IS NOT NULL OR after IS NOT NULL THEN
        SELECT i.p_before, i.p_after INTO before, after FROM {schema}.auditlog_large_images(
            before, after, source, 2147483647, p_event_bytes,
            coalesce(octet_length(before), 0) + coalesce(octet_length(after), 0) - too_much
        ) i;
        RETURN {schema}.auditlog_with_members(
            p_event, ARRAY['before', 'after'], ARRAY[coalesce(before, 'null'), coalesce(after, 'null')]
        );
    END IF;
    IF octet_length(data) > 200 THEN
        data := {schema}.auditlog_reference(data, source, p_event_bytes);
    END IF;
    IF through IS NOT NULL THEN
        through := (
            SELECT '{' || string_agg(to_json(key)::text || ':' || (
                {schema}.auditlog_large_images(
                    NULL, value, source, 2147483647, p_event_bytes, ((octet_length(through) - too_much) / links)::integer
                )
            ).p_after, ',' ORDER BY number) || '}'
            FROM (SELECT *, count(*) OVER () AS links FROM {schema}.auditlog_members(through)) each_link
        );
        m2m := {schema}.auditlog_with_members(m2m, ARRAY['through'], ARRAY[through]);
    END IF;
    RETURN {schema}.auditlog_with_members(p_event, ARRAY['audit'], ARRAY[{schema}.auditlog_with_members(
        audit, ARRAY['m2m', 'data'], ARRAY[coalesce(m2m, 'null'), coalesce(data, 'null')]
    )]);
END
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_smaller FROM PUBLIC;

-- The text of one member of a JSON object.
CREATE FUNCTION {schema}.auditlog_member(p_object text, p_name text) RETURNS text
LANGUAGE sql VOLATILE
AS $$ SELECT value FROM {schema}.auditlog_members(p_object) WHERE key = p_name LIMIT 1 $$;
REVOKE ALL ON FUNCTION {schema}.auditlog_member FROM PUBLIC;

-- A JSON object whose members of these names have other values.
CREATE FUNCTION {schema}.auditlog_with_members(p_object text, p_names text[], p_values text[]) RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT '{' || string_agg(
        to_json(key)::text || ':' || coalesce(p_values[array_position(p_names, key)], value), ',' ORDER BY number
    ) || '}'
    FROM {schema}.auditlog_members(p_object)
$$;
REVOKE ALL ON FUNCTION {schema}.auditlog_with_members FROM PUBLIC;
