package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"kapelle/tests/tools/tap"
)

func (c *cluster) logs(ctx context.Context) error {
	main := corev1.Container{Name: "main", Image: "batch:v1", Env: []corev1.EnvVar{{Name: "LIMIT", Value: "1000"}}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "batch"},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{main}},
	}
	pods := c.typed.CoreV1().Pods(c.namespace)
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	err := tap.Until(ctx, "the Pod has ended", func() (bool, error) {
		pod, err := pods.Get(ctx, "batch", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodSucceeded, err
	})
	if err != nil {
		return err
	}
	whole, err := pods.GetLogs("batch", &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return err
	}
	stream, err := pods.GetLogs("batch", &corev1.PodLogOptions{Follow: true, Timestamps: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	followed, err := io.ReadAll(stream)
	return tap.First(
		err,
		tap.That(strings.Contains(string(whole), "168 primes below 1000"), "the log is %q", whole),
		tap.That(strings.Contains(string(followed), "Z 168 primes below 1000"), "the log is %q", followed),
	)
}

func (c *cluster) webPod(ctx context.Context) (string, error) {
	pods, err := c.typed.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			return pod.Name, nil
		}
	}
	return "", fmt.Errorf("no Pod of web is there")
}

func (c *cluster) part(pod, subresource string) *rest.Request {
	return c.typed.CoreV1().RESTClient().Post().Namespace(c.namespace).Resource("pods").Name(pod).SubResource(subresource)
}

func (c *cluster) forwardSpdy(ctx context.Context) error {
	return c.forward(ctx, func(address *url.URL) (httpstream.Dialer, error) {
		transport, upgrader, err := spdy.RoundTripperFor(c.config)
		return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address), err
	})
}

func (c *cluster) forwardTunnel(ctx context.Context) error {
	return c.forward(ctx, func(address *url.URL) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialer(address, c.config)
	})
}

func (c *cluster) forward(ctx context.Context, dial func(*url.URL) (httpstream.Dialer, error)) error {
	pod, err := c.webPod(ctx)
	if err != nil {
		return err
	}
	dialer, err := dial(c.part(pod, "portforward").URL())
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{":8080"}, ready, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	defer forwarder.Close()
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	for range 3 {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err := tap.First(err, tap.That(strings.Contains(string(body), "Hello from "+pod), "the answer is %q", body)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) exec(ctx context.Context) error {
	pod, err := c.webPod(ctx)
	if err != nil {
		return err
	}
	options := &corev1.PodExecOptions{Command: []string{"ls"}, Stdout: true, Stderr: true}
	address := c.part(pod, "exec").VersionedParams(options, scheme.ParameterCodec).URL()
	socket, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, address.String())
	if err != nil {
		return err
	}
	elder, err := remotecommand.NewSPDYExecutor(c.config, http.MethodPost, address)
	if err != nil {
		return err
	}
	for _, executor := range []remotecommand.Executor{socket, elder} {
		var out bytes.Buffer
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &out})
		if err := tap.That(err != nil && strings.Contains(err.Error(), "exec: "), "the error is %v", err); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) proxy(ctx context.Context) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 8080}}},
	}
	services := c.typed.CoreV1().Services(c.namespace)
	made, err := services.Create(ctx, service, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return tap.First(
		tap.That(made.Spec.ClusterIP != "", "no address"),
		tap.Until(ctx, "the Service answers", func() (bool, error) {
			body, err := services.ProxyGet("http", "web", "8080", "/", nil).DoRaw(ctx)
			if apierrors.IsServiceUnavailable(err) {
				return false, nil
			}
			return strings.Contains(string(body), "Hello from web-"), err
		}),
	)
}

func (c *cluster) evict(ctx context.Context) error {
	pod, err := c.webPod(ctx)
	if err != nil {
		return err
	}
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: c.namespace}}
	pods := c.typed.CoreV1().Pods(c.namespace)
	if err := pods.EvictV1(ctx, eviction); err != nil {
		return err
	}
	return tap.First(
		tap.Until(ctx, "the Pod is gone", func() (bool, error) {
			_, err := pods.Get(ctx, pod, metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		}),
		c.settled(ctx, 2),
	)
}

func (c *cluster) reviews(ctx context.Context) error {
	attributes := &authorizationv1.ResourceAttributes{Namespace: c.namespace, Verb: "delete", Group: "apps", Resource: "deployments"}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes}}
	access, err := c.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	rules, err := c.typed.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: c.namespace},
	}, metav1.CreateOptions{})
	return tap.First(err, tap.That(access.Status.Allowed, "it is not allowed"), tap.That(len(rules.Status.ResourceRules) > 0, "no rules"))
}

func (c *cluster) inCluster(ctx context.Context) error {
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return tap.Skip("no place for a Pod's files: this takes root")
	}
	if err != nil {
		return err
	}
	pod, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	who, err := pod.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	maps, err := pod.CoreV1().ConfigMaps(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	_, unread := pod.CoreV1().Secrets(c.namespace).List(ctx, metav1.ListOptions{})
	_, unwritten := pod.CoreV1().ConfigMaps(c.namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "of-the-pod"}}, metav1.CreateOptions{})
	name := "system:serviceaccount:" + c.namespace + ":program"
	return tap.First(
		tap.That(who.Status.UserInfo.Username == name, "it is somebody else"),
		tap.That(len(maps.Items) > 0, "it sees no ConfigMaps"),
		tap.That(apierrors.IsForbidden(unread), "it reads Secrets"),
		tap.That(apierrors.IsForbidden(unwritten), "it writes"),
	)
}
