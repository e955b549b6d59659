{{/* Names, labels and references. */}}

{{- define "auditlog.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The first part of every name. 63 characters less the longest suffix, and less what a CronJob appends to its Jobs. */}}
{{- define "auditlog.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "auditlog.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "auditlog.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Never the version in here: selectors cannot be changed. Takes root and component. */}}
{{- define "auditlog.selectorLabels" -}}
app.kubernetes.io/name: {{ include "auditlog.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Takes root and component. */}}
{{- define "auditlog.labels" -}}
{{ include "auditlog.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: auditlog
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ include "auditlog.chart" .root }}
{{- with .root.Values.commonLabels }}
{{ tpl (toYaml .) $.root }}
{{- end }}
{{- end -}}

{{/* The metadata of an object: takes root and component, and may take suffix, annotations and labels (maps), and name. */}}
{{- define "auditlog.metadata" -}}
name: {{ default (printf "%s-%s" (include "auditlog.fullname" .root) (default .component .suffix)) .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "auditlog.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (deepCopy (default dict .annotations)) (fromYaml (tpl (toYaml .root.Values.commonAnnotations) .root)) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "auditlog.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "auditlog.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "auditlog.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.image.registry }}{{- $repository = printf "%s/%s" . $repository -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The hosts by which clients come in from outside. */}}
{{- define "auditlog.hosts" -}}
{{- $hosts := list -}}
{{- if .Values.api.ingress.enabled }}{{- $hosts = concat $hosts .Values.api.ingress.hosts -}}{{- end -}}
{{- if .Values.api.httpRoute.enabled }}{{- $hosts = concat $hosts .Values.api.httpRoute.hostnames -}}{{- end -}}
{{- join "," (uniq $hosts) -}}
{{- end -}}

{{/* Every name by which the API may be asked. */}}
{{- define "auditlog.allowedHosts" -}}
{{- $service := printf "%s-api" (include "auditlog.fullname" .) -}}
{{- $own := list $service (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) -}}
{{- $outside := include "auditlog.hosts" . | splitList "," | compact -}}
{{- join "," (concat .Values.django.allowedHosts $outside $own | uniq) -}}
{{- end -}}

{{- define "auditlog.trustedOrigins" -}}
{{- if .Values.django.csrfTrustedOrigins -}}
{{- join "," .Values.django.csrfTrustedOrigins -}}
{{- else -}}
{{- $origins := list -}}
{{- range include "auditlog.hosts" . | splitList "," | compact }}{{- $origins = append $origins (printf "https://%s" .) -}}{{- end -}}
{{- join "," $origins -}}
{{- end -}}
{{- end -}}

{{- define "auditlog.hasAuditDatabase" -}}
{{- if or .Values.auditDatabase.existingSecret .Values.auditDatabase.urls -}}yes{{- end -}}
{{- end -}}

{{- define "auditlog.hasSasl" -}}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol -}}yes{{- end -}}
{{- end -}}

{{- define "auditlog.hasTls" -}}
{{- if hasSuffix "SSL" .Values.kafka.securityProtocol -}}yes{{- end -}}
{{- end -}}

{{/* Whether two or more pods of a workload run: takes the workload's values and its autoscaler's (or nothing). */}}
{{- define "auditlog.several" -}}
{{- $scaler := default dict .scaler -}}
{{- if gt (int (ternary $scaler.minReplicas .values.replicas (default false $scaler.enabled))) 1 -}}yes{{- end -}}
{{- end -}}

{{/* The Secret of values that were given in plain: takes root, and hook for the copy that hooks read. */}}
{{- define "auditlog.inlineSecretName" -}}
{{- printf "%s-%s" (include "auditlog.fullname" .root) (ternary "inline-hook" "inline" (default false .hook)) -}}
{{- end -}}

{{/* Where a credential is: takes root, existing (a Secret's name, or nothing), key, inline (the key if there is none), hook. */}}
{{- define "auditlog.secretKeyRef" -}}
secretKeyRef:
{{- if .existing }}
  name: {{ tpl .existing .root }}
  key: {{ .key }}
{{- else }}
  name: {{ include "auditlog.inlineSecretName" . }}
  key: {{ .inline }}
{{- end }}
{{- end -}}

{{/* Values that were given in plain, as a Secret's data. */}}
{{- define "auditlog.inlineSecrets" -}}
{{- with .Values.django.secretKey }}
django-secret-key: {{ . | b64enc }}
{{- end }}
{{- range $role, $url := .Values.database.urls }}
database-{{ $role }}: {{ $url | b64enc }}
{{- end }}
{{- range $role, $url := .Values.auditDatabase.urls }}
audit-{{ $role }}: {{ $url | b64enc }}
{{- end }}
{{- with .Values.kafka.username }}
kafka-username: {{ . | b64enc }}
{{- end }}
{{- with .Values.kafka.password }}
kafka-password: {{ . | b64enc }}
{{- end }}
{{- end -}}

{{/* Annotations that change with what pods read and the chart renders, so that they roll. Of Secrets that exist already the chart
     knows nothing: for them stands a value. */}}
{{- define "auditlog.checksums" -}}
checksum/config: {{ printf "%s\n%s\n%s" (include "auditlog.plainEnv" .) (tpl (toYaml .Values.config) .) (include "auditlog.extraOfKind" (dict "root" . "kind" "ConfigMap")) | sha256sum }}
checksum/secret: {{ printf "%s\n%s\n%s" (include "auditlog.inlineSecrets" .) (tpl .Values.pods.secretsRevision .) (include "auditlog.extraOfKind" (dict "root" . "kind" "Secret")) | sha256sum }}
{{- end -}}

{{/* Those of extraObjects that are of a kind, as text: takes root and kind. */}}
{{- define "auditlog.extraOfKind" -}}
{{- range .root.Values.extraObjects -}}
{{- range regexSplit "(?m)^---\\s*$" (tpl (ternary . (toYaml .) (kindIs "string" .)) $.root) -1 -}}
{{- if eq (dig "kind" "" (fromYaml .)) $.kind }}{{ . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
