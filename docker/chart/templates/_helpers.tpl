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

{{- /* A client of the bus: its address, its certificate, and the question whether it is alive. */ -}}
{{- define "ranloop.client" -}}
env:
  - {name: RANLOOP_BUS, value: {{ .root.Values.bus | default (printf "mqtts://%s-broker:8883" .root.Release.Name) | quote }}}
  - {name: RANLOOP_MQTT_CA, value: /run/secrets/ranloop/ca.crt}
  - {name: RANLOOP_MQTT_CERT, value: /run/secrets/ranloop/tls.crt}
  - {name: RANLOOP_MQTT_KEY, value: /run/secrets/ranloop/tls.key}
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
