{{/*
The one skeleton of all pods: every rule of hardening and of placing stands here and nowhere else. Takes root, component, and
  values          the workload's values
  args            what python runs
  env             as for "auditlog.env": database, audit, hook, named, more
  ports           named ports of the container, or nothing
  probes          whether the workload's probes are rendered
  media           whether uploaded files are reached
  kafka           whether Kafka is spoken to (its certificates are mounted)
  restartPolicy   of a Job, or nothing
  serviceAccount  its name; "-" leaves it to the namespace
*/}}
{{- define "auditlog.pod" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $pods := .root.Values.pods -}}
{{- $tls := and .kafka (include "auditlog.hasTls" .root) .root.Values.kafka.tls.existingSecret -}}
metadata:
  labels:
    {{- include "auditlog.labels" . | nindent 4 }}
    {{- with default $pods.labels $values.podLabels }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  annotations:
    {{- include "auditlog.checksums" $root | nindent 4 }}
    {{- with default $pods.annotations $values.podAnnotations }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
spec:
  {{- if ne .serviceAccount "-" }}
  serviceAccountName: {{ .serviceAccount }}
  {{- end }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml (default $pods.securityContext $values.securityContext) | nindent 4 }}
  {{- with default $pods.priorityClassName $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.terminationGracePeriodSeconds }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with default $pods.nodeSelector $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with default $pods.tolerations $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with default $pods.affinity $values.affinity }}
  affinity:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  {{- if not .restartPolicy }}
  {{- with default $pods.topologySpreadConstraints $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not .labelSelector }}
      labelSelector:
        matchLabels:
          {{- include "auditlog.selectorLabels" $ | nindent 10 }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- with $pods.extraSpec }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "auditlog.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [python]
      args:
        {{- toYaml .args | nindent 8 }}
      securityContext:
        {{- toYaml (default $pods.containerSecurityContext $values.containerSecurityContext) | nindent 8 }}
      env:
        {{- include "auditlog.env" (merge (dict "root" $root "extra" $values) .env) | nindent 8 }}
      {{- $from := concat $root.Values.extraEnvFrom $values.extraEnvFrom }}
      {{- with $from }}
      envFrom:
        {{- tpl (toYaml .) $root | nindent 8 }}
      {{- end }}
      {{- with .ports }}
      ports:
        {{- range $name, $port := . }}
        - name: {{ $name }}
          containerPort: {{ $port }}
          protocol: TCP
        {{- end }}
      {{- end }}
      {{- if .probes }}
      {{- range $kind := list "startupProbe" "readinessProbe" "livenessProbe" }}
      {{- with get $values $kind }}
      {{ $kind }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- end }}
      {{- with $values.preStopSleepSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if .media }}
        - name: media
          mountPath: /var/lib/auditlog/media
        {{- end }}
        {{- if $tls }}
        - name: kafka
          mountPath: /etc/auditlog/kafka
          readOnly: true
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- tpl (toYaml .) $root | nindent 8 }}
        {{- end }}
    {{- with $values.extraContainers }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: {{ $pods.tmpSizeLimit }}
    {{- if .media }}
    - name: media
      {{- if $root.Values.api.media.existingClaim }}
      persistentVolumeClaim:
        claimName: {{ tpl $root.Values.api.media.existingClaim $root }}
      {{- else }}
      emptyDir:
        sizeLimit: {{ $root.Values.api.media.sizeLimit }}
      {{- end }}
    {{- end }}
    {{- if $tls }}
    - name: kafka
      secret:
        secretName: {{ tpl $root.Values.kafka.tls.existingSecret $root }}
        defaultMode: 0440
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
{{- end -}}
