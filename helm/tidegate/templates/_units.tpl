{{/* Durations and configuration files. */}}

{{/* Seconds of a duration such as "1m30s", rounded up. */}}
{{- define "tidegate.seconds" -}}
{{- $sum := 0.0 -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?\\s*(ms|s|m|h)" (toString .) -1 -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" . -}}
{{- $unit := regexFind "(ms|s|m|h)$" . -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $units $unit)) -}}
{{- end -}}
{{- ceil $sum | int -}}
{{- end -}}

{{/* All phases of a drain, in seconds. */}}
{{- define "tidegate.drainSeconds" -}}
{{- $drain := .Values.gateway.drain -}}
{{- $sum := 0 -}}
{{- range list $drain.lbPropagation $drain.window $drain.settle $drain.margin -}}
{{- $sum = add $sum (include "tidegate.seconds" . | int) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* What Kubernetes has to grant: the drain, the sleep before it, and five seconds to write out and end. */}}
{{- define "tidegate.graceNeeded" -}}
{{- add (include "tidegate.drainSeconds" . | int) (.Values.gateway.preStopSleepSeconds | int) 5 -}}
{{- end -}}

{{- define "tidegate.grace" -}}
{{- default (include "tidegate.graceNeeded" .) .Values.gateway.terminationGracePeriodSeconds | int -}}
{{- end -}}

{{/* Longest time that a pod may take to be ready. */}}
{{- define "tidegate.startupSeconds" -}}
{{- $probe := .Values.gateway.probes.startup -}}
{{- mul ($probe.periodSeconds | int) ($probe.failureThreshold | int) -}}
{{- end -}}

{{/*
A TOML file of a map: (list MAP "section"). Not Helm's toToml, which writes every integer as a float, since values have no
integers; toJson does not, and its strings, numbers, booleans and flat lists are TOML.
*/}}
{{- define "tidegate.toml" -}}
{{- $path := last . -}}
{{- range $key, $value := first . -}}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value) (include "tidegate.isTables" $value)) }}
{{ include "tidegate.tomlKey" $key }} = {{ toJson $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := first . -}}
{{- $name := printf "%s%s%s" $path (ternary "" "." (eq $path "")) (include "tidegate.tomlKey" $key) -}}
{{- if and (kindIs "map" $value) $value }}

[{{ $name }}]
{{- include "tidegate.toml" (list $value $name) -}}
{{- else if include "tidegate.isTables" $value -}}
{{- range $value }}

[[{{ $name }}]]
{{- include "tidegate.toml" (list . $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "tidegate.isTables" -}}
{{- if kindIs "slice" . -}}{{- if . -}}{{- if kindIs "map" (first .) -}}yes{{- end -}}{{- end -}}{{- end -}}
{{- end -}}

{{/* Port of a URL, else a default: (list URL PORT). */}}
{{- define "tidegate.urlPort" -}}
{{- regexFind "[0-9]+$" (default (toString (last .)) (regexFind ":[0-9]+" (regexReplaceAll "^[a-z-]+://([^@/]*@)?" (first .) ""))) -}}
{{- end -}}
