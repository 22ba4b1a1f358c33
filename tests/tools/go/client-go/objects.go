package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	applyappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"kapelle/tests/tools/tap"
)

var configMaps = corev1.SchemeGroupVersion.WithResource("configmaps")

func configMap(name, value string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"a": value}}
}

func web(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	main := corev1.Container{Name: "main", Image: "hello-http:v1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{main}},
			},
		},
	}
}

func (c *cluster) settled(ctx context.Context, replicas int32) error {
	return tap.Until(ctx, fmt.Sprintf("%d Pods are ready", replicas), func() (bool, error) {
		web, err := c.typed.AppsV1().Deployments(c.namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		s := web.Status
		return s.ObservedGeneration >= web.Generation && s.Replicas == replicas && s.UpdatedReplicas == replicas && s.ReadyReplicas == replicas, nil
	})
}

func (c *cluster) discovery(context.Context) error {
	cached := memory.NewMemCacheClient(c.typed.Discovery())
	lists, err := cached.ServerPreferredResources()
	if err != nil {
		return err
	}
	kinds := sets.New[string]()
	for _, list := range lists {
		for _, resource := range list.APIResources {
			kinds.Insert(resource.Kind)
		}
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(cached)
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	if err != nil {
		return err
	}
	second, err := c.typed.Discovery().OpenAPISchema()
	if err != nil {
		return err
	}
	third, err := c.typed.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	return tap.First(
		tap.That(kinds.HasAll("Pod", "Deployment", "Lease", "EndpointSlice"), "kinds are %v", kinds),
		tap.Same("resource", mapping.Resource.Resource, "deployments"),
		tap.That(len(second.GetDefinitions().GetAdditionalProperties()) > 100, "OpenAPI 2 has few definitions"),
		tap.That(third["apis/apps/v1"] != nil, "OpenAPI 3 has no apps/v1"),
	)
}

func (c *cluster) deployment(ctx context.Context) error {
	made, err := c.typed.AppsV1().Deployments(c.namespace).Create(ctx, web(2), metav1.CreateOptions{FieldManager: "tests"})
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("strategy", made.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType),
		tap.Same("manager", made.ManagedFields[0].Manager, "tests"),
		c.settled(ctx, 2),
	)
}

func (c *cluster) conflict(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	old, err := maps.Create(ctx, configMap("contested", "0", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	var writers sync.WaitGroup
	failed := make(chan error, 4)
	for i := range 4 {
		writers.Go(func() {
			failed <- retry.RetryOnConflict(retry.DefaultBackoff, func() error {
				current, err := maps.Get(ctx, "contested", metav1.GetOptions{})
				if err != nil {
					return err
				}
				current.Data[fmt.Sprint("writer-", i)] = "was here"
				_, err = maps.Update(ctx, current, metav1.UpdateOptions{})
				return err
			})
		})
	}
	writers.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	_, err = maps.Update(ctx, old, metav1.UpdateOptions{})
	current, getting := maps.Get(ctx, "contested", metav1.GetOptions{})
	return tap.First(
		getting,
		tap.That(apierrors.IsConflict(err), "no conflict but %v", err),
		tap.Same("keys", len(current.Data), 5),
	)
}

func (c *cluster) patches(ctx context.Context) error {
	deployments := c.typed.AppsV1().Deployments(c.namespace)
	strategic := `{"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "VERSION", "value": "v2"}]}]}}}}`
	first, err := deployments.Patch(ctx, "web", types.StrategicMergePatchType, []byte(strategic), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	dry, err := deployments.Patch(ctx, "web", types.MergePatchType, []byte(`{"spec": {"replicas": 7}}`),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	one, err := deployments.Patch(ctx, "web", types.JSONPatchType, []byte(`[{"op": "replace", "path": "/spec/replicas", "value": 1}]`), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("image", first.Spec.Template.Spec.Containers[0].Image, "hello-http:v1"),
		tap.Same("dry", *dry.Spec.Replicas, 7),
		tap.Same("replicas", *one.Spec.Replicas, 1),
		c.settled(ctx, 1),
	)
}

func (c *cluster) apply(ctx context.Context) error {
	deployments := c.typed.AppsV1().Deployments(c.namespace)
	labels := map[string]string{"app": "applied"}
	desired := func(replicas int32) *applyappsv1.DeploymentApplyConfiguration {
		container := applycorev1.Container().WithName("main").WithImage("hello-http:v1")
		template := applycorev1.PodTemplateSpec().WithLabels(labels).WithSpec(applycorev1.PodSpec().WithContainers(container))
		selector := applymetav1.LabelSelector().WithMatchLabels(labels)
		spec := applyappsv1.DeploymentSpec().WithReplicas(replicas).WithSelector(selector).WithTemplate(template)
		return applyappsv1.Deployment("applied", c.namespace).WithSpec(spec)
	}
	first, err := deployments.Apply(ctx, desired(0), metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		return err
	}
	extracted, err := applyappsv1.ExtractDeployment(first, "one")
	if err != nil {
		return err
	}
	again, err := deployments.Apply(ctx, extracted, metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		return err
	}
	_, refused := deployments.Apply(ctx, desired(1), metav1.ApplyOptions{FieldManager: "two"})
	forced, err := deployments.Apply(ctx, desired(1), metav1.ApplyOptions{FieldManager: "two", Force: true})
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("container", *extracted.Spec.Template.Spec.Containers[0].Name, "main"),
		tap.That(apierrors.IsConflict(refused) && strings.Contains(refused.Error(), ".spec.replicas"), "no conflict but %v", refused),
		tap.Same("cause", string(causes(refused)), string(metav1.CauseTypeFieldManagerConflict)),
		tap.Same("replicas", *forced.Spec.Replicas, 1),
		tap.Same("generation", again.Generation, first.Generation),
	)
}

func causes(err error) metav1.CauseType {
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return ""
	}
	return status.Status().Details.Causes[0].Type
}

func (c *cluster) migrate(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	made := configMap("migrated", "1", nil)
	made.Data["b"] = "2"
	live, err := maps.Create(ctx, made, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"})
	if err != nil {
		return err
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New("kubectl-client-side-apply"), "one")
	if err != nil {
		return err
	}
	if _, err := maps.Patch(ctx, "migrated", types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	// What the new owner no longer applies goes.
	without := applycorev1.ConfigMap("migrated", c.namespace).WithData(map[string]string{"a": "1"})
	left, err := maps.Apply(ctx, without, metav1.ApplyOptions{FieldManager: "one"})
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("keys", len(left.Data), 1),
		tap.Same("managers", len(left.ManagedFields), 1),
		tap.Same("operation", left.ManagedFields[0].Operation, metav1.ManagedFieldsOperationApply),
	)
}

func (c *cluster) untyped(ctx context.Context) error {
	maps := c.dynamic.Resource(configMaps).Namespace(c.namespace)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "untyped"},
		"data": map[string]any{"a": "1"}, "binaryData": map[string]any{"bytes": "AAEC"},
	}}
	made, err := maps.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	watching, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=untyped", ResourceVersion: made.GetResourceVersion()})
	if err != nil {
		return err
	}
	defer watching.Stop()
	delete(object.Object, "binaryData")
	applied, err := maps.Apply(ctx, "untyped", object, metav1.ApplyOptions{FieldManager: "dynamic", Force: true})
	if err != nil {
		return err
	}
	event := <-watching.ResultChan()
	binary, _, _ := unstructured.NestedString(applied.Object, "binaryData", "bytes")
	missing := c.dynamic.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "nothings"})
	_, err = missing.List(ctx, metav1.ListOptions{})
	return tap.First(
		tap.Same("binary data", binary, "AAEC"),
		tap.That(event.Object != nil, "the watch ended"),
		tap.Same("name", event.Object.(*unstructured.Unstructured).GetName(), "untyped"),
		tap.That(apierrors.IsNotFound(err), "not found was expected, not %v", err),
	)
}

func (c *cluster) metadata(ctx context.Context) error {
	client, err := metadata.NewForConfig(c.config)
	if err != nil {
		return err
	}
	maps := client.Resource(configMaps).Namespace(c.namespace)
	one, err := maps.Get(ctx, "untyped", metav1.GetOptions{})
	if err != nil {
		return err
	}
	all, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	watching, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=untyped"})
	if err != nil {
		return err
	}
	defer watching.Stop()
	event := <-watching.ResultChan()
	_, partial := event.Object.(*metav1.PartialObjectMetadata)
	return tap.First(
		tap.Same("name", one.Name, "untyped"),
		tap.That(len(all.Items) > 2, "%d items", len(all.Items)),
		tap.That(partial, "the watch shows %T", event.Object),
	)
}

func (c *cluster) scale(ctx context.Context) error {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.typed.Discovery()))
	resolver := scale.NewDiscoveryScaleKindResolver(c.typed.Discovery())
	config := rest.CopyConfig(c.config)
	config.ContentType = "application/json" // This client reads no CBOR.
	client, err := scale.NewForConfig(config, mapper, dynamic.LegacyAPIPathResolverFunc, resolver)
	if err != nil {
		return err
	}
	scales, deployments := client.Scales(c.namespace), schema.GroupResource{Group: "apps", Resource: "deployments"}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		current, err := scales.Get(ctx, deployments, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		current.Spec.Replicas = 2
		_, err = scales.Update(ctx, deployments, current, metav1.UpdateOptions{})
		return err
	})
	return tap.First(err, c.settled(ctx, 2))
}

func (c *cluster) pages(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	for i := range 12 {
		if _, err := maps.Create(ctx, configMap(fmt.Sprint("page-", i), "1", map[string]string{"page": "yes"}), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	pages, items := 0, 0
	paging := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		pages++
		return maps.List(ctx, options)
	})
	paging.PageSize, paging.PageBufferSize = 5, 0
	err := paging.EachListItem(ctx, metav1.ListOptions{LabelSelector: "page=yes"}, func(runtime.Object) error {
		items++
		return nil
	})
	return tap.First(err, tap.Same("pages", pages, 3), tap.Same("items", items, 12))
}

func (c *cluster) collection(ctx context.Context) error {
	maps := c.typed.CoreV1().ConfigMaps(c.namespace)
	selected := metav1.ListOptions{LabelSelector: "page=yes"}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, selected); err != nil {
		return err
	}
	left, err := maps.List(ctx, selected)
	if err != nil {
		return err
	}
	return tap.Same("items", len(left.Items), 0)
}

// Collects what the server warns of.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _ string, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) has(part string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, text := range w.texts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func (c *cluster) warned(ctx context.Context) error {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "odd"}, "dat": map[string]any{"a": "1"},
	}}
	maps := c.dynamic.Resource(configMaps).Namespace(c.namespace)
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Warn"}); err != nil {
		return err
	}
	_, err := maps.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Strict"})
	return tap.First(
		tap.That(c.warnings.has(`unknown field "dat"`), "warned was of %v", c.warnings.texts),
		tap.That(apierrors.IsBadRequest(err), "a bad request was expected, not %v", err),
	)
}

func (c *cluster) foreground(ctx context.Context) error {
	deployments := c.typed.AppsV1().Deployments(c.namespace)
	if err := deployments.Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil {
		return err
	}
	err := tap.Until(ctx, "it is gone", func() (bool, error) {
		_, err := deployments.Get(ctx, "web", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	pods, listing := c.typed.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
	return tap.First(err, listing, tap.Same("Pods", len(pods.Items), 0))
}
