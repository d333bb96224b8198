{{/*
What the Deployment and the CronJob have in common: the application's container beside the proxy.
*/}}
{{- define "orders.container" -}}
{{- $proxy := index .Subcharts "token-proxy" -}}
image: {{ .Values.image | quote }}
env:
  # Plain HTTP, no token: the sidecar adds it.
  - name: ORDERS_API
    value: {{ include "token-proxy.url" $proxy | quote }}
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 256Mi}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end -}}
