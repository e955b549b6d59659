-- What the transaction of a restricted caller may see of one kind; null: the setting says nothing of it.
-- A policy calls it in a subselect, which runs once for each statement and not for each row.
CREATE FUNCTION auditlog_access(kind text) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN access ? kind THEN ARRAY(SELECT jsonb_array_elements_text(access -> kind)) END
    FROM (SELECT nullif(current_setting('auditlog.access', true), '')::jsonb) setting (access)
$$;

-- Every other role goes on to see what it was granted; `audit_roles` adds what the service's own roles may.
ALTER TABLE auditlog_auditlog ENABLE ROW LEVEL SECURITY;
CREATE POLICY auditlog_others ON auditlog_auditlog USING (current_user <> 'auditlog_restricted');
