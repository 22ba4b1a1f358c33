// Command controller-runtime is an operator as most are: a manager with caches and leader election, reconcilers with owned
// objects and finalizers, server-side apply, Events, a kind of its own, and webhooks.
//
// Usage: controller-runtime, with KUBECONFIG and NAMESPACE.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"kapelle/tests/tools/tap"
)

// An operator, its manager, and how it looks at the cluster when it does not use the manager's cache.
type operator struct {
	config    *rest.Config
	scheme    *runtime.Scheme
	direct    client.Client
	namespace string
	manager   ctrl.Manager
	webhooks  *webhooks
	cleaned   chan string
	stop      context.CancelFunc
	ended     chan error
}

func start() (*operator, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 100
	o := &operator{config: config, scheme: scheme.Scheme, namespace: os.Getenv("NAMESPACE"), cleaned: make(chan string, 10)}
	if o.direct, err = client.New(config, client.Options{Scheme: o.scheme}); err != nil {
		return nil, err
	}
	if o.webhooks, err = newWebhooks(); err != nil {
		return nil, err
	}
	if o.manager, err = o.newManager(o.webhooks.server); err != nil {
		return nil, err
	}
	// A manager starts the server that it has been asked for.
	o.manager.GetWebhookServer()
	return o, nil
}

func (o *operator) newManager(hooks webhook.Server) (ctrl.Manager, error) {
	// What a manager gives up when it stops it gives up at once.
	lease, renew, retry := 3*time.Second, 2*time.Second, 500*time.Millisecond
	return ctrl.NewManager(o.config, ctrl.Options{
		Scheme:                        o.scheme,
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{o.namespace: {}}},
		LeaderElection:                true,
		LeaderElectionID:              "operator.example.com",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
		Metrics:                       server.Options{BindAddress: "0"},
		WebhookServer:                 hooks,
	})
}

func (o *operator) run(ctx context.Context) error {
	if err := o.addReconciler(); err != nil {
		return err
	}
	byImage := func(object client.Object) []string {
		return []string{object.(*corev1.Pod).Spec.Containers[0].Image}
	}
	if err := o.manager.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, "image", byImage); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	o.stop, o.ended = stop, make(chan error, 1)
	go func() { o.ended <- o.manager.Start(running) }()
	select {
	case <-o.manager.Elected():
		return tap.That(o.manager.GetCache().WaitForCacheSync(ctx), "the caches were not filled")
	case err := <-o.ended:
		return fmt.Errorf("the manager ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("the manager was not elected")
	}
}

func main() {
	ctrl.SetLogger(logr.Discard())
	o := tap.Needs(start())
	tap.Check("a manager is elected, and its caches are filled", o.run)
	tap.Check("the operator makes the objects that it owns, until they are ready", o.makes)
	tap.Check("what is changed or deleted of them is mended", o.mends)
	tap.Check("its Events are there", o.told)
	tap.Check("cached reads: by label, by an index, metadata alone", o.reads)
	tap.Check("patches with an optimistic lock; CreateOrUpdate", o.patches)
	tap.Check("server-side apply by configurations and as data", o.applies)
	tap.Check("subresources: scale, status, eviction", o.subresources)
	tap.Check("a finalizer, and the deletion of what is owned", o.cleans)
	tap.Check("an operator of a kind of its own", o.customKind)
	tap.Check("a webhook that changes, and one that refuses", o.admission)
	tap.Check("another manager leads when this one stops", o.takeover)
	tap.Done()
}
