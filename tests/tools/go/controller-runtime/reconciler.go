package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"kapelle/tests/tools/tap"
)

const finalizer = "operator.example.com/cleanup"

// The operator looks after ConfigMaps with a label: each has a Deployment and a Service, and says whether they are ready.
func (o *operator) addReconciler() error {
	operated, err := predicate.LabelSelectorPredicate(metav1.LabelSelector{MatchLabels: map[string]string{"operated": "yes"}})
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(o.manager).
		For(&corev1.ConfigMap{}, builder.WithPredicates(operated)).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}, builder.OnlyMetadata).
		Complete(reconcile.Func(o.reconcile))
}

func (o *operator) reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	c := o.manager.GetClient()
	var site corev1.ConfigMap
	if err := c.Get(ctx, request.NamespacedName, &site); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if site.DeletionTimestamp != nil {
		if controllerutil.RemoveFinalizer(&site, finalizer) {
			o.cleaned <- site.Name
			return reconcile.Result{}, c.Update(ctx, &site)
		}
		return reconcile.Result{}, nil
	}
	if controllerutil.AddFinalizer(&site, finalizer) {
		return reconcile.Result{}, c.Update(ctx, &site)
	}
	return reconcile.Result{}, o.ensure(ctx, c, &site)
}

func (o *operator) ensure(ctx context.Context, c client.Client, site *corev1.ConfigMap) error {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: site.Name, Namespace: site.Namespace}}
	result, err := controllerutil.CreateOrUpdate(ctx, c, deployment, func() error {
		labels := map[string]string{"app": site.Name}
		replicas := int32(2)
		deployment.Spec.Replicas = &replicas
		deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		deployment.Spec.Template.Labels = labels
		if len(deployment.Spec.Template.Spec.Containers) == 0 {
			deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main"}}
		}
		deployment.Spec.Template.Spec.Containers[0].Image = site.Data["image"]
		return controllerutil.SetControllerReference(site, deployment, o.scheme)
	})
	if err != nil {
		return err
	}
	if result != controllerutil.OperationResultNone {
		o.manager.GetEventRecorder("operator").Eventf(site, deployment, corev1.EventTypeNormal, "Ensured", "Ensure", "its Deployment is %s", result)
	}
	service := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: site.Name, Namespace: site.Namespace},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": site.Name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if err := controllerutil.SetControllerReference(site, service, o.scheme); err != nil {
		return err
	}
	if err := applyObject(ctx, c, service); err != nil {
		return err
	}
	before := client.MergeFrom(site.DeepCopy())
	metav1.SetMetaDataAnnotation(&site.ObjectMeta, "ready", fmt.Sprint(deployment.Status.ReadyReplicas))
	return c.Patch(ctx, site, before)
}

// Applies an object that is written as a whole.
func applyObject(ctx context.Context, c client.Client, object client.Object) error {
	data, err := convert(object)
	if err != nil {
		return err
	}
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(data), client.FieldOwner("operator"), client.ForceOwnership)
}

func (o *operator) site(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.namespace, Labels: map[string]string{"operated": "yes"}},
		Data:       map[string]string{"image": "hello-http:v1"},
	}
}

func (o *operator) ready(ctx context.Context, what string, name, ready string) error {
	return tap.Until(ctx, what, func() (bool, error) {
		site := o.site(name)
		err := o.direct.Get(ctx, client.ObjectKeyFromObject(site), site)
		return err == nil && site.Annotations["ready"] == ready, err
	})
}

func (o *operator) makes(ctx context.Context) error {
	if err := o.direct.Create(ctx, o.site("site")); err != nil {
		return err
	}
	if err := o.ready(ctx, "both Pods are ready", "site", "2"); err != nil {
		return err
	}
	var service corev1.Service
	if err := o.direct.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: "site"}, &service); err != nil {
		return err
	}
	return tap.First(
		tap.That(metav1.GetControllerOf(&service) != nil, "the Service is not owned"),
		tap.That(service.Spec.ClusterIP != "", "the Service has no address"),
	)
}

func (o *operator) mends(ctx context.Context) error {
	key := client.ObjectKey{Namespace: o.namespace, Name: "site"}
	var deployment appsv1.Deployment
	if err := o.direct.Get(ctx, key, &deployment); err != nil {
		return err
	}
	strange := client.MergeFrom(deployment.DeepCopy())
	*deployment.Spec.Replicas = 5
	if err := o.direct.Patch(ctx, &deployment, strange); err != nil {
		return err
	}
	err := tap.Until(ctx, "the number of replicas is taken back", func() (bool, error) {
		err := o.direct.Get(ctx, key, &deployment)
		return err == nil && *deployment.Spec.Replicas == 2, err
	})
	if err != nil {
		return err
	}
	for _, child := range []client.Object{&deployment, &corev1.Service{}} {
		if err := o.direct.Get(ctx, key, child); err != nil {
			return err
		}
		uid := child.GetUID()
		if err := o.direct.Delete(ctx, child); err != nil {
			return err
		}
		err := tap.Until(ctx, fmt.Sprintf("the %T is there again", child), func() (bool, error) {
			err := o.direct.Get(ctx, key, child)
			return err == nil && child.GetUID() != uid, client.IgnoreNotFound(err)
		})
		if err != nil {
			return err
		}
	}
	return o.ready(ctx, "both Pods are ready again", "site", "2")
}

func (o *operator) told(ctx context.Context) error {
	return tap.Until(ctx, "the Event is there", func() (bool, error) {
		var events corev1.EventList
		err := o.direct.List(ctx, &events, client.InNamespace(o.namespace), client.MatchingFields{"reason": "Ensured"})
		return err == nil && len(events.Items) > 0 && events.Items[0].InvolvedObject.Name == "site", err
	})
}

func (o *operator) reads(ctx context.Context) error {
	c := o.manager.GetClient()
	var labelled, indexed corev1.PodList
	var partial metav1.PartialObjectMetadataList
	partial.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSetList"))
	// The cache comes a little after what was written.
	return tap.Until(ctx, "the cache has everything", func() (bool, error) {
		err := tap.First(
			c.List(ctx, &labelled, client.InNamespace(o.namespace), client.MatchingLabels{"app": "site"}),
			c.List(ctx, &indexed, client.InNamespace(o.namespace), client.MatchingFields{"image": "hello-http:v1"}),
			c.List(ctx, &partial, client.InNamespace(o.namespace)),
		)
		return len(labelled.Items) == 2 && len(indexed.Items) == 2 && len(partial.Items) > 0, err
	})
}

func (o *operator) patches(ctx context.Context) error {
	plain := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: o.namespace}, Data: map[string]string{"a": "1"}}
	if err := o.direct.Create(ctx, plain); err != nil {
		return err
	}
	old := plain.DeepCopy()
	locked := client.MergeFromWithOptions(plain.DeepCopy(), client.MergeFromWithOptimisticLock{})
	plain.Data["a"] = "2"
	if err := o.direct.Patch(ctx, plain, locked); err != nil {
		return err
	}
	old.Data["a"] = "3"
	refused := o.direct.Patch(ctx, old, locked)
	var results []controllerutil.OperationResult
	for _, value := range []string{"4", "4"} {
		result, err := controllerutil.CreateOrUpdate(ctx, o.direct, plain, func() error {
			plain.Data["a"] = value
			return nil
		})
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	return tap.First(
		tap.That(apierrors.IsConflict(refused), "no conflict but %v", refused),
		tap.Same("results", fmt.Sprint(results), "[updated unchanged]"),
	)
}

func (o *operator) applies(ctx context.Context) error {
	applied := func(value string) *applycorev1.ConfigMapApplyConfiguration {
		return applycorev1.ConfigMap("applied", o.namespace).WithData(map[string]string{"a": value})
	}
	if err := o.direct.Apply(ctx, applied("1"), client.FieldOwner("one")); err != nil {
		return err
	}
	refused := o.direct.Apply(ctx, applied("2"), client.FieldOwner("two"))
	forced := o.direct.Apply(ctx, applied("2"), client.FieldOwner("two"), client.ForceOwnership)
	var got corev1.ConfigMap
	getting := o.direct.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: "applied"}, &got)
	return tap.First(
		tap.That(apierrors.IsConflict(refused), "no conflict but %v", refused),
		forced, getting,
		tap.Same("value", got.Data["a"], "2"),
		tap.Same("managers", len(got.ManagedFields), 1),
	)
}

func (o *operator) subresources(ctx context.Context) error {
	key := client.ObjectKey{Namespace: o.namespace, Name: "site"}
	var deployment appsv1.Deployment
	var scale autoscalingv1.Scale
	if err := o.direct.Get(ctx, key, &deployment); err != nil {
		return err
	}
	if err := o.direct.SubResource("scale").Get(ctx, &deployment, &scale); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := o.direct.List(ctx, &pods, client.InNamespace(o.namespace), client.MatchingLabels{"app": "site"}); err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("there is no Pod")
	}
	pod := &pods.Items[0]
	before := client.MergeFrom(pod.DeepCopy())
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: "example.com/Seen", Status: corev1.ConditionTrue})
	patched := o.direct.Status().Patch(ctx, pod, before)
	evicted := o.direct.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{})
	return tap.First(
		tap.Same("replicas", scale.Spec.Replicas, 2),
		tap.Same("selector", scale.Status.Selector, "app=site"),
		patched, evicted,
		tap.Until(ctx, "the Pod is gone", func() (bool, error) {
			return apierrors.IsNotFound(o.direct.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{})), nil
		}),
	)
}

func (o *operator) cleans(ctx context.Context) error {
	if err := o.direct.Delete(ctx, o.site("site")); err != nil {
		return err
	}
	select {
	case name := <-o.cleaned:
		if err := tap.Same("cleaned", name, "site"); err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("nothing was cleaned up")
	}
	key := client.ObjectKey{Namespace: o.namespace, Name: "site"}
	for _, object := range []client.Object{&corev1.ConfigMap{}, &appsv1.Deployment{}, &corev1.Service{}} {
		err := tap.Until(ctx, fmt.Sprintf("the %T is gone", object), func() (bool, error) {
			return apierrors.IsNotFound(o.direct.Get(ctx, key, object)), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) takeover(ctx context.Context) error {
	second, err := o.newManager(webhook.NewServer(webhook.Options{Port: 1}))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- second.Start(running) }()
	o.stop()
	if err := <-o.ended; err != nil {
		return err
	}
	select {
	case <-second.Elected():
		return nil
	case err := <-ended:
		return fmt.Errorf("the second manager ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("the second manager was not elected")
	}
}
