{{/* What pods of all parts have in common. */}}

{{- define "tidegate.podSecurityContext" -}}
{{- $default := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- toYaml (mergeOverwrite $default (deepCopy .)) -}}
{{- end -}}

{{- define "tidegate.securityContext" -}}
{{- $default := dict "runAsNonRoot" true "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $default (deepCopy .)) -}}
{{- end -}}

{{/* (list $ COMPONENT VALUES): everything of a pod's spec that no part does in a way of its own. */}}
{{- define "tidegate.placement" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- with $root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpread }}
{{- if or .zone .node }}
topologySpreadConstraints:
  {{- range $constraint := list (list .zone "topology.kubernetes.io/zone") (list .node "kubernetes.io/hostname") }}
  {{- if first $constraint }}
  - maxSkew: 1
    topologyKey: {{ last $constraint }}
    whenUnsatisfiable: {{ first $constraint }}
    # Each revision is spread by itself: the pods that a rollout is about to remove do not count.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "tidegate.selector" (list $root (index $ 1)) | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Variables with the pod's own data, and with the secrets of store and bus. */}}
{{- define "tidegate.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- with .Values.redis }}
{{- if .existingSecret }}
{{- range $key, $variable := dict "url" "TIDEGATE_STORE__URL" "username" "TIDEGATE_STORE__USERNAME" "password" "TIDEGATE_STORE__PASSWORD" }}
{{- with get $.Values.redis.secretKeys $key }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.redis.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.nats }}
{{- if and .existingSecret (ne .credentials "credentials") }}
- name: {{ ternary "TIDEGATE_BUS__TOKEN" "TIDEGATE_BUS__NKEY_SEED" (eq .credentials "token") }}
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretKey }}}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Files of store and bus. */}}
{{- define "tidegate.sharedVolumes" -}}
{{- with .Values.redis.tls.caSecret }}
- name: redis-ca
  secret: {secretName: {{ . }}, items: [{key: {{ $.Values.redis.tls.caKey }}, path: ca.crt}]}
{{- end }}
{{- with .Values.nats.tls.caSecret }}
- name: nats-ca
  secret: {secretName: {{ . }}, items: [{key: {{ $.Values.nats.tls.caKey }}, path: ca.crt}]}
{{- end }}
{{- if and .Values.nats.existingSecret (eq .Values.nats.credentials "credentials") }}
- name: nats
  secret: {secretName: {{ .Values.nats.existingSecret }}, items: [{key: {{ .Values.nats.secretKey }}, path: nats.creds}]}
{{- end }}
{{- end -}}

{{- define "tidegate.sharedMounts" -}}
{{- if .Values.redis.tls.caSecret }}
- {name: redis-ca, mountPath: /etc/tidegate/redis-ca, readOnly: true}
{{- end }}
{{- if .Values.nats.tls.caSecret }}
- {name: nats-ca, mountPath: /etc/tidegate/nats-ca, readOnly: true}
{{- end }}
{{- if and .Values.nats.existingSecret (eq .Values.nats.credentials "credentials") }}
- {name: nats, mountPath: /etc/tidegate/nats, readOnly: true}
{{- end }}
{{- end -}}
