{{/*
The container, the same in every use, and what it needs of its pod.
*/}}

{{/*
An entry for `initContainers` (sidecar.native, the default) or for `containers` (classic):

    initContainers:
      {{- include "token-proxy.sidecar" (index .Subcharts "token-proxy") | nindent 8 }}
*/}}
{{- define "token-proxy.sidecar" -}}
{{- include "token-proxy.checkContext" . -}}
{{- if .Values.standalone.enabled -}}
{{- fail "token-proxy: standalone.enabled is set, and a template includes the sidecar: a release is for one of them" -}}
{{- end -}}
{{- if and .Values.sidecar.native (semverCompare "<1.29-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "token-proxy: Kubernetes %s has no native sidecars: set sidecar.native=false and include the sidecar under `containers`" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- include "token-proxy.checkConfig" . -}}
{{- include "token-proxy.container" . -}}
{{- end -}}

{{- define "token-proxy.container" -}}
- name: token-proxy
  image: {{ include "token-proxy.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [run, -c, /etc/token-proxy/token-proxy.yaml]
  {{- if and .Values.sidecar.native (not .Values.standalone.enabled) }}
  restartPolicy: Always
  {{- end }}
  {{- with .Values.extraEnv }}
  env:
    {{- range $name, $value := . }}
    - name: {{ $name | quote }}
      {{- if kindIs "map" $value }}
      {{- toYaml $value | nindent 6 }}
      {{- else }}
      {{- /* A large number is no 1.2345678e+07. */}}
      value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
      {{- end }}
    {{- end }}
  {{- end }}
  ports:
    {{- if .Values.standalone.enabled }}
    - name: tp-proxy
      containerPort: {{ int .Values.ports.proxy }}
      protocol: TCP
    {{- end }}
    - name: tp-admin
      containerPort: {{ int .Values.ports.admin }}
      protocol: TCP
  {{- with .Values.probes }}
  startupProbe:
    httpGet: {path: /startupz, port: tp-admin}
    periodSeconds: {{ int .startup.periodSeconds }}
    timeoutSeconds: {{ int .startup.timeoutSeconds }}
    failureThreshold: {{ include "token-proxy.startupFailures" $ }}
  livenessProbe:
    httpGet: {path: /livez, port: tp-admin}
    periodSeconds: {{ int .liveness.periodSeconds }}
    timeoutSeconds: {{ int .liveness.timeoutSeconds }}
    failureThreshold: {{ int .liveness.failureThreshold }}
  {{- if $.Values.standalone.enabled }}
  readinessProbe:
    httpGet: {path: /readyz, port: tp-admin}
    periodSeconds: {{ int .readiness.periodSeconds }}
    timeoutSeconds: {{ int .readiness.timeoutSeconds }}
    failureThreshold: {{ int .readiness.failureThreshold }}
  {{- end }}
  {{- end }}
  {{- if include "token-proxy.hasPreStop" . }}
  lifecycle:
    preStop:
      sleep:
        seconds: {{ int .Values.preStopSeconds }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "token-proxy.securityContext" . | nindent 2 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: token-proxy-config
      mountPath: /etc/token-proxy
      readOnly: true
    {{- if .Values.existingSecret }}
    - name: token-proxy-secret
      mountPath: {{ .Values.secretMountPath }}
      readOnly: true
    {{- end }}
    {{- if .Values.serviceAccountToken.enabled }}
    - name: token-proxy-identity
      mountPath: {{ .Values.serviceAccountToken.mountPath }}
      readOnly: true
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "token-proxy.securityContext" -}}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/* A start takes seconds on a busy node; a slow authorization server may be waited for, too. */}}
{{- define "token-proxy.startupFailures" -}}
{{- $startup := .Values.probes.startup -}}
{{- if $startup.failureThreshold -}}
{{- int $startup.failureThreshold -}}
{{- else -}}
{{- $wait := include "token-proxy.seconds" (list . "startup" "wait_for_tokens_seconds" 0 "probes.startup.failureThreshold") | int -}}
{{- divf (add 60 $wait) (int $startup.periodSeconds) | ceil | int -}}
{{- end -}}
{{- end -}}

{{/* Entries for the pod's `volumes`. Whole directories, so that what changes arrives. */}}
{{- define "token-proxy.volumes" -}}
{{- include "token-proxy.checkContext" . -}}
- name: token-proxy-config
  configMap:
    name: {{ include "token-proxy.configMapName" . }}
{{- if .Values.existingSecret }}
- name: token-proxy-secret
  secret:
    secretName: {{ .Values.existingSecret | quote }}
    defaultMode: 0444
{{- end }}
{{- with .Values.serviceAccountToken }}
{{- if .enabled }}
- name: token-proxy-identity
  projected:
    defaultMode: 0444
    sources:
      - serviceAccountToken:
          audience: {{ .audience | quote }}
          expirationSeconds: {{ int .expirationSeconds }}
          path: token
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations for the pod: none with `reload: hot`. */}}
{{- define "token-proxy.podAnnotations" -}}
{{- include "token-proxy.checkContext" . -}}
{{- if eq .Values.reload "restart" -}}
token-proxy/config-checksum: {{ include "token-proxy.config" . | sha256sum }}
{{- end -}}
{{- end -}}

{{/* Where callers in the pod connect. */}}
{{- define "token-proxy.url" -}}
{{- include "token-proxy.checkContext" . -}}
{{- if not (include "token-proxy.listensAtPort" .) -}}
{{- fail (printf "token-proxy: nothing in config.listen ends in :%d, where token-proxy.url and test.path lead: set ports.proxy to its port, or write the address yourself" (int .Values.ports.proxy)) -}}
{{- end -}}
http://127.0.0.1:{{ int .Values.ports.proxy }}
{{- end -}}
