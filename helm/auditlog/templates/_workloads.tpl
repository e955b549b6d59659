{{/* A Deployment: takes what "auditlog.pod" takes, and scaled, whether something else counts the replicas. */}}
{{- define "auditlog.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.pods.revisionHistoryLimit }}
  strategy:
    {{- toYaml .values.strategy | nindent 4 }}
  selector:
    matchLabels:
      {{- include "auditlog.selectorLabels" . | nindent 6 }}
  template:
    {{- include "auditlog.pod" (merge (dict "probes" true "serviceAccount" (include "auditlog.serviceAccountName" .root)) .) | nindent 4 }}
{{- end -}}

{{/* A StatefulSet, for pods that keep their names and nothing else: takes what "auditlog.deployment" takes. */}}
{{- define "auditlog.statefulSet" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  # A StatefulSet must have one. It leads nowhere.
  clusterIP: None
  selector:
    {{- include "auditlog.selectorLabels" . | nindent 4 }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  serviceName: {{ include "auditlog.fullname" .root }}-{{ .component }}
  {{- if not .scaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.pods.revisionHistoryLimit }}
  # A pod that does not start must not hold up the others. A new version replaces one after the other all the same.
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  selector:
    matchLabels:
      {{- include "auditlog.selectorLabels" . | nindent 6 }}
  template:
    {{- include "auditlog.pod" (merge (dict "probes" true "serviceAccount" (include "auditlog.serviceAccountName" .root)) .) | nindent 4 }}
{{- end -}}

{{/* A PodDisruptionBudget: takes root, component, values, and scaler where there is one. */}}
{{- define "auditlog.pdb" -}}
{{- if and .values.enabled .values.pdb.enabled (include "auditlog.several" .) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .values.pdb.minAvailable) }}
  minAvailable: {{ .values.pdb.minAvailable }}
  {{- else }}
  maxUnavailable: {{ .values.pdb.maxUnavailable }}
  {{- end }}
  unhealthyPodEvictionPolicy: {{ .values.pdb.unhealthyPodEvictionPolicy }}
  selector:
    matchLabels:
      {{- include "auditlog.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* A Job that a release runs once: takes root, component, values, args, env, kafka, hooks, weight, and early where it runs before the release. */}}
{{- define "auditlog.job" -}}
{{- $values := .values -}}
{{- $hook := $values.useHelmHooks -}}
{{- $annotations := deepCopy $values.jobAnnotations -}}
{{- if $hook -}}
{{- $annotations = merge $annotations (dict "helm.sh/hook" .hooks "helm.sh/hook-weight" .weight "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded") -}}
{{- end -}}
{{- $early := and $hook (default false .early) -}}
{{- /* Before the release is there, neither is its ServiceAccount. */ -}}
{{- $account := default (ternary "-" (include "auditlog.serviceAccountName" .root) (and $early .root.Values.serviceAccount.create)) $values.serviceAccountName -}}
{{- $suffix := ternary .component (printf "%s-%d" .component .root.Release.Revision) $hook -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component "suffix" $suffix "annotations" $annotations) | nindent 2 }}
spec:
  backoffLimit: {{ $values.backoffLimit }}
  activeDeadlineSeconds: {{ $values.activeDeadlineSeconds }}
  {{- if not $hook }}
  ttlSecondsAfterFinished: {{ $values.ttlSecondsAfterFinished }}
  {{- end }}
  template:
    {{- $env := merge (dict "hook" $early) .env }}
    {{- include "auditlog.pod" (dict "root" .root "component" .component "values" $values "args" .args "env" $env "kafka" .kafka "restartPolicy" "Never" "serviceAccount" $account) | nindent 4 }}
{{- end -}}

{{/* A CronJob: takes root, component, values, args and env. */}}
{{- define "auditlog.cronJob" -}}
{{- $values := .values -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  schedule: {{ $values.schedule | quote }}
  timeZone: {{ $values.timeZone | quote }}
  suspend: {{ $values.suspend }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ $values.startingDeadlineSeconds }}
  successfulJobsHistoryLimit: {{ $values.successfulJobsHistoryLimit }}
  failedJobsHistoryLimit: {{ $values.failedJobsHistoryLimit }}
  jobTemplate:
    metadata:
      labels:
        {{- include "auditlog.labels" . | nindent 8 }}
    spec:
      backoffLimit: {{ $values.backoffLimit }}
      activeDeadlineSeconds: {{ $values.activeDeadlineSeconds }}
      template:
        {{- include "auditlog.pod" (dict "root" .root "component" .component "values" $values "args" (concat .args $values.args) "env" .env "restartPolicy" "Never" "serviceAccount" (include "auditlog.serviceAccountName" .root)) | nindent 8 }}
{{- end -}}

{{/* A NetworkPolicy: takes root, component, values, kafka, metrics, and ingress (a list of rules). */}}
{{- define "auditlog.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- if and $policy.enabled .values.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "auditlog.metadata" (dict "root" .root "component" .component) | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "auditlog.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- $ingress := default list .ingress }}
  {{- if .metrics }}
  {{- $rule := dict "ports" (list (dict "port" "metrics" "protocol" "TCP")) }}
  {{- with $policy.metricsFrom }}{{- $_ := set $rule "from" . }}{{- end }}
  {{- $ingress = append $ingress $rule }}
  {{- end }}
  ingress:
    {{- toYaml $ingress | nindent 4 }}
  egress:
    - ports:
        - {port: 53, protocol: UDP}
        - {port: 53, protocol: TCP}
    - ports:
        {{- range $policy.databasePorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
      {{- with $policy.databaseTo }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- if .kafka }}
    - ports:
        {{- range $policy.kafkaPorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
      {{- with $policy.kafkaTo }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- if .root.Values.cache.existingSecret }}
    - ports:
        {{- range $policy.cachePorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
      {{- with $policy.cacheTo }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- with $policy.extraEgress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}
