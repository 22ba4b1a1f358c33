package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	watchtools "k8s.io/client-go/tools/watch"

	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"kapelle/tests/tools/tap"
)

// What an informer has seen, in order.
type seen chan string

func (s seen) handler() cache.ResourceEventHandlerFuncs {
	name := func(object any) string {
		if accessor, err := metav1Object(object); err == nil {
			return accessor.GetName()
		}
		return fmt.Sprintf("%T", object)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { s <- "add " + name(object) },
		UpdateFunc: func(_, object any) { s <- "update " + name(object) },
		DeleteFunc: func(object any) { s <- "delete " + name(object) },
	}
}

func metav1Object(object any) (metav1.Object, error) {
	if accessor, ok := object.(metav1.Object); ok {
		return accessor, nil
	}
	return nil, errors.New("no object of the API")
}

func (s seen) next(ctx context.Context, wanted ...string) error {
	for _, event := range wanted {
		select {
		case got := <-s:
			if got != event {
				return fmt.Errorf("got %q, wanted %q", got, event)
			}
		case <-ctx.Done():
			return fmt.Errorf("%q did not come", event)
		}
	}
	return nil
}

// Makes, changes and deletes a ConfigMap while an informer looks.
func (c *cluster) play(ctx context.Context, name string, saw seen) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	made, err := maps.Create(ctx, configMap(name, "1", map[string]string{"informed": name}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if err := saw.next(ctx, "add "+name); err != nil {
		return err
	}
	made.Data["a"] = "2"
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := saw.next(ctx, "update "+name); err != nil {
		return err
	}
	if err := maps.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return saw.next(ctx, "delete "+name)
}

func (c *cluster) informer(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	factory := informers.NewSharedInformerFactoryWithOptions(c.typed, 0, informers.WithNamespace(c.namespace))
	pods := factory.Core().V1().Pods()
	byNode := func(object any) ([]string, error) { return []string{object.(*corev1.Pod).Spec.NodeName}, nil }
	if err := pods.Informer().AddIndexers(cache.Indexers{"node": byNode}); err != nil {
		return err
	}
	selected := informers.NewSharedInformerFactoryWithOptions(c.typed, 0, informers.WithNamespace(c.namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "informed=streamed" }))
	saw := make(seen, 10)
	if _, err := selected.Core().V1().ConfigMaps().Informer().AddEventHandler(saw.handler()); err != nil {
		return err
	}
	for _, each := range []informers.SharedInformerFactory{factory, selected} {
		each.Start(ctx.Done())
		each.WaitForCacheSync(ctx.Done())
	}
	listed, err := pods.Lister().Pods(c.namespace).List(labels.SelectorFromSet(labels.Set{"app": "web"}))
	if err != nil {
		return err
	}
	indexed, err := pods.Informer().GetIndexer().ByIndex("node", "dev")
	return tap.First(
		err,
		tap.Same("Pods listed", len(listed), 2),
		tap.That(len(indexed) >= 2, "%d Pods are on the node", len(indexed)),
		c.play(ctx, "streamed", saw),
	)
}

func (c *cluster) plainInformer(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	only := func(options *metav1.ListOptions) { options.LabelSelector = "informed=listed" }
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			only(&options)
			return maps.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			// Here it is asked as by informers of before.
			if options.SendInitialEvents != nil {
				return nil, errors.New("no streamed list")
			}
			only(&options)
			return maps.Watch(ctx, options)
		},
	}
	saw := make(seen, 10)
	informer := cache.NewSharedInformer(cache.ToListWatcherWithWatchListSemantics(source, unable{}), &corev1.ConfigMap{}, 0)
	if _, err := informer.AddEventHandler(saw.handler()); err != nil {
		return err
	}
	go informer.RunWithContext(ctx)
	return c.play(ctx, "listed", saw)
}

// A client that says that it cannot stream lists.
type unable struct{}

func (unable) IsWatchListSemanticsUnSupported() bool { return true }

func (c *cluster) dynamicInformer(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.dynamic, 0, c.namespace,
		func(options *metav1.ListOptions) { options.LabelSelector = "informed=dynamic" })
	saw := make(seen, 10)
	if _, err := factory.ForResource(configMaps).Informer().AddEventHandler(saw.handler()); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return c.play(ctx, "dynamic", saw)
}

func (c *cluster) retryWatch(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	short := int64(1)
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.LabelSelector, options.TimeoutSeconds = "watched=again", &short
		return maps.Watch(ctx, options)
	}}
	watching, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, source)
	if err != nil {
		return err
	}
	defer watching.Stop()
	for i := range 3 {
		name := fmt.Sprint("again-", i)
		if _, err := maps.Create(ctx, configMap(name, "1", map[string]string{"watched": "again"}), metav1.CreateOptions{}); err != nil {
			return err
		}
		event := <-watching.ResultChan()
		if err := tap.Same("name", event.Object.(*corev1.ConfigMap).Name, name); err != nil {
			return err
		}
		// The server ends each watch after a second; the next object comes by the watch that follows.
		time.Sleep(1200 * time.Millisecond)
	}
	return nil
}

func (c *cluster) election(ctx context.Context) error {
	leads := make(chan string, 4)
	candidate := func(name string) (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		lock := &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "leader", Namespace: c.namespace}, Client: c.typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		go leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 500 * time.Millisecond, ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leads <- name }, OnStoppedLeading: func() {},
			},
		})
		return cancel
	}
	leader := func(wanted string) error {
		select {
		case got := <-leads:
			return tap.Same("leader", got, wanted)
		case <-ctx.Done():
			return fmt.Errorf("%s did not lead", wanted)
		}
	}
	stop := candidate("one")
	if err := leader("one"); err != nil {
		return err
	}
	defer candidate("two")()
	stop()
	if err := leader("two"); err != nil {
		return err
	}
	lease, err := c.typed.CoordinationV1().Leases(c.namespace).Get(ctx, "leader", metav1.GetOptions{})
	return tap.First(err, tap.That(*lease.Spec.LeaseTransitions >= 1, "no transitions"), tap.Same("holder", *lease.Spec.HolderIdentity, "two"))
}

func (c *cluster) events(ctx context.Context) error {
	object, err := c.typed.CoreV1().ConfigMaps(c.namespace).Get(ctx, "untyped", metav1.GetOptions{})
	if err != nil {
		return err
	}
	elder := record.NewBroadcaster(record.WithContext(ctx))
	elder.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.typed.CoreV1().Events(c.namespace)})
	defer elder.Shutdown()
	elder.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "tests"}).Eventf(object, corev1.EventTypeNormal, "Elder", "told %d", 1)

	newer := events.NewBroadcaster(&events.EventSinkImpl{Interface: c.typed.EventsV1()})
	if err := newer.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	defer newer.Shutdown()
	recorder := newer.NewRecorder(scheme.Scheme, "tests")
	for range 3 {
		recorder.Eventf(object, nil, corev1.EventTypeWarning, "Newer", "Tell", "told %d", 2)
	}
	return tap.Until(ctx, "both are there", func() (bool, error) {
		list, err := c.typed.CoreV1().Events(c.namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=untyped"})
		if err != nil {
			return false, err
		}
		var reasons []string
		for _, event := range list.Items {
			reasons = append(reasons, event.Reason)
		}
		slices.Sort(reasons)
		return slices.Equal(slices.Compact(reasons), []string{"Elder", "Newer"}), nil
	})
}
