{{/*
What the chart's own pods have in common: those of the Deployment, and that of `helm test`.
*/}}

{{- define "token-proxy.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What is set, unless that would cut requests off. */}}
{{- define "token-proxy.standaloneGrace" -}}
{{- $given := int .Values.standalone.terminationGracePeriodSeconds -}}
{{- $drain := dig "drain_seconds" 25 (default dict (default dict .Values.config).shutdown) -}}
{{- if and $given (kindIs "string" $drain) -}}
{{- $given -}}
{{- else -}}
{{- $needed := include "token-proxy.terminationGracePeriodSeconds" . | int -}}
{{- if and $given (lt $given $needed) -}}
{{- fail (printf "token-proxy: standalone.terminationGracePeriodSeconds is less than the %d that shutdown.drain_seconds, preStopSeconds and a margin of 5 make: raise it, or lower those" $needed) -}}
{{- end -}}
{{- default $needed $given -}}
{{- end -}}
{{- end -}}

{{/* Whether there is more than one pod. */}}
{{- define "token-proxy.hasSeveralPods" -}}
{{- if gt (int (ternary .Values.autoscaling.minReplicas .Values.standalone.replicas .Values.autoscaling.enabled)) 1 -}}
true
{{- end -}}
{{- end -}}
