{{- define "sagamart.name" -}}
{{- if contains "sagamart" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-sagamart" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* The parts that run: the three services and their observer, or the whole shop as one. */}}
{{- define "sagamart.components" -}}
{{- if eq .Values.store.mode "embedded" }}shop{{ else }}order stock payment{{ if .Values.observe.enabled }} observer{{ end }}{{ end }}
{{- end }}

{{- /* How many replicas a part has; of the observer one does the work. Takes a dict of `root` and `component`. */}}
{{- define "sagamart.replicas" -}}
{{- if eq .component "observer" }}{{ .root.Values.observe.replicas }}{{ else }}{{ .root.Values.replicas }}{{ end }}
{{- end }}

{{- /* Whether a part is scaled: "true" or nothing. Takes the same. */}}
{{- define "sagamart.isScaled" -}}
{{- if and .root.Values.autoscaling.enabled (ne .component "observer") }}true{{ end }}
{{- end }}

{{- define "sagamart.historyEnvironment" -}}
- name: SAGAMART_HISTORY_HOURS
  value: {{ ternary .Values.observe.historyHours 0 .Values.observe.enabled | int64 | quote }}
- name: SAGAMART_HISTORY_MIB
  value: {{ .Values.observe.historyMib | int64 | quote }}
{{- end }}

{{- /* Where the secret is that the processes of the shop show each other. */}}
{{- define "sagamart.peersSecret" -}}
{{- .Values.peers.existingSecret | default (printf "%s-peers" (include "sagamart.name" .)) }}
{{- end }}

{{- /* Takes a dict of `root` and `component`. */}}
{{- define "sagamart.selector" -}}
app.kubernetes.io/name: sagamart
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sagamart.labels" -}}
{{ include "sagamart.selector" . }}
{{ include "sagamart.commonLabels" .root }}
{{- end }}

{{- define "sagamart.commonLabels" -}}
app.kubernetes.io/part-of: sagamart
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sagamart.image" -}}
{{- $names := .root.Values.image.names }}
{{- $name := ternary $names.order (get $names .component) (eq .component "shop") }}
{{- with .root.Values.image.registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ $name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "sagamart.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "sagamart.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "sagamart.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: http
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /livez
    port: http
  periodSeconds: 10
  timeoutSeconds: 2
  failureThreshold: 3
{{- end }}

{{- /* Where the tokens are in a pod. */}}
{{- define "sagamart.tokensMount" -}}
{{- if .Values.access.tokensSecret.name }}
- name: tokens
  mountPath: /etc/sagamart/tokens
  readOnly: true
{{- end }}
{{- end }}

{{- define "sagamart.tokensVolume" -}}
{{- if .Values.access.tokensSecret.name }}
- name: tokens
  secret:
    secretName: {{ .Values.access.tokensSecret.name }}
{{- end }}
{{- end }}

{{- define "sagamart.commonEnvironment" -}}
- name: SAGAMART_LISTEN
  value: 0.0.0.0:8000
- name: SAGAMART_METRICS_LISTEN
  value: 0.0.0.0:8020
{{- if .Values.access.tokensSecret.name }}
- name: SAGAMART_TOKENS
  value: /etc/sagamart/tokens/{{ .Values.access.tokensSecret.key }}
{{- else if .Values.access.insecure }}
- name: SAGAMART_INSECURE
  value: "true"
{{- else }}
{{- fail "access: nobody would have to say who they are: name a Secret with a file of tokens in access.tokensSecret.name (docs/access.md), or, where whoever reaches the shop may do everything, set access.insecure=true" }}
{{- end }}
{{- if .Values.access.publicBulk }}
- name: SAGAMART_PUBLIC_BULK
  value: "true"
{{- end }}
- name: SAGAMART_PARTITIONS
  value: {{ .Values.settings.partitions | quote }}
- name: SAGAMART_CHECKOUT_TIMEOUT
  value: {{ .Values.settings.checkoutTimeoutSeconds | quote }}
- name: SAGAMART_RECORDS_IN_MEMORY
  value: {{ .Values.settings.recordsInMemory | int64 | quote }}
- name: SAGAMART_LOG
  value: {{ .Values.settings.log }}
{{- end }}

{{- /* For what a gateway leads to. */}}
{{- define "sagamart.gatewayEnvironment" -}}
{{- if and (eq .Values.expose.kind "httpRoute") (eq .Values.expose.httpRoute.idempotencyKey "envoy") }}
- name: SAGAMART_BEHIND_GATEWAY
  value: "true"
{{- end }}
{{- end }}

{{- define "sagamart.serviceEnvironment" -}}
{{- $root := .root }}
{{- $component := .component }}
{{- $store := get .root.Values.store.redis .component }}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{ include "sagamart.commonEnvironment" .root }}
{{- if ne .component "observer" }}
{{ include "sagamart.gatewayEnvironment" .root }}
{{- end }}
- name: SAGAMART_DRAIN_NOTICE
  value: {{ .root.Values.settings.drainNoticeSeconds | quote }}
- name: SAGAMART_INTERNAL_LISTEN
  value: 0.0.0.0:9000
- name: SAGAMART_ADVERTISE
  value: $(POD_IP):9000
- name: SAGAMART_STORE
{{- if $store.urlSecret }}
  valueFrom:
    secretKeyRef:
      {{- toYaml $store.urlSecret | nindent 6 }}
{{- else }}
  value: {{ $store.url | quote }}
{{- end }}
{{- with $store.passwordSecret }}
- name: SAGAMART_STORE_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- toYaml . | nindent 6 }}
{{- end }}
- name: SAGAMART_DURABILITY
  value: {{ .root.Values.store.redis.durability }}
{{- if eq .root.Values.store.redis.durability "replicated" }}
- name: SAGAMART_REPLICAS
  value: {{ required "store.redis.replicas: with durability=replicated, say how many replicas a failover may promote" .root.Values.store.redis.replicas | quote }}
{{- end }}
- name: SAGAMART_PEER_SECRET_FILE
  value: /secrets/peers/{{ .root.Values.peers.key }}
{{- if eq $component "observer" }}
- name: SAGAMART_ADMIN_LISTEN
  value: 0.0.0.0:8010
{{- $host := printf "%s-observer" (include "sagamart.name" $root) }}
# By these names, by addresses, and by localhost.
- name: SAGAMART_ALLOWED_HOSTS
  value: {{ $host }},{{ $host }}.{{ $root.Release.Namespace }},{{ $host }}.{{ $root.Release.Namespace }}.svc
{{ include "sagamart.historyEnvironment" .root }}
{{- else if not .root.Values.observe.enabled }}
# Nothing is kept for an observer, for there is none.
- name: SAGAMART_OBSERVER_LAG
  value: "0"
{{- end }}
{{- /* Whose events it consumes. */}}
{{- range $peer := get (dict "order" (list "stock" "payment") "stock" (list "order") "payment" (list "order" "stock") "observer" (list "order" "stock" "payment")) $component }}
- name: SAGAMART_PEER_{{ upper $peer }}
  value: {{ include "sagamart.name" $root }}-{{ $peer }}-internal:9000
{{- end }}
{{- end }}
