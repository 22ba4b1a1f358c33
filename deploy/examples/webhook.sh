#!/bin/sh
# Makes a certificate for the webhook of webhook.yaml and prints what is still to be applied: the Secret with the certificate and
# its key, and who is asked about what. The key of the authority that signs it is thrown away. Needs openssl.
set -eu
host=webhook.default.svc
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
printf 'subjectAltName = DNS:%s\nextendedKeyUsage = serverAuth\n' "$host" >names
key ca.key
openssl req -x509 -new -key ca.key -days 365 -subj "/CN=webhook authority" -out ca.crt
key tls.key
openssl req -new -key tls.key -subj "/CN=$host" -out tls.csr
openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile names -out tls.crt 2>signing ||
    { cat signing >&2; exit 1; }

coded() { base64 <"$1" | tr -d '\n'; }
configuration() {
    cat <<EOF
---
apiVersion: admissionregistration.k8s.io/v1
kind: $1
metadata:
  name: owners
webhooks:
- name: $2.owners.example.com
  clientConfig:
    service: {namespace: default, name: webhook, path: /$2}
    caBundle: $(coded ca.crt)
  rules:
$3
  namespaceSelector:
    matchLabels: {owners: required}
  sideEffects: None
  admissionReviewVersions: [v1]
  timeoutSeconds: 5
EOF
}

cat <<EOF
apiVersion: v1
kind: Secret
metadata:
  name: webhook-tls
type: kubernetes.io/tls
data:
  tls.crt: $(coded tls.crt)
  tls.key: $(coded tls.key)
EOF
configuration MutatingWebhookConfiguration label \
    '  - {operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}'
configuration ValidatingWebhookConfiguration require \
    '  - {operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [services]}
  - {operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}'
