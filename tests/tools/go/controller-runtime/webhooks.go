package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"kapelle/tests/tools/tap"
)

// A server of webhooks on loopback, with a certificate of its own.
type webhooks struct {
	server    webhook.Server
	port      int
	authority []byte
}

func newWebhooks() (*webhooks, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	own := tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){func(config *tls.Config) {
		config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil }
	}}})
	server.Register("/mutate", &admission.Webhook{Handler: admission.HandlerFunc(mutate)})
	server.Register("/validate", &admission.Webhook{Handler: admission.HandlerFunc(validate)})
	return &webhooks{server, port, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})}, nil
}

func mutate(_ context.Context, request admission.Request) admission.Response {
	var sent corev1.ConfigMap
	if err := json.Unmarshal(request.Object.Raw, &sent); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	metav1.SetMetaDataAnnotation(&sent.ObjectMeta, "mutated", string(request.Operation))
	changed, err := json.Marshal(&sent)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func validate(_ context.Context, request admission.Request) admission.Response {
	var sent corev1.ConfigMap
	if err := json.Unmarshal(request.Object.Raw, &sent); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if sent.Annotations["mutated"] == "" {
		return admission.Denied("the other webhook was not asked before")
	}
	if sent.Data["a"] == "no" {
		return admission.Denied("a must not be no")
	}
	return admission.Allowed("").WithWarnings("looked at by the operator")
}

func (o *operator) admission(ctx context.Context) error {
	if !o.serves("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") {
		return tap.Skip("no webhooks")
	}
	at := func(path string) admissionregistrationv1.WebhookClientConfig {
		address := fmt.Sprintf("https://127.0.0.1:%d%s", o.webhooks.port, path)
		return admissionregistrationv1.WebhookClientConfig{URL: &address, CABundle: o.webhooks.authority}
	}
	rules := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	ours := &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": o.namespace}}
	none, name := admissionregistrationv1.SideEffectClassNone, metav1.ObjectMeta{Name: "operator.example.com"}
	versions := []string{"v1"}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: name,
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "mutate.operator.example.com", ClientConfig: at("/mutate"), Rules: rules, NamespaceSelector: ours,
			SideEffects: &none, AdmissionReviewVersions: versions,
		}},
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: name,
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "validate.operator.example.com", ClientConfig: at("/validate"), Rules: rules, NamespaceSelector: ours,
			SideEffects: &none, AdmissionReviewVersions: versions,
		}},
	}
	for _, configuration := range []client.Object{mutating, validating} {
		if err := o.direct.Create(ctx, configuration); err != nil {
			return err
		}
		defer o.direct.Delete(ctx, configuration)
	}
	return o.admitted(ctx)
}

func (o *operator) admitted(ctx context.Context) error {
	sent := func(name, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.namespace}, Data: map[string]string{"a": value}}
	}
	attempt := 0
	err := tap.Until(ctx, "the webhooks are asked", func() (bool, error) {
		attempt++
		made := sent(fmt.Sprint("admitted-", attempt), "yes")
		err := o.direct.Create(ctx, made)
		return made.Annotations["mutated"] == "CREATE", err
	})
	if err != nil {
		return err
	}
	dry := sent("dry", "yes")
	err = o.direct.Create(ctx, dry, client.DryRunAll)
	refused := o.direct.Create(ctx, sent("refused", "no"))
	return tap.First(
		err,
		tap.Same("dry", dry.Annotations["mutated"], "CREATE"),
		tap.That(apierrors.IsForbidden(refused) && strings.Contains(refused.Error(), "a must not be no"), "the refusal is %v", refused),
	)
}
