{{/* The configuration that is derived from values, merged over what people write. */}}

{{- define "tidegate.redisUrl" -}}
{{- if .Values.devBackends.redis.enabled -}}
redis://{{ include "tidegate.name" (list . "redis") }}:6379
{{- else -}}
{{- .Values.redis.url -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.natsUrl" -}}
{{- if .Values.devBackends.nats.enabled -}}
nats://{{ include "tidegate.name" (list . "nats") }}:4222
{{- else -}}
{{- join "," .Values.nats.urls -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.otlpEndpoint" -}}
{{- $tracing := .Values.observability.tracing -}}
{{- if $tracing.otlpEndpoint -}}
{{- $tracing.otlpEndpoint -}}
{{- else if .Values.devBackends.jaeger.enabled -}}
http://{{ include "tidegate.name" (list . "jaeger") }}:{{ ternary 4317 4318 (eq $tracing.protocol "grpc") }}
{{- end -}}
{{- end -}}

{{/* Store and bus, which both programs have, as JSON. */}}
{{- define "tidegate.sharedConfig" -}}
{{- $config := dict "store" (dict) "bus" (dict) -}}
{{- with include "tidegate.redisUrl" . -}}{{- $_ := set $config.store "url" . -}}{{- end -}}
{{- if .Values.redis.tls.caSecret -}}{{- $_ := set $config.store "tls_ca_file" "/etc/tidegate/redis-ca/ca.crt" -}}{{- end -}}
{{- with include "tidegate.natsUrl" . -}}{{- $_ := set $config.bus "url" . -}}{{- end -}}
{{- if .Values.nats.tls.caSecret -}}{{- $_ := set $config.bus "tls_ca_file" "/etc/tidegate/nats-ca/ca.crt" -}}{{- end -}}
{{- if and .Values.nats.existingSecret (eq .Values.nats.credentials "credentials") -}}
{{- $_ := set $config.bus "credentials_file" "/etc/tidegate/nats/nats.creds" -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{- define "tidegate.gatewayConfig" -}}
{{- $gateway := .Values.gateway -}}
{{- $drain := $gateway.drain -}}
{{- $config := deepCopy $gateway.config -}}
{{- $derived := include "tidegate.sharedConfig" . | fromJson -}}
{{- $client := dict "listen" (printf "0.0.0.0:%d" (int $gateway.ports.client)) -}}
{{- if $gateway.tls.existingSecret -}}
{{- $_ := set $client "tls" (dict "cert_file" "/etc/tidegate/tls/tls.crt" "key_file" "/etc/tidegate/tls/tls.key" "reload_interval" $gateway.tls.reloadInterval) -}}
{{- end -}}
{{- if $gateway.proxyProtocol.enabled -}}
{{- $_ := set $client "proxy_protocol" (dict "trusted_cidrs" $gateway.proxyProtocol.trustedCIDRs "required" $gateway.proxyProtocol.required) -}}
{{- end -}}
{{- $_ := set $derived "client" $client -}}
{{- $api := dict "listen" (printf "0.0.0.0:%d" (int $gateway.ports.api)) -}}
{{- /* Keys in files that something else brings (a CSI driver) come before those of secrets. */ -}}
{{- $keys := default (list) (default (dict) $config.api).keys -}}
{{- range $gateway.apiKeys -}}
{{- $keys = append $keys (dict "name" .name "rights" .rights "secret_file" (printf "/etc/tidegate/api-keys/%s" .name)) -}}
{{- end -}}
{{- if $keys -}}{{- $_ := set $api "keys" $keys -}}{{- end -}}
{{- $_ := set $derived "api" $api -}}
{{- $_ := set $derived "admin" (dict "listen" (printf "0.0.0.0:%d" (int $gateway.ports.admin))) -}}
{{- $auth := dict -}}
{{- $keys := default (list) (default (dict) (default (dict) $config.auth).jwt).keys -}}
{{- range $index, $entry := $gateway.jwtKeys -}}
{{- $key := dict "alg" $entry.alg (ternary "secret_file" "public_key_file" (hasPrefix "HS" $entry.alg)) (printf "/etc/tidegate/jwt-keys/%d" $index) -}}
{{- with $entry.kid -}}{{- $_ := set $key "kid" . -}}{{- end -}}
{{- $keys = append $keys $key -}}
{{- end -}}
{{- if $keys -}}{{- $_ := set $auth "jwt" (dict "keys" $keys) -}}{{- end -}}
{{- $keys := default (list) (default (dict) $config.auth).api_keys -}}
{{- range $gateway.clientKeys -}}
{{- $key := dict "name" .name "user" .user "secret_file" (printf "/etc/tidegate/client-keys/%s" .name) -}}
{{- with .subscribe -}}{{- $_ := set $key "subscribe" . -}}{{- end -}}
{{- with .publish -}}{{- $_ := set $key "publish" . -}}{{- end -}}
{{- $keys = append $keys $key -}}
{{- end -}}
{{- if $keys -}}{{- $_ := set $auth "api_keys" $keys -}}{{- end -}}
{{- $_ := set $derived "auth" $auth -}}
{{- $_ := set $derived "drain" (dict "lb_propagation" $drain.lbPropagation "window" $drain.window "settle" $drain.settle "margin" $drain.margin "leave_grace" $drain.leaveGrace "max_rate" $drain.maxRate "on_deadline" $drain.onDeadline) -}}
{{- with include "tidegate.otlpEndpoint" . -}}
{{- $tracing := $.Values.observability.tracing -}}
{{- $_ := set $derived "telemetry" (dict "otlp_endpoint" . "otlp_protocol" $tracing.protocol "sample_ratio" $tracing.sampleRatio) -}}
{{- end -}}
{{- toJson (mergeOverwrite $config $derived) -}}
{{- end -}}

{{/* How many pods there may be: only whether it is one or more matters to the gateway, and its share of `limits.cluster` at start. */}}
{{- define "tidegate.replicasMax" -}}
{{- if eq .Values.gateway.autoscaling.mode "none" -}}
{{- max 1 (.Values.gateway.replicas | int) -}}
{{- else -}}
{{- .Values.gateway.autoscaling.max | int -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.replicasMin" -}}
{{- ternary (.Values.gateway.replicas | int) (.Values.gateway.autoscaling.min | int) (eq .Values.gateway.autoscaling.mode "none") -}}
{{- end -}}

{{/*
What the external metrics API is told, as JSON. Values that an upgrade reuses from before it was there (`--reuse-values`) lack all of it.
*/}}
{{- define "tidegate.externalMetrics" -}}
{{- $default := dict "enabled" false "tls" (dict "existingSecret" "" "caBundle" "") "annotations" (dict) -}}
{{- $port := default 6443 .Values.controlPlane.ports.externalMetrics -}}
{{- mergeOverwrite $default (deepCopy (default (dict) .Values.controlPlane.externalMetrics)) (dict "port" $port) | toJson -}}
{{- end -}}

{{- define "tidegate.controlPlaneConfig" -}}
{{- $part := .Values.controlPlane -}}
{{- /* One budget, whoever keeps it; and the names that the gateways use in Redis and NATS. */ -}}
{{- $config := mergeOverwrite (dict "budget" (dict "max_rate" .Values.gateway.drain.maxRate)) (deepCopy $part.config) -}}
{{- $derived := include "tidegate.sharedConfig" . | fromJson -}}
{{- range $section := list "store" "bus" -}}
{{- with (default (dict) (get $.Values.gateway.config $section)).prefix -}}
{{- $_ := set (get $derived $section) "prefix" . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $derived "api" (dict "listen" (printf "0.0.0.0:%d" (int $part.ports.api))) -}}
{{- $_ := set $derived "admin" (dict "listen" (printf "0.0.0.0:%d" (int $part.ports.admin))) -}}
{{- $tokens := default (list) (default (dict) $config.auth).tokens -}}
{{- range $part.api.tokens -}}
{{- $tokens = append $tokens (dict "name" .name "role" .role "token_file" (printf "/etc/tidegate/api-tokens/%s" .name)) -}}
{{- end -}}
{{- if $tokens -}}{{- $_ := set $derived "auth" (dict "tokens" $tokens) -}}{{- end -}}
{{- $external := include "tidegate.externalMetrics" . | fromJson -}}
{{- if $external.enabled -}}
{{- $_ := set $derived "external_metrics" (dict
  "listen" (printf "0.0.0.0:%d" (int $external.port))
  "tls_cert_file" "/etc/tidegate/external-metrics/tls.crt"
  "tls_key_file" "/etc/tidegate/external-metrics/tls.key") -}}
{{- end -}}
{{- /* Operations are always traced: there are few. */ -}}
{{- with include "tidegate.otlpEndpoint" . -}}
{{- $_ := set $derived "telemetry" (dict "otlp_endpoint" . "otlp_protocol" $.Values.observability.tracing.protocol) -}}
{{- end -}}
{{- $selector := list -}}
{{- range $key, $value := include "tidegate.selector" (list . "gateway") | fromYaml -}}
{{- $selector = append $selector (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- $_ := set $derived "kubernetes" (dict
  "enabled" true
  "namespace" .Release.Namespace
  "selector" (join "," $selector)
  "service" (include "tidegate.name" (list . "gateway"))
  "admin_port" (int .Values.gateway.ports.admin)
  "lease" (include "tidegate.name" (list . "control-plane"))
  "evict" $part.rbac.evict
  "deletion_cost" $part.rbac.deletionCost
  "detach" (default false $part.rbac.detach)
  "scale" (default false $part.rbac.scale)
  "events" $part.rbac.events
  "token_review" $part.rbac.tokenReview) -}}
{{- toJson (mergeOverwrite $config $derived) -}}
{{- end -}}
