-- An audit log as a hospital network fills it, made on the server. Everything follows from the number of a row, so that
-- any two runs make the same rows, and each object's versions fit together: what one left is what the next one found.
--
-- Rows come in rounds of 80, and each of the 80 has a place of its own (`bench_history.places`): the model that it is about,
-- and the objects that take turns there. So the version of an object follows from the number, too.

CREATE SCHEMA bench_history;

-- A number from 0 to 1 that looks random.
CREATE FUNCTION bench_history.chance(n bigint, salt integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ((hashint8extended(n, salt) & 1048575)::double precision) / 1048576 $$;

-- A rank from 1 to `many`: of the same likelihood on each stretch of a logarithmic scale (Zipf's law).
CREATE FUNCTION bench_history.skewed(chance double precision, many integer) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT least(many, floor(exp(chance * ln(many + 1)))::integer) $$;

CREATE FUNCTION bench_history.one_of(words text[], n bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT words[1 + (n % cardinality(words))::integer] $$;

-- What the rows of a place are about. `on_topic` places share a topic, and this one is number `rank` of them.
CREATE TABLE bench_history.places (
    place integer PRIMARY KEY, model text NOT NULL, kind text NOT NULL, objects bigint NOT NULL, first_key bigint NOT NULL,
    topic text NOT NULL, on_topic integer NOT NULL, rank integer NOT NULL, masked jsonb, classes jsonb
);

-- The columns of an object after its version `v`. `f` and `l` are a first and a last name.
CREATE FUNCTION bench_history.image(model text, pk bigint, v bigint, f text, l text, made timestamptz, at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
SELECT CASE model
WHEN 'doctors.appointment' THEN jsonb_build_object(
    'id', pk, 'doctor_id', pk % 5000 + 1, 'patient_id', pk % 90000 + 1, 'start', made, 'end', made,
    'status', bench_history.one_of('{scheduled,confirmed,completed,cancelled,no_show}', v),
    'reason', bench_history.one_of('{"annual examination","follow-up of an operation","chest pain on exertion","second opinion"}', pk),
    'cancellation_reason', '', 'notes', 'Seen ' || v / 3 || ' times; brings the list of medication, and a relative.',
    'created_at', made, 'updated_at', at)
WHEN 'doctors.patient' THEN jsonb_build_object(
    'id', pk, 'first_name', f, 'last_name', l, 'date_of_birth', date '1940-01-01' + (pk % 30000)::integer,
    'email', lower(l) || v / 3 || '@example.org', 'phone', '+1-555-' || lpad((pk * 7 + v)::text, 7, '0'), 'ssn', '***',
    'created_at', made, 'updated_at', at)
WHEN 'doctors.doctor' THEN jsonb_build_object(
    'id', pk, 'first_name', f, 'middle_name', '', 'last_name', l, 'credential', 'MD',
    'email', lower(l) || pk || '@example.org', 'slug', lower(f) || '-' || pk, 'license_number', 'MD' || pk,
    'npi', lpad(pk::text, 10, '1'), 'phone', '+1-555-' || lpad((pk * 3 + v)::text, 7, '0'), 'is_active', true,
    'consultation_fee', (100 + v / 3)::text || '.50', 'tax_id', '***', 'department_id', pk % 40 + 1,
    'created_at', made, 'updated_at', at)
WHEN 'doctors.practicelocation' THEN jsonb_build_object(
    'id', pk, 'doctor_id', pk % 5000 + 1, 'adrs_id', 'CT06512' || pk, 'address_line_1', pk || ' HARBOR RD', 'address_line_2', 'SUITE ' || v / 3,
    'city', 'EASTHAVEN', 'state', 'CT', 'zip', '06512', 'phone', '+1-555-' || lpad((pk * 5 + v)::text, 7, '0'))
WHEN 'doctors.doctorprofile' THEN jsonb_build_object(
    'id', pk, 'doctor_id', pk % 5000 + 1, 'languages', '["en", "it"]'::jsonb, 'website', 'https://example.org/' || pk,
    'statement', 'I see patients on Mondays and Thursdays, since version ' || v || '.', 'accepts_new_patients', (v / 3) % 2 = 0)
WHEN 'doctors.department' THEN jsonb_build_object(
    'id', pk, 'code', 'D' || pk, 'name', 'Department ' || pk, 'head_id', v % 5000 + 1, 'is_active', (v / 3) % 2 = 0)
WHEN 'doctors.specialty' THEN jsonb_build_object(
    'id', pk, 'name', 'Specialty ' || pk, 'description', 'As the college describes it, edition ' || v)
WHEN 'auth.user' THEN jsonb_build_object(
    'id', pk, 'username', lower(left(f, 1) || '.' || l) || pk, 'first_name', f, 'last_name', l, 'email', lower(l) || v || '@example.org',
    'is_active', true, 'is_staff', v / 3 % 2 = 0, 'is_superuser', false, 'date_joined', made)
END $$;

-- The fields that a version changed; of a create none, since all of them are new.
CREATE FUNCTION bench_history.changed(model text, v bigint) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT CASE model
    WHEN 'doctors.appointment' THEN CASE WHEN v % 3 = 0 THEN '{status,notes,updated_at}' ELSE '{status,updated_at}' END
    WHEN 'doctors.patient' THEN CASE WHEN v % 3 = 0 THEN '{phone,email,updated_at}' ELSE '{phone,updated_at}' END
    WHEN 'doctors.doctor' THEN CASE WHEN v % 3 = 0 THEN '{phone,consultation_fee,updated_at}' ELSE '{phone,updated_at}' END
    WHEN 'doctors.practicelocation' THEN CASE WHEN v % 3 = 0 THEN '{phone,address_line_2}' ELSE '{phone}' END
    WHEN 'doctors.doctorprofile' THEN CASE WHEN v % 3 = 0 THEN '{statement,accepts_new_patients}' ELSE '{statement}' END
    WHEN 'doctors.department' THEN CASE WHEN v % 3 = 0 THEN '{head,is_active}' ELSE '{head}' END
    WHEN 'doctors.specialty' THEN '{description}'
    WHEN 'auth.user' THEN CASE WHEN v % 3 = 0 THEN '{email,is_staff}' ELSE '{email}' END
END::text[] $$;

-- [old, new] of a field; a foreign key's column is its field with `_id`.
CREATE FUNCTION bench_history.pair(before jsonb, after jsonb, field text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT jsonb_build_array(coalesce(before -> field, before -> (field || '_id')), coalesce(after -> field, after -> (field || '_id')))
$$;

-- {field: [old, new]}, of up to three fields.
CREATE FUNCTION bench_history.changes(before jsonb, after jsonb, fields text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT CASE cardinality(fields)
    WHEN 1 THEN jsonb_build_object(fields[1], bench_history.pair(before, after, fields[1]))
    WHEN 2 THEN jsonb_build_object(fields[1], bench_history.pair(before, after, fields[1]),
        fields[2], bench_history.pair(before, after, fields[2]))
    ELSE jsonb_build_object(fields[1], bench_history.pair(before, after, fields[1]),
        fields[2], bench_history.pair(before, after, fields[2]), fields[3], bench_history.pair(before, after, fields[3]))
END $$;

-- The rows from number `first` to `last`, and when each happened.
CREATE FUNCTION bench_history.rows(first bigint, last bigint, since timestamptz, step interval)
RETURNS TABLE (
    event_id uuid, occurred_at timestamptz, stored_at timestamptz, model text, object_pk text, object_repr text,
    action text, category text, changes jsonb, before jsonb, after jsonb, m2m jsonb, data jsonb, masked jsonb, classes jsonb,
    actor_id text, actor_repr text, actor jsonb, request_id text, session text, transaction_id text, remote_addr inet,
    reason text, context jsonb, schema_version text, topic text, partition integer, "offset" bigint, sequence text, shape uuid,
    subjects text[], labels text[], changed_fields text[], on_behalf_of_id text, trace_id text
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $rows$
SELECT
    (left(moment, 8) || '-' || right(moment, 4) || '-7' || lpad(to_hex(n % 4096), 3, '0') || '-8' || right(md5(n::text), 3)
        || '-' || left(md5(n::text), 12))::uuid,
    at, at + interval '60 milliseconds', p.model, CASE WHEN p.model = 'auditlog.system' THEN who ELSE pk::text END,
    CASE p.model
        WHEN 'doctors.doctor' THEN 'Dr ' || f || ' ' || l WHEN 'doctors.patient' THEN f || ' ' || l
        WHEN 'doctors.appointment' THEN to_char(made, 'YYYY-MM-DD HH24:MI') || ' (' || (coalesce(after, before) ->> 'status') || ')'
        WHEN 'auditlog.system' THEN NULL ELSE initcap(split_part(p.model, '.', 2)) || ' ' || pk END,
    action, CASE p.kind WHEN 'read' THEN 'read' WHEN 'system' THEN (CASE WHEN action = 'search' THEN 'read' ELSE 'security' END)
        ELSE CASE p.model WHEN 'auth.user' THEN 'admin' ELSE 'write' END END,
    CASE action WHEN 'update' THEN bench_history.changes(before, after, fields) WHEN 'create' THEN (
        SELECT jsonb_object_agg(regexp_replace(key, '_id$', ''), jsonb_build_array(NULL, value))
        FROM jsonb_each(after) WHERE value <> 'null') END,
    before, after,
    CASE WHEN p.kind = 'link' THEN jsonb_build_object('field', 'specialties', 'target_model', 'doctors.specialty', 'added',
        jsonb_build_array((v % 60)::text), 'removed', '[]'::jsonb, 'through', NULL, 'labels', jsonb_build_object(v % 60, 'Specialty ' || v % 60)) END,
    CASE p.kind WHEN 'domain' THEN '{"previous": false}'::jsonb WHEN 'system' THEN '{"rows": 50}'::jsonb END,
    p.masked, p.classes,
    CASE WHEN NOT by_command THEN who END, CASE WHEN by_command THEN 'manage.py import_clinicians' ELSE 'user.' || who END,
    CASE WHEN by_command THEN '{"id": null, "repr": "manage.py import_clinicians", "type": "command", "on_behalf_of": null}'::jsonb
        ELSE jsonb_build_object('id', who, 'repr', 'user.' || who, 'type', 'user', 'on_behalf_of',
            CASE WHEN who::integer % 50 = 0 THEN jsonb_build_object('id', (who::integer / 2)::text, 'repr', 'user.' || who::integer / 2, 'type', 'user') END) END,
    CASE WHEN NOT by_command THEN request_id END, CASE WHEN NOT by_command THEN session END, (1000000 + n / together)::text,
    CASE WHEN NOT by_command THEN address END,
    CASE WHEN bench_history.chance(n, 5) < 0.15 THEN bench_history.one_of(
        '{"patient asked for it","correction after a complaint","quarterly review","moved to another ward","audit finding"}', n)
        || ', ticket ' || (hashint8extended(n, 6) & 65535) END,
    jsonb_build_object('remote_addr', host(address), 'user_agent', 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', 'request_id', request_id,
        'session', session, 'traceparent', '00-' || md5(request_id) || '-' || left(md5(n::text), 16) || '-01', 'method', 'PATCH',
        'path', '/api/' || split_part(p.model, '.', 2) || 's/' || pk || '/'),
    p.model || ':3f9c2a', p.topic, 6 + ((turn * p.on_topic + p.rank) % 6)::integer, (turn * p.on_topic + p.rank) / 6,
    '00000001:' || lpad((n + 1)::text, 20, '0'), NULL::uuid,
    CASE p.model
        WHEN 'doctors.appointment' THEN ARRAY['doctors.doctor:' || (pk % 5000 + 1), 'doctors.patient:' || (pk % 90000 + 1)]
        WHEN 'doctors.doctor' THEN ARRAY['doctors.doctor:' || pk] WHEN 'doctors.patient' THEN ARRAY['doctors.patient:' || pk]
        WHEN 'doctors.practicelocation' THEN ARRAY['doctors.doctor:' || (pk % 5000 + 1)]
        WHEN 'doctors.doctorprofile' THEN ARRAY['doctors.doctor:' || (pk % 5000 + 1)] ELSE '{}' END,
    CASE WHEN p.model = 'doctors.doctor' AND p.kind = 'write' THEN ARRAY['department:' || (pk % 40 + 1)] ELSE '{}' END,
    CASE action WHEN 'update' THEN fields WHEN 'create' THEN ARRAY(SELECT regexp_replace(key, '_id$', '') FROM jsonb_object_keys(after) key)
        WHEN 'm2m.add' THEN '{specialties}' ELSE '{}' END,
    CASE WHEN NOT by_command AND who::integer % 50 = 0 THEN (who::integer / 2)::text END,
    CASE WHEN NOT by_command THEN md5(request_id) END
FROM generate_series(first, last) AS n
-- 37 and 80 have no common divisor: neighbours are about different models.
JOIN bench_history.places p ON p.place = n * 37 % 80
CROSS JOIN LATERAL (SELECT n / 80 AS turn, since + n * step AS at OFFSET 0) a
CROSS JOIN LATERAL (SELECT p.first_key + turn % p.objects AS pk, turn / p.objects AS v OFFSET 0) b
CROSS JOIN LATERAL (
    SELECT since + (turn % p.objects) * 80 * step AS made, since + (n - 80 * p.objects) * step AS earlier,
        lpad(to_hex(floor(date_part('epoch', at) * 1000)::bigint), 12, '0') AS moment,
        -- Some requests write much, most write little.
        CASE WHEN n / 1000 % 20 = 0 THEN 200 ELSE 4 END AS together,
        initcap(bench_history.one_of('{ada,beatriz,chioma,delphine,ekaterina,fatima,greta,hannah,ingrid,ansel,bram,cyril,emeka,felix}', pk)) AS f,
        initcap(bench_history.one_of('{abernathy,byron,castellanos,ekwueme,fairweather,greystoke,halvorsen,ivanova,jankowski}', pk / 14)
            || CASE WHEN pk % 3 = 0 THEN '' ELSE '-' || bench_history.one_of(
                '{kowalczyk,lindqvist,nakagawa,okonkwo,quintero,rosengarten,trevelyan,underhill,winterbourne,yamada}', pk / 126) END) AS l
    OFFSET 0
) c
CROSS JOIN LATERAL (
    SELECT md5('request ' || together || ' ' || n / together) AS request_id,
        bench_history.skewed(bench_history.chance(n / together, 1), 2000)::text AS who,
        bench_history.chance(n / together, 2) < 0.03 AS by_command
    OFFSET 0
) d
CROSS JOIN LATERAL (
    SELECT 'sha256:' || md5(who || ' ' || floor(extract(epoch FROM at) / 14400)) AS session,
        ('10.' || who::integer % 7 || '.' || who::integer / 250 || '.' || 1 + who::integer % 250)::inet AS address
    OFFSET 0
) e
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.kind = 'write' AND v > 0 THEN bench_history.image(p.model, pk, v - 1, f, l, made, earlier) END AS before,
        CASE WHEN p.kind = 'write' THEN bench_history.image(p.model, pk, v, f, l, made, at) END AS after,
        bench_history.changed(p.model, v) AS fields,
        CASE p.kind WHEN 'write' THEN CASE v WHEN 0 THEN 'create' ELSE 'update' END WHEN 'link' THEN 'm2m.add' WHEN 'read' THEN 'access'
            WHEN 'domain' THEN 'activated' ELSE bench_history.one_of('{login,login,search,login_failed}', turn) END AS action
    OFFSET 0
) g
$rows$;
