package main

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"kapelle/tests/tools/tap"
)

// serves says whether discovery has a kind.
func (c *cluster) serves(version, resource string) (bool, error) {
	list, err := c.typed.Discovery().ServerResourcesForGroupVersion(version)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, have := range list.APIResources {
		if have.Name == resource {
			return true, nil
		}
	}
	return false, nil
}

var widgets = schema.GroupVersionResource{Group: "client-go.example.com", Version: "v1", Resource: "widgets"}

func widgetDefinition() *apiextensionsv1.CustomResourceDefinition {
	integer := apiextensionsv1.JSONSchemaProps{Type: "integer"}
	color := apiextensionsv1.JSONSchemaProps{Type: "string", Default: &apiextensionsv1.JSON{Raw: []byte(`"red"`)}}
	replicas := apiextensionsv1.JSONSchemaProps{Type: "integer", Default: &apiextensionsv1.JSON{Raw: []byte("1")}}
	spec := apiextensionsv1.JSONSchemaProps{
		Type:       "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{"size": integer, "limit": integer, "color": color, "replicas": replicas},
		XValidations: apiextensionsv1.ValidationRules{
			{Rule: "self.size <= self.limit", Message: "the size is above the limit", FieldPath: ".size"},
		},
	}
	status := apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"replicas": integer}}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.client-go.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: widgets.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "widgets", Singular: "widget", Kind: "Widget", ShortNames: []string{"wdg"}, Categories: []string{"all"},
			},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec, "status": status},
				}},
				Subresources: &apiextensionsv1.CustomResourceSubresources{
					Status: &apiextensionsv1.CustomResourceSubresourceStatus{},
					Scale:  &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.replicas", StatusReplicasPath: ".status.replicas"},
				},
				SelectableFields: []apiextensionsv1.SelectableField{{JSONPath: ".spec.color"}},
			}},
		},
	}
}

func widget(name string, size, limit int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "client-go.example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"size": size, "limit": limit},
	}}
}

func (c *cluster) custom(ctx context.Context) error {
	if served, err := c.serves("apiextensions.k8s.io/v1", "customresourcedefinitions"); err != nil || !served {
		return tap.First(err, tap.Skip("no CustomResourceDefinitions"))
	}
	client, err := apiextensions.NewForConfig(c.config)
	if err != nil {
		return err
	}
	definitions := client.ApiextensionsV1().CustomResourceDefinitions()
	if _, err := definitions.Create(ctx, widgetDefinition(), metav1.CreateOptions{}); err != nil {
		return err
	}
	return tap.First(
		tap.Until(ctx, "the definition is established", func() (bool, error) {
			definition, err := definitions.Get(ctx, widgetDefinition().Name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			for _, condition := range definition.Status.Conditions {
				if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
					return true, nil
				}
			}
			return false, nil
		}),
		tap.Until(ctx, "discovery has the kind", func() (bool, error) { return c.serves("client-go.example.com/v1", "widgets/scale") }),
		c.customObjects(ctx),
		c.customParts(ctx),
		definitions.Delete(ctx, widgetDefinition().Name, metav1.DeleteOptions{}),
		tap.Until(ctx, "the definition is gone", func() (bool, error) {
			_, err := definitions.Get(ctx, widgetDefinition().Name, metav1.GetOptions{})
			return apierrors.IsNotFound(err), nil
		}),
	)
}

func (c *cluster) customObjects(ctx context.Context) error {
	objects := c.dynamic.Resource(widgets).Namespace(c.namespace)
	one := widget("one", 1, 2)
	one.Object["spec"].(map[string]any)["unknown"] = true
	made, err := objects.Create(ctx, one, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, refused := objects.Create(ctx, widget("two", 3, 2), metav1.CreateOptions{})
	red, err := objects.List(ctx, metav1.ListOptions{FieldSelector: "spec.color=red"})
	if err != nil {
		return err
	}
	spec := made.Object["spec"].(map[string]any)
	return tap.First(
		tap.Same("color", spec["color"].(string), "red"),
		tap.That(spec["unknown"] == nil, "what is unknown was not pruned: %v", spec),
		tap.That(apierrors.IsInvalid(refused) && strings.Contains(refused.Error(), "the size is above the limit"), "the refusal is %v", refused),
		tap.Same("red ones", len(red.Items), 1),
	)
}

func (c *cluster) customParts(ctx context.Context) error {
	objects := c.dynamic.Resource(widgets).Namespace(c.namespace)
	applied, err := objects.Apply(ctx, "one", widget("one", 2, 2), metav1.ApplyOptions{FieldManager: "tests", Force: true})
	if err != nil {
		return err
	}
	applied.Object["status"] = map[string]any{"replicas": int64(1)}
	updated, err := objects.UpdateStatus(ctx, applied, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	patch := []byte(`{"spec": {"replicas": 3}}`)
	scaled, err := objects.Patch(ctx, "one", types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
	if err != nil {
		return err
	}
	var scale autoscalingv1.Scale
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(scaled.Object, &scale); err != nil {
		return err
	}
	return tap.First(
		tap.Same("generation", applied.GetGeneration(), 2),
		tap.Same("generation after the status", updated.GetGeneration(), 2),
		tap.Same("replicas wanted", scale.Spec.Replicas, 3),
		tap.Same("replicas", scale.Status.Replicas, 1),
	)
}

func (c *cluster) policy(ctx context.Context) error {
	if served, err := c.serves("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"); err != nil || !served {
		return tap.First(err, tap.Skip("no ValidatingAdmissionPolicies"))
	}
	client := c.typed.AdmissionregistrationV1()
	rule := admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "client-go.example.com"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy:    ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{rule}},
			Validations:      []admissionv1.Validation{{Expression: "object.data.a != 'no'", Message: "a must not be no"}},
		},
	}
	if _, err := client.ValidatingAdmissionPolicies().Create(ctx, policy, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer client.ValidatingAdmissionPolicies().Delete(ctx, policy.Name, metav1.DeleteOptions{})
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: policy.Name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"kubernetes.io/metadata.name": c.namespace},
			}},
		},
	}
	if _, err := client.ValidatingAdmissionPolicyBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer client.ValidatingAdmissionPolicyBindings().Delete(ctx, binding.Name, metav1.DeleteOptions{})
	maps, attempt := c.typed.CoreV1().ConfigMaps(c.namespace), 0
	return tap.Until(ctx, "the policy refuses", func() (bool, error) {
		attempt++
		_, err := maps.Create(ctx, configMap(fmt.Sprint("policy-", attempt), "no", nil), metav1.CreateOptions{})
		if err == nil {
			return false, nil
		}
		return true, tap.That(apierrors.IsInvalid(err) && strings.Contains(err.Error(), "a must not be no"), "the refusal is %v", err)
	})
}

func (c *cluster) apiServices(ctx context.Context) error {
	if served, err := c.serves("apiregistration.k8s.io/v1", "apiservices"); err != nil || !served {
		return tap.First(err, tap.Skip("no APIServices"))
	}
	resource := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	one, err := c.dynamic.Resource(resource).Get(ctx, "v1.apps", metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, err := unstructured.NestedSlice(one.Object, "status", "conditions")
	return tap.First(
		err,
		tap.That(len(conditions) == 1, "the conditions are %v", conditions),
		tap.Same("Available", conditions[0].(map[string]any)["status"].(string), "True"),
		tap.Same("reason", conditions[0].(map[string]any)["reason"].(string), "Local"),
	)
}
