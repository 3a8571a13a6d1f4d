{{/* Names, labels and images. */}}

{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a part: (list $ "gateway"). */}}
{{- define "tidegate.name" -}}
{{- printf "%s-%s" (include "tidegate.fullname" (first .)) (last .) -}}
{{- end -}}

{{- define "tidegate.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "tidegate.labels" -}}
{{- $root := first . -}}
{{- include "tidegate.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: tidegate
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Without versions: another version of the chart alone is no reason to replace pods. */}}
{{- define "tidegate.podLabels" -}}
{{- include "tidegate.selector" . }}
{{- with (first .).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Name, namespace, labels and annotations: (list $ NAME COMPONENT LABELS ANNOTATIONS). */}}
{{- define "tidegate.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "tidegate.labels" (list $root (index . 2)) | nindent 2 }}
  {{- with index . 3 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (index . 4) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (list $ IMAGE), IMAGE being {registry, repository, tag, digest}. */}}
{{- define "tidegate.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with default $root.Values.global.imageRegistry $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{/* (list $ COMPONENT VALUES), VALUES being {serviceAccount: {create, name}}. */}}
{{- define "tidegate.serviceAccountName" -}}
{{- $account := (index . 2).serviceAccount -}}
{{- if $account.create -}}
{{- default (include "tidegate.name" (list (index . 0) (index . 1))) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{/* An object as it was rendered, or with what `patches` says merged over it: (list $ "Deployment/gateway" TEXT). */}}
{{- define "tidegate.emit" -}}
{{- $root := index . 0 -}}
{{- $patch := get $root.Values.patches (index . 1) -}}
{{- if $patch -}}
{{- toYaml (mergeOverwrite (fromYaml (index . 2)) (deepCopy $patch)) -}}
{{- else -}}
{{- index . 2 -}}
{{- end -}}
{{- end -}}
