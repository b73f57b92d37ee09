{{- define "ranloop.labels" -}}
app.kubernetes.io/name: ranloop
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "ranloop.selector" -}}
app.kubernetes.io/name: ranloop
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "ranloop.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ranloop.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end }}

{{- /* How Prometheus finds a pod. */ -}}
{{- define "ranloop.scraped" -}}
prometheus.io/scrape: {{ .root.Values.metrics.enabled | quote }}
prometheus.io/port: {{ .root.Values.metrics.port | quote }}
{{- end }}

{{- /* A client of the bus: its address, its certificate, and the questions whether it is alive and ready. The page alone has a
       port `web` and is no participant of the bus. Ports are not listed: Kubernetes needs no list, and podman would publish what is in it. */ -}}
{{- define "ranloop.client" -}}
env:
  - {name: RANLOOP_BUS, value: {{ .root.Values.bus | default (printf "mqtts://%s-broker:8883" .root.Release.Name) | quote }}}
  - {name: RANLOOP_MQTT_CA, value: /run/secrets/ranloop/ca.crt}
  - {name: RANLOOP_MQTT_CERT, value: /run/secrets/ranloop/tls.crt}
  - {name: RANLOOP_MQTT_KEY, value: /run/secrets/ranloop/tls.key}
{{- with .as }}
  - {name: RANLOOP_MQTT_USER, value: {{ . }}}  # as whom the audit log names it
{{- end }}
{{- if .root.Values.metrics.enabled }}
  - {name: RANLOOP_METRICS, value: "0.0.0.0:{{ .root.Values.metrics.port }}"}
startupProbe:
  httpGet: {path: /healthz, port: {{ .root.Values.metrics.port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 24
readinessProbe:
  httpGet: {path: /readyz, port: {{ .root.Values.metrics.port }}}
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:  # a broker that is away is no reason to lose what the process remembers
  httpGet: {path: /healthz, port: {{ .root.Values.metrics.port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 4
{{- else if .web }}
startupProbe:
  httpGet: {path: /, port: {{ .web }}, httpHeaders: [{name: Host, value: {{ .host }}}]}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 24
livenessProbe:
  httpGet: {path: /, port: {{ .web }}, httpHeaders: [{name: Host, value: {{ .host }}}]}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 4
{{- else }}
startupProbe:
  exec: {command: [python3, -m, ranloop_start, alive, {{ .participant | quote }}]}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 24
readinessProbe:
  exec: {command: [python3, -m, ranloop_start, alive, {{ .participant | quote }}]}
  periodSeconds: 30
  timeoutSeconds: 10
livenessProbe:  # a broker that is away is no reason to lose what the process remembers
  exec: {command: [python3, -m, ranloop_start, alive, {{ .participant | quote }}, --or-no-broker]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 4
{{- end }}
{{- end }}
