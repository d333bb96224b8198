{{/*
Names, labels, the image. Every template here wants the context of this chart.
*/}}

{{/* The name of all objects. Not shortened in ways that would make two releases meet: a release
called x-token-proxy keeps its name apart from that of x. */}}
{{- define "token-proxy.fullname" -}}
{{- $name := default "token-proxy" .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if eq .Release.Name $name -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name with a suffix, at most 63 characters: list CONTEXT "suffix". */}}
{{- define "token-proxy.nameWith" -}}
{{- $suffix := printf "-%s" (index . 1) -}}
{{- $name := include "token-proxy.fullname" (index . 0) -}}
{{- printf "%s%s" ($name | trunc (int (sub 63 (len $suffix))) | trimSuffix "-") $suffix -}}
{{- end -}}

{{/* A release may have the chart twice, as two dependencies by two names: neither Service may lead to
the other's pods, which have other tokens. */}}
{{- define "token-proxy.selectorLabels" -}}
app.kubernetes.io/name: {{ coalesce .Values.fullnameOverride .Values.nameOverride "token-proxy" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "token-proxy.labels" -}}
helm.sh/chart: {{ printf "token-proxy-%s" .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "token-proxy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "token-proxy.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "token-proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "token-proxy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap that holds token-proxy.yaml. */}}
{{- define "token-proxy.configMapName" -}}
{{- default (include "token-proxy.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* "true" where the cluster knows prometheus-operator's kinds, or is said to. */}}
{{- define "token-proxy.knowsMonitors" -}}
{{- if or .Values.monitoring.assumeApi (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
true
{{- end -}}
{{- end -}}
