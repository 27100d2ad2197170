{{- define "sallyport.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sallyport.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Labels of one role: dict "role" and the root. */}}
{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "sallyport.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "sallyport.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* A volume's root is the group's by fsGroup, and state refuses a folder others can read: it lies one folder below. */}}
{{- define "sallyport.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: status }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: status }
  periodSeconds: 10
readinessProbe:
  httpGet: { path: /readyz, port: status }
  periodSeconds: 2
  failureThreshold: 2
{{- end -}}

{{/* Of a map name -> Secret those that are named, as JSON. */}}
{{- define "sallyport.named" -}}
{{- $kept := dict -}}
{{- range $name, $secret := . }}{{- if $secret }}{{- $_ := set $kept $name $secret }}{{- end }}{{- end -}}
{{- $kept | toJson -}}
{{- end -}}

{{/* A mounted Secret can be read by its group; a key must be its owner's alone. Dict "root" and "folders": name -> Secret, copied to /private/<name>. */}}
{{- define "sallyport.privateInit" -}}
- name: private
  image: {{ include "sallyport.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: ["/bin/sh", "-euc", "cd /mounted; for folder in *; do install -d -m 0700 \"/private/$folder\"; for file in \"$folder\"/*; do install -m 0600 \"$file\" \"/private/$file\"; done; done"]
  securityContext:
    {{- include "sallyport.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    {{- range $name, $secret := .folders }}
    - { name: secret-{{ $name }}, mountPath: /mounted/{{ $name }}, readOnly: true }
    {{- end }}
    - { name: private, mountPath: /private }
{{- end -}}

{{/* What the process itself mounts: dict "stores" and "folders". */}}
{{- define "sallyport.secretMounts" -}}
{{- range $name, $secret := .stores }}
- { name: store-{{ $name }}, mountPath: /stores/{{ $name }}, readOnly: true }
{{- end }}
{{- if .folders }}
- { name: private, mountPath: /private, readOnly: true }
{{- end }}
{{- end -}}

{{/* Of a store's Secret only the roots of its certificate are a file; its URL is a variable. */}}
{{- define "sallyport.secretVolumes" -}}
{{- range $name, $secret := .stores }}
- name: store-{{ $name }}
  secret: { secretName: {{ $secret | quote }}, optional: true, items: [{ key: ca.pem, path: ca.pem }] }
{{- end }}
{{- range $name, $secret := .folders }}
- name: secret-{{ $name }}
  secret: { secretName: {{ $secret | quote }}, defaultMode: 288 }
{{- end }}
{{- if .folders }}
- name: private
  emptyDir: { medium: Memory }
{{- end }}
{{- end -}}

{{/* A variable of the process out of the key `url` of a Secret: dict "variable" and "secret". */}}
{{- define "sallyport.storeUrl" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef: { name: {{ .secret | quote }}, key: url }
{{- end -}}
