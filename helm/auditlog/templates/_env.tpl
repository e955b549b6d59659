{{/*
The environment of a container: takes root and
  database  the role whose address is DATABASE_URL
  audit     the role whose address is AUDIT_DATABASE_URL, or nothing where it is the same
  hook      whether it runs before the release's own objects are there
  extra     values of the workload (extraEnv)
  named     whether the pod's name is that of a consumer in its group
  more      a map of further plain variables
*/}}
{{- define "auditlog.env" -}}
{{- $values := .root.Values -}}
- name: DJANGO_SETTINGS_MODULE
  value: settings.production
- name: DJANGO_SECRET_KEY
  valueFrom:
    {{- include "auditlog.secretKeyRef" (dict "root" .root "existing" $values.django.existingSecret "key" $values.django.secretKeyKey "inline" "django-secret-key" "hook" .hook) | nindent 4 }}
{{ include "auditlog.databaseEnv" . }}
{{- if eq .database "app" }}
{{- include "auditlog.applicationEnv" .root }}
{{- end }}
{{- if include "auditlog.hasSasl" .root }}
- name: KAFKA_SASL_USERNAME
  valueFrom:
    {{- include "auditlog.secretKeyRef" (dict "root" .root "existing" $values.kafka.existingSecret "key" $values.kafka.usernameKey "inline" "kafka-username" "hook" .hook) | nindent 4 }}
- name: KAFKA_SASL_PASSWORD
  valueFrom:
    {{- include "auditlog.secretKeyRef" (dict "root" .root "existing" $values.kafka.existingSecret "key" $values.kafka.passwordKey "inline" "kafka-password" "hook" .hook) | nindent 4 }}
{{- end }}
{{- with and (include "auditlog.hasTls" .root) $values.kafka.tls.existingSecret $values.kafka.tls.privateKeyPasswordKey }}
{{ include "auditlog.variable" (dict "root" $.root "name" "KAFKA_SSL_KEY_PASSWORD" "secret" $values.kafka.tls.existingSecret "key" .) }}
{{- end }}
{{- if and (eq .database "relay") $values.database.keys.relayListen }}
{{ include "auditlog.variable" (dict "root" .root "name" "RELAY_LISTEN_URL" "secret" $values.database.existingSecret "key" $values.database.keys.relayListen) }}
{{- end }}
{{- if .named }}
- name: KAFKA_GROUP_INSTANCE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- $plain := merge (fromYaml (tpl (toYaml $values.config) .root)) (default dict .more) (fromYaml (include "auditlog.plainEnv" .root)) -}}
{{- range $name, $value := $plain }}
- name: {{ $name }}
  value: {{ include "auditlog.plain" $value | quote }}
{{- end }}
{{- range list $values.extraEnv .extra.extraEnv }}
{{- with . }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A value as text. Helm reads every number as a floating one, and would write a large one as 1e+06. */}}
{{- define "auditlog.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* The variables without secrets that every process has. */}}
{{- define "auditlog.plainEnv" -}}
DJANGO_ALLOWED_HOSTS: {{ include "auditlog.allowedHosts" . | quote }}
{{- with include "auditlog.trustedOrigins" . }}
DJANGO_CSRF_TRUSTED_ORIGINS: {{ . | quote }}
{{- end }}
DJANGO_SECURE_SSL_REDIRECT: {{ .Values.django.secureSslRedirect | quote }}
DJANGO_SECURE_HSTS_SECONDS: {{ .Values.django.hstsSeconds }}
DATA_UPLOAD_MAX_MEMORY_BYTES: {{ .Values.django.maxBodyBytes }}
REQUEST_LOG_PERCENT: {{ .Values.django.requestLogPercent }}
AUDITLOG_CID_HEADER: {{ .Values.django.requestIdHeader | quote }}
AUDITLOG_CE_SOURCE: {{ .Values.capture.source | quote }}
AUDITLOG_LARGE_VALUE_BYTES: {{ .Values.capture.largeValueBytes }}
AUDITLOG_LARGE_EVENT_BYTES: {{ .Values.capture.largeEventBytes }}
AUDITLOG_PARTITION_MONTHS_AHEAD: {{ .Values.readModel.partitionMonthsAhead }}
{{- with .Values.tracing }}
{{- if .enabled }}
AUDITLOG_TRACING: "true"
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ .sampleRatio }}
{{- end }}
{{- end }}
{{- /* Believed without a proxy in front, the header would let every caller choose the address that is recorded. */}}
AUDITLOG_TRUSTED_PROXIES: {{ ternary (ternary 1 0 (ne (include "auditlog.hosts" .) "")) .Values.django.trustedProxies (kindIs "invalid" .Values.django.trustedProxies) | toString | quote }}
{{- with .Values.oidc }}
{{- if .issuer }}
AUDIT_OIDC_ISSUER: {{ .issuer | quote }}
AUDIT_OIDC_AUDIENCE: {{ .audience | quote }}
AUDIT_OIDC_JWKS_URL: {{ .jwksUrl | quote }}
{{- with .labelsClaim }}
AUDIT_OIDC_LABELS_CLAIM: {{ . | quote }}
{{- end }}
AUDIT_OIDC_ALGORITHMS: {{ join "," .algorithms | quote }}
AUDIT_OIDC_SUBJECT_CLAIM: {{ .subjectClaim | quote }}
AUDIT_OIDC_NAME_CLAIM: {{ .nameClaim | quote }}
AUDIT_OIDC_SCOPES_CLAIM: {{ .scopesClaim | quote }}
AUDIT_OIDC_LEEWAY_SECONDS: {{ .leewaySeconds }}
AUDIT_OIDC_TIMEOUT_SECONDS: {{ .timeoutSeconds }}
AUDIT_OIDC_REFETCH_SECONDS: {{ .refetchSeconds }}
AUDIT_OIDC_KEYS_SECONDS: {{ .keysSeconds }}
{{- end }}
{{- end }}
LOG_LEVEL: {{ .Values.django.logLevel }}
DATABASE_BEHIND_PGBOUNCER: {{ .Values.database.behindPgbouncer | quote }}
DATABASE_CONNECT_TIMEOUT_SECONDS: {{ .Values.database.connectTimeoutSeconds }}
DATABASE_ANSWER_SECONDS: {{ .Values.database.answerSeconds }}
DATABASE_CONN_MAX_AGE_SECONDS: {{ .Values.database.connectionSeconds }}
KAFKA_BOOTSTRAP_SERVERS: {{ .Values.kafka.bootstrapServers | quote }}
KAFKA_SECURITY_PROTOCOL: {{ .Values.kafka.securityProtocol }}
{{- if include "auditlog.hasSasl" . }}
KAFKA_SASL_MECHANISM: {{ .Values.kafka.saslMechanism }}
{{- end }}
{{- if and (include "auditlog.hasTls" .) .Values.kafka.tls.existingSecret }}
{{- with .Values.kafka.tls.caKey }}
KAFKA_SSL_CA_LOCATION: /etc/auditlog/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.tls.certificateKey }}
KAFKA_SSL_CERTIFICATE_LOCATION: /etc/auditlog/kafka/{{ . }}
{{- end }}
{{- with .Values.kafka.tls.privateKeyKey }}
KAFKA_SSL_KEY_LOCATION: /etc/auditlog/kafka/{{ . }}
{{- end }}
{{- end }}
KAFKA_TOPIC_PREFIX: {{ .Values.kafka.topicPrefix | quote }}
KAFKA_TOPIC_PARTITIONS: {{ .Values.kafka.topicPartitions | quote }}
KAFKA_TOPIC_REPLICATION_FACTOR: {{ .Values.kafka.topicReplicationFactor | quote }}
KAFKA_TOPIC_MIN_INSYNC_REPLICAS: {{ .Values.kafka.topicMinInsyncReplicas }}
KAFKA_TOPIC_MAX_MESSAGE_BYTES: {{ .Values.kafka.topicMaxMessageBytes }}
KAFKA_TOPIC_RETENTION_DAYS: {{ .Values.kafka.topicRetentionDays }}
KAFKA_CONSUMER_GROUP: {{ .Values.kafka.consumerGroup | quote }}
KAFKA_GROUP_PROTOCOL: {{ .Values.kafka.groupProtocol }}
{{- end -}}

{{/* The addresses of the databases. Where the read model is in the domain's database, its roles have addresses there. */}}
{{- define "auditlog.databaseEnv" -}}
{{- $values := .root.Values -}}
- name: DATABASE_URL
  valueFrom:
    {{- include "auditlog.databaseRef" (dict "root" .root "role" .database "hook" .hook "of" (ternary "audit" "domain" (and (eq .database "consumer") (ne (include "auditlog.hasAuditDatabase" .root) "")))) | nindent 4 }}
{{- with .audit }}
- name: AUDIT_DATABASE_URL
  valueFrom:
    {{- include "auditlog.databaseRef" (dict "root" $.root "role" . "hook" $.hook "of" (ternary "audit" "domain" (ne (include "auditlog.hasAuditDatabase" $.root) ""))) | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "auditlog.databaseRef" -}}
{{- $database := ternary .root.Values.auditDatabase .root.Values.database (eq .of "audit") -}}
{{- $inline := printf "%s-%s" (ternary "audit" "database" (eq .of "audit")) .role -}}
{{- include "auditlog.secretKeyRef" (dict "root" .root "existing" $database.existingSecret "key" (get $database.keys .role) "inline" $inline "hook" .hook) -}}
{{- end -}}

{{/* What the domain alone speaks to: cache, mail, directory. */}}
{{- define "auditlog.applicationEnv" -}}
{{- $values := .Values -}}
{{- with $values.cache.existingSecret }}
{{ include "auditlog.variable" (dict "root" $ "name" "CACHE_URL" "secret" . "key" $values.cache.key) }}
- name: CACHE_SECONDS
  value: {{ $values.cache.seconds | quote }}
{{- end }}
{{- with $values.mail.existingSecret }}
{{ include "auditlog.variable" (dict "root" $ "name" "EMAIL_HOST_USER" "secret" . "key" $values.mail.usernameKey) }}
{{ include "auditlog.variable" (dict "root" $ "name" "EMAIL_HOST_PASSWORD" "secret" . "key" $values.mail.passwordKey) }}
{{- end }}
{{- with $values.mail.host }}
- name: EMAIL_HOST
  value: {{ . | quote }}
- name: EMAIL_PORT
  value: {{ $values.mail.port | quote }}
- name: EMAIL_SECURITY
  value: {{ $values.mail.security }}
- name: EMAIL_TIMEOUT_SECONDS
  value: {{ $values.mail.timeoutSeconds | quote }}
{{- with $values.mail.from }}
- name: DEFAULT_FROM_EMAIL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with $values.directory.existingSecret }}
{{ include "auditlog.variable" (dict "root" $ "name" "DIRECTORY_URL" "secret" . "key" $values.directory.urlKey) }}
- name: DIRECTORY_TIMEOUT_SECONDS
  value: {{ $values.directory.timeoutSeconds | quote }}
{{- with $values.directory.tokenKey }}
{{ include "auditlog.variable" (dict "root" $ "name" "DIRECTORY_TOKEN" "secret" $values.directory.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A variable out of a Secret: takes root, name, secret and key. */}}
{{- define "auditlog.variable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ tpl .secret .root }}
      key: {{ .key }}
{{- end -}}

{{/* What the audit API alone reads, as a map: who may ask how much, and who sees what. */}}
{{- define "auditlog.auditApiEnv" -}}
{{- with .Values.auditApi -}}
AUDITLOG_DEFAULT_WINDOW_DAYS: {{ .defaultWindowDays }}
AUDITLOG_CURSOR_SECONDS: {{ .cursorSeconds }}
AUDITLOG_QUERY_TIMEOUT_SECONDS: {{ .queryTimeoutSeconds }}
AUDITLOG_ANSWER_STEP_SECONDS: {{ .answerStepSeconds }}
AUDITLOG_RATE_LIMIT_SECONDS: {{ .rateLimit.seconds }}
AUDITLOG_RATE_LIMIT_TOKENS: {{ .rateLimit.tokens }}
AUDITLOG_RATE_LIMIT_ANONYMOUS_TOKENS: {{ .rateLimit.anonymousTokens }}
AUDITLOG_DEMAND_REASON: {{ .demandReason | quote }}
AUDITLOG_RESTRICTED_CLASSES: {{ join "," .restrictedClasses | quote }}
{{- end -}}
{{- end -}}
