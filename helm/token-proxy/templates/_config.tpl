{{/*
The configuration: what is wrong with it, what the chart adds to it, what follows from it.
*/}}

{{/* Fails unless the context is this chart's: no other chart has this file. */}}
{{- define "token-proxy.checkContext" -}}
{{- if not (kindIs "map" .) -}}
{{- fail "token-proxy: its templates want the chart's own context: include \"token-proxy.sidecar\" (index .Subcharts \"token-proxy\")" -}}
{{- end -}}
{{- if not (and (hasKey . "Files") (hasKey . "Values") (.Files.Get "files/token-proxy.rules.yaml")) -}}
{{- fail "token-proxy: its templates want the chart's own context, and were given another's: write include \"token-proxy.sidecar\" (index .Subcharts \"token-proxy\") in place of include \"token-proxy.sidecar\" ." -}}
{{- end -}}
{{- end -}}

{{/* Fails with a sentence that says what to set, where there is no usable configuration. */}}
{{- define "token-proxy.checkConfig" -}}
{{- if and (not .Values.config) (not .Values.existingConfigMap) -}}
{{- fail "token-proxy: there is no configuration: set `config` (at least config.upstreams), or name a ConfigMap that has token-proxy.yaml as `existingConfigMap`" -}}
{{- end -}}
{{- if and .Values.config .Values.existingConfigMap -}}
{{- fail "token-proxy: `config` and `existingConfigMap` are both set: only one of them can be the configuration" -}}
{{- end -}}
{{- if and .Values.config (not .Values.config.upstreams) -}}
{{- fail "token-proxy: config.upstreams names nothing: at least one upstream is needed" -}}
{{- end -}}
{{- include "token-proxy.checkSecrets" . -}}
{{- include "token-proxy.checkListeners" . -}}
{{- end -}}

{{/* A literal secret would lie in the ConfigMap, in the release, and in somebody's repository. */}}
{{- define "token-proxy.checkSecrets" -}}
{{- $values := default dict .Values.config -}}
{{- if $values.allow_inline_secrets -}}
{{- fail "token-proxy: config.allow_inline_secrets has no place in values: put secrets into a Secret, name it as `existingSecret`, and use client_secret_file" -}}
{{- end -}}
{{- $at := .Values.secretMountPath -}}
{{- range $name, $client := $values.clients -}}
{{- range $key := list "client_secret" "private_key" -}}
{{- $text := get (default dict $client) $key -}}
{{- if and $text (not (regexMatch "^[$][{][A-Za-z_][A-Za-z0-9_]*[}]$" (toString $text))) -}}
{{- fail (printf "token-proxy: config.clients.%s.%s is a secret in values: put it into a Secret, name that as `existingSecret`, and write %s_file: %s/KEY (or ${NAME}, with the variable in `extraEnv`)" $name $key $key $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $named := dict -}}
{{- range $section := list "clients" "audiences" -}}
{{- range $name, $one := (default dict (get $values $section)) -}}
{{- $_ := set $named (printf "%s.%s.parameters" $section $name) (default dict (get (default dict $one) "parameters")) -}}
{{- end -}}
{{- end -}}
{{- range $name, $one := $values.upstreams -}}
{{- $_ := set $named (printf "upstreams.%s.set_headers" $name) (default dict (get (default dict $one) "set_headers")) -}}
{{- end -}}
{{- range $place, $fields := $named -}}
{{- range $field, $text := $fields -}}
{{- if and (regexMatch "(?i)secret|passw|api[-_]?key|authorization|cookie|(token|assertion)$" $field) (not (contains "${" (toString $text))) -}}
{{- fail (printf "token-proxy: config.%s.%s reads like a secret in values: put it into a Secret, have that as a variable by `extraEnv`, and write ${NAME}" $place $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $config := toJson $values -}}
{{- $mounts := toJson .Values.extraVolumeMounts -}}
{{- if and (contains (printf "%s/" $at) $config) (not .Values.existingSecret) (not (contains $at $mounts)) -}}
{{- fail (printf "token-proxy: config names a file in %s, but nothing is mounted there: set `existingSecret` to the name of the Secret that has it" $at) -}}
{{- end -}}
{{- with .Values.serviceAccountToken -}}
{{- if and (not .enabled) (contains (printf "%s/" .mountPath) $config) -}}
{{- fail (printf "token-proxy: config names a file in %s, but no token is mounted there: set serviceAccountToken.enabled=true and serviceAccountToken.audience" .mountPath) -}}
{{- end -}}
{{- if and .enabled (not .audience) -}}
{{- fail "token-proxy: serviceAccountToken.audience is not set: it is what the authorization server expects as the token's audience" -}}
{{- end -}}
{{- if and .enabled $.Values.existingSecret (eq (regexReplaceAll "^/var/run/" .mountPath "/run/") (regexReplaceAll "^/var/run/" $at "/run/")) -}}
{{- fail "token-proxy: serviceAccountToken.mountPath and secretMountPath are one directory (/var/run is /run): give one of them another path" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whoever sets addresses of their own must keep to the ports that probes and Service know. */}}
{{- define "token-proxy.checkListeners" -}}
{{- $config := default dict .Values.config -}}
{{- $admin := default dict $config.admin -}}
{{- $ports := .Values.ports -}}
{{- if eq (int $ports.proxy) (int $ports.admin) -}}
{{- fail "token-proxy: ports.proxy and ports.admin are the same: they are two listeners" -}}
{{- end -}}
{{- if hasKey $admin "listen" -}}
{{- if not (hasSuffix (printf ":%d" (int $ports.admin)) (toString $admin.listen)) -}}
{{- fail (printf "token-proxy: config.admin.listen does not end in :%d, where probes and metrics are asked for: leave it out, or set ports.admin to its port" (int $ports.admin)) -}}
{{- end -}}
{{- if regexMatch "^(127[.]|localhost:|\\[::1\\])" (toString $admin.listen) -}}
{{- fail "token-proxy: config.admin.listen is on the loopback interface, where the kubelet's probes cannot reach it: leave it out, or use 0.0.0.0 or [::]" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.standalone.enabled (not (include "token-proxy.listensAtPort" .)) -}}
{{- fail (printf "token-proxy: nothing in config.listen ends in :%d outside the loopback interface, where the Service leads: leave it out, or set ports.proxy to its port" (int $ports.proxy)) -}}
{{- end -}}
{{- end -}}

{{/* "true" where callers find the proxy at ports.proxy. A config.listen of one's own may be a Unix
socket, or another port; for the Service it may not be the loopback interface. */}}
{{- define "token-proxy.listensAtPort" -}}
{{- $config := default dict .Values.config -}}
{{- $found := not (hasKey $config "listen") -}}
{{- range ternary (list $config.listen) $config.listen (kindIs "string" $config.listen) -}}
{{- $apart := and $.Values.standalone.enabled (regexMatch "^(127[.]|localhost:|\\[::1\\])" (toString .)) -}}
{{- if and (hasSuffix (printf ":%d" (int $.Values.ports.proxy)) (toString .)) (not $apart) (not (hasPrefix "unix:" (toString .))) -}}
{{- $found = true -}}
{{- end -}}
{{- end -}}
{{- if $found -}}
true
{{- end -}}
{{- end -}}

{{/* The configuration with the chart's addresses, unless it has its own. */}}
{{- define "token-proxy.config" -}}
{{- $config := deepCopy (default dict .Values.config) -}}
{{- $admin := default dict $config.admin -}}
{{- if not (hasKey $admin "listen") -}}
{{- $_ := set $admin "listen" (printf "0.0.0.0:%d" (int .Values.ports.admin)) -}}
{{- end -}}
{{- $_ := set $config "admin" $admin -}}
{{- if .Values.standalone.enabled -}}
{{- if not (hasKey $config "listen") -}}
{{- $_ := set $config "listen" (printf "0.0.0.0:%d" (int .Values.ports.proxy)) -}}
{{- end -}}
{{- if not (hasKey $config "allow_remote") -}}
{{- $_ := set $config "allow_remote" true -}}
{{- end -}}
{{- if not (hasKey $config "allowed_hosts") -}}
{{- $_ := set $config "allowed_hosts" (include "token-proxy.allowedHosts" . | fromJsonArray) -}}
{{- end -}}
{{- else if not (hasKey $config "listen") -}}
{{- $_ := set $config "listen" (printf "127.0.0.1:%d" (int .Values.ports.proxy)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The names callers use for the Service, and what the program allows by itself. */}}
{{- define "token-proxy.allowedHosts" -}}
{{- $service := include "token-proxy.fullname" . -}}
{{- $inside := printf "%s.%s" $service .Release.Namespace -}}
{{- $hosts := list "localhost" "127.0.0.1" $service $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) -}}
{{- range $name, $upstream := (default dict .Values.config).upstreams -}}
{{- $url := toString (get (default dict $upstream) "url") -}}
{{- $host := regexReplaceAll "^[A-Za-z]+://([^/?#@]+).*$" $url "${1}" | regexFind "^[A-Za-z0-9._-]+" -}}
{{- if and $host (contains "://" $url) (not (contains "$" $url)) -}}
{{- $hosts = append $hosts (lower $host) -}}
{{- end -}}
{{- with get (default dict (get (default dict $upstream) "match")) "host" -}}
{{- $hosts = append $hosts . -}}
{{- end -}}
{{- end -}}
{{- $hosts | uniq | toJson -}}
{{- end -}}

{{/* A number of seconds of config, rounded up: list CONTEXT "section" "key" default "instead". */}}
{{- define "token-proxy.seconds" -}}
{{- $section := default dict (get (default dict (index . 0).Values.config) (index . 1)) -}}
{{- $value := index . 3 -}}
{{- if not (kindIs "invalid" (get $section (index . 2))) -}}
{{- if hasKey $section (index . 2) -}}{{- $value = get $section (index . 2) -}}{{- end -}}
{{- end -}}
{{- if kindIs "string" $value -}}
{{- fail (printf "token-proxy: config.%s.%s is a text, so the chart cannot count with it: write a number, or set %s" (index . 1) (index . 2) (index . 4)) -}}
{{- end -}}
{{- $value | float64 | ceil | int64 -}}
{{- end -}}

{{/* "true" where a pause before SIGTERM is wanted and there is a way to make one. */}}
{{- define "token-proxy.hasPreStop" -}}
{{- if and (gt (int .Values.preStopSeconds) 0) (or .Values.standalone.enabled (not .Values.sidecar.native)) (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end -}}
{{- end -}}

{{/* What the proxy needs between SIGTERM and SIGKILL: for a sidecar, to be added to what the
application needs. */}}
{{- define "token-proxy.terminationGracePeriodSeconds" -}}
{{- include "token-proxy.checkContext" . -}}
{{- $drain := include "token-proxy.seconds" (list . "shutdown" "drain_seconds" 25 "standalone.terminationGracePeriodSeconds") | int -}}
{{- $pause := ternary (int .Values.preStopSeconds) 0 (eq (include "token-proxy.hasPreStop" .) "true") -}}
{{- add $drain $pause 5 -}}
{{- end -}}
