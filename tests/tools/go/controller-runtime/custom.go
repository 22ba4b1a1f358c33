package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	corev1 "k8s.io/api/core/v1"

	"kapelle/tests/tools/tap"
)

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sites.operator.example.com}
spec:
  group: operator.example.com
  scope: Namespaced
  names: {plural: sites, singular: site, kind: Site}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec: {type: object, required: [word], properties: {word: {type: string, maxLength: 10}}}
          status: {type: object, properties: {observedGeneration: {type: integer}, said: {type: string}}}
`

var siteKind = schema.GroupVersionKind{Group: "operator.example.com", Version: "v1", Kind: "Site"}

func newSite(namespace, name string) *unstructured.Unstructured {
	site := &unstructured.Unstructured{}
	site.SetGroupVersionKind(siteKind)
	site.SetNamespace(namespace)
	site.SetName(name)
	return site
}

// An object as data, with its type.
func convert(object client.Object) (*unstructured.Unstructured, error) {
	data, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(data, "status")
	unstructured.RemoveNestedField(data, "metadata", "creationTimestamp")
	return &unstructured.Unstructured{Object: data}, nil
}

func (o *operator) serves(group, kind string) bool {
	_, err := o.direct.RESTMapper().RESTMapping(schema.GroupKind{Group: group, Kind: kind})
	return !meta.IsNoMatchError(err)
}

// Copies the word of a Site into a ConfigMap, and says in its status what it has seen.
func (o *operator) reconcileSite(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	c := o.manager.GetClient()
	site := newSite(request.Namespace, request.Name)
	if err := c.Get(ctx, request.NamespacedName, site); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	word, _, err := unstructured.NestedString(site.Object, "spec", "word")
	if err != nil {
		return reconcile.Result{}, err
	}
	child := &corev1.ConfigMap{}
	child.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	child.Name, child.Namespace, child.Data = request.Name+"-word", request.Namespace, map[string]string{"word": word}
	if err := ctrl.SetControllerReference(site, child, o.scheme); err != nil {
		return reconcile.Result{}, err
	}
	if err := applyObject(ctx, c, child); err != nil {
		return reconcile.Result{}, err
	}
	site.Object["status"] = map[string]any{"observedGeneration": site.GetGeneration(), "said": word}
	err = c.Status().Update(ctx, site)
	if apierrors.IsConflict(err) {
		return reconcile.Result{Requeue: true}, nil
	}
	return reconcile.Result{}, err
}

func (o *operator) customKind(ctx context.Context) error {
	if !o.serves("apiextensions.k8s.io", "CustomResourceDefinition") {
		return tap.Skip("no CustomResourceDefinitions")
	}
	var defined unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(definition), &defined.Object); err != nil {
		return err
	}
	if err := o.direct.Create(ctx, &defined); err != nil {
		return err
	}
	err := tap.Until(ctx, "the kind is served", func() (bool, error) { return o.serves(siteKind.Group, siteKind.Kind), nil })
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(o.manager).For(newSite("", ""), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&corev1.ConfigMap{}).Complete(reconcile.Func(o.reconcileSite))
	if err != nil {
		return err
	}
	return tap.First(o.customSite(ctx), o.direct.Delete(ctx, &defined))
}

func (o *operator) customSite(ctx context.Context) error {
	site := newSite(o.namespace, "own")
	site.Object["spec"] = map[string]any{"word": "much too long"}
	refused := o.direct.Create(ctx, site)
	if err := tap.That(apierrors.IsInvalid(refused), "the refusal is %v", refused); err != nil {
		return err
	}
	site.Object["spec"] = map[string]any{"word": "hello"}
	if err := o.direct.Create(ctx, site); err != nil {
		return err
	}
	said := func(generation int64, word string) error {
		return tap.Until(ctx, "the status says "+word, func() (bool, error) {
			if err := o.direct.Get(ctx, client.ObjectKeyFromObject(site), site); err != nil {
				return false, err
			}
			got, _, _ := unstructured.NestedString(site.Object, "status", "said")
			observed, _, _ := unstructured.NestedInt64(site.Object, "status", "observedGeneration")
			return got == word && observed == generation, nil
		})
	}
	if err := said(1, "hello"); err != nil {
		return err
	}
	before := client.MergeFrom(site.DeepCopy())
	site.Object["spec"] = map[string]any{"word": "goodbye"}
	child := &corev1.ConfigMap{}
	child.Namespace, child.Name = o.namespace, "own-word"
	return tap.First(
		o.direct.Patch(ctx, site, before),
		said(2, "goodbye"),
		o.direct.Get(ctx, client.ObjectKeyFromObject(child), child),
		tap.Same("word of the child", child.Data["word"], "goodbye"),
		o.direct.Delete(ctx, site),
		tap.Until(ctx, "the child is gone", func() (bool, error) {
			return apierrors.IsNotFound(o.direct.Get(ctx, client.ObjectKeyFromObject(child), child)), nil
		}),
	)
}
