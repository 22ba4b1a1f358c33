// Command argo synchronises manifests with Argo CD's engine: a cache of everything in the cluster, apply on the client's side
// (three-way strategic merge) and on the server's, differences, hooks, waves, health, pruning in the foreground.
//
// Usage: argo, with KUBECONFIG and NAMESPACE.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"kapelle/tests/tools/tap"
)

// What a repository of manifests has.
const manifests = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {argocd.argoproj.io/sync-wave: "-1"}}
data: {version: v1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: hello-http:v1
        ports: [{containerPort: 8080, name: http}]
        env: [{name: VERSION, valueFrom: {configMapKeyRef: {name: settings, key: version}}}]
        resources: {requests: {cpu: 1m, memory: 1Mi}}
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
`

const hook = `
---
apiVersion: v1
kind: Pod
metadata: {name: HOOK, annotations: {argocd.argoproj.io/hook: PHASE, argocd.argoproj.io/hook-delete-policy: BeforeHookCreation}}
spec: {restartPolicy: Never, containers: [{name: main, image: "batch:v1", env: [{name: EXIT_CODE, value: "ENDS"}]}]}
`

const definition = `
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.argo.example.com}
spec:
  group: argo.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
`

const object = `
---
apiVersion: argo.example.com/v1
kind: Widget
metadata: {name: one, annotations: {argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true}}
spec: {size: 1}
`

var kubectl = &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}

// Who applies on the server's side.
const manager = "argocd-controller"

type argo struct {
	config    *rest.Config
	dynamic   dynamic.Interface
	cache     cache.ClusterCache
	namespace string
}

func connect() (*argo, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 100
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	namespace := os.Getenv("NAMESPACE")
	everything := cache.NewClusterCache(config, cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			return object.GetLabels()["app.kubernetes.io/instance"], true
		}))
	return &argo{config, client, everything, namespace}, nil
}

// Manifests as the controller reads them from a repository: each says which application it belongs to.
func (a *argo) objects(text string) ([]*unstructured.Unstructured, error) {
	objects, err := kube.SplitYAML([]byte(text))
	for _, object := range objects {
		labels := object.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels["app.kubernetes.io/instance"] = a.namespace
		object.SetLabels(labels)
	}
	return objects, err
}

func (a *argo) ours(resource *cache.Resource) bool { return resource.Info == a.namespace }

// Synchronises as the controller does, looking anew at the cluster after each step, and gives what became of each object by its
// kind and name.
func (a *argo) sync(ctx context.Context, text string, options ...sync.SyncOpt) (map[string]common.ResourceSyncResult, error) {
	objects, err := a.objects(text)
	if err != nil {
		return nil, err
	}
	options = append(options, sync.WithLogr(logr.Discard()), sync.WithManifestValidation(true))
	phase, message, results, started := common.OperationRunning, "", []common.ResourceSyncResult(nil), metav1.Now()
	for !phase.Completed() {
		step := append(options, sync.WithInitialState(phase, message, results, started))
		if phase, message, results, err = a.step(objects, step); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the sync does not end: %s", message)
		case <-time.After(100 * time.Millisecond):
		}
	}
	each := map[string]common.ResourceSyncResult{}
	for _, result := range results {
		each[result.ResourceKey.Kind+"/"+result.ResourceKey.Name] = result
		message += "; " + result.ResourceKey.Name + ": " + result.Message
	}
	if phase != common.OperationSucceeded {
		return each, fmt.Errorf("%s: %s", phase, message)
	}
	return each, nil
}

func (a *argo) step(objects []*unstructured.Unstructured, options []sync.SyncOpt) (common.OperationPhase, string, []common.ResourceSyncResult, error) {
	live, err := a.cache.GetManagedLiveObjs(objects, a.ours)
	if err != nil {
		return "", "", nil, err
	}
	reconciled := sync.Reconcile(objects, live, a.namespace, a.cache)
	syncing, cleanup, err := sync.NewSyncContext("revision", reconciled, a.config, a.config, kubectl, a.namespace, options...)
	if err != nil {
		return "", "", nil, err
	}
	defer cleanup()
	syncing.Sync()
	phase, message, results := syncing.GetState()
	return phase, message, results, nil
}

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

func (a *argo) web(ctx context.Context) (*unstructured.Unstructured, error) {
	return a.dynamic.Resource(deployments).Namespace(a.namespace).Get(ctx, "web", metav1.GetOptions{})
}

func (a *argo) start(context.Context) error {
	if err := a.cache.EnsureSynced(); err != nil {
		return err
	}
	info := a.cache.GetClusterInfo()
	return tap.First(info.SyncError, tap.That(info.APIsCount > 15, "the cache knows %d APIs", info.APIsCount))
}

func (a *argo) first(ctx context.Context) error {
	results, err := a.sync(ctx, manifests)
	if err != nil {
		return err
	}
	web, err := a.web(ctx)
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("Deployment", results["Deployment/web"].Message, "deployment.apps/web created"),
		tap.That(web.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"] != "", "nothing says what was applied"),
	)
}

func (a *argo) healthy(ctx context.Context) error {
	return tap.Until(ctx, "the Deployment is healthy", func() (bool, error) {
		web, err := a.web(ctx)
		if err != nil {
			return false, err
		}
		told, err := health.GetResourceHealth(web, nil)
		return err == nil && told.Status == health.HealthStatusHealthy, err
	})
}

// An object as the repository has it, in its namespace.
func (a *argo) desired(text, kind string) (*unstructured.Unstructured, error) {
	objects, err := a.objects(text)
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object.GetKind() == kind {
			object.SetNamespace(a.namespace)
			return object, nil
		}
	}
	return nil, fmt.Errorf("there is no %s", kind)
}

func (a *argo) difference(ctx context.Context) error {
	live, err := a.web(ctx)
	if err != nil {
		return err
	}
	same, err := a.desired(manifests, "Deployment")
	if err != nil {
		return err
	}
	other, err := a.desired(strings.ReplaceAll(manifests, "replicas: 2", "replicas: 3"), "Deployment")
	if err != nil {
		return err
	}
	parser := diff.WithGVKParser(a.cache.GetGVKParser())
	for _, options := range [][]diff.Option{{}, {diff.WithStructuredMergeDiff(true), parser, diff.WithManager(manager)}} {
		options = append(options, diff.WithLogr(logr.Discard()))
		none, err := diff.Diff(same, live, options...)
		if err != nil {
			return err
		}
		some, err := diff.Diff(other, live, options...)
		if err := tap.First(err, tap.That(!none.Modified && some.Modified, "the differences are %v and %v", none.Modified, some.Modified)); err != nil {
			return err
		}
	}
	return nil
}

func (a *argo) threeWay(ctx context.Context) error {
	// Others add a label and a number of replicas; the repository takes its own label back.
	patch := `{"metadata": {"labels": {"strange": "yes"}}, "spec": {"replicas": 4}}`
	_, err := a.dynamic.Resource(deployments).Namespace(a.namespace).Patch(ctx, "web", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	if _, err := a.sync(ctx, strings.ReplaceAll(manifests, ", labels: {tier: front}", "")); err != nil {
		return err
	}
	web, err := a.web(ctx)
	if err != nil {
		return err
	}
	replicas, _, err := unstructured.NestedInt64(web.Object, "spec", "replicas")
	_, tier := web.GetLabels()["tier"]
	return tap.First(
		err,
		tap.Same("replicas", replicas, 2),
		tap.Same("label of others", web.GetLabels()["strange"], "yes"),
		tap.That(!tier, "the label is still there"),
	)
}

func (a *argo) migrate(ctx context.Context) error {
	_, err := a.sync(ctx, manifests, sync.WithServerSideApply(true), sync.WithServerSideApplyManager(manager),
		sync.WithClientSideApplyMigration(true, "kubectl-client-side-apply"))
	if err != nil {
		return err
	}
	web, err := a.web(ctx)
	if err != nil {
		return err
	}
	applied := false
	for _, entry := range web.GetManagedFields() {
		if entry.Manager == "kubectl-client-side-apply" {
			return fmt.Errorf("the manager of before still owns fields")
		}
		applied = applied || entry.Manager == manager && entry.Operation == metav1.ManagedFieldsOperationApply
	}
	return tap.That(applied, "%s owns nothing", manager)
}

func (a *argo) serverDifference(ctx context.Context) error {
	applier, cleanup, err := kubectl.ManageServerSideDiffDryRuns(a.config)
	if err != nil {
		return err
	}
	defer cleanup()
	for text, wanted := range map[string]bool{manifests: false, strings.ReplaceAll(manifests, "hello-http:v1", "hello-http:v2"): true} {
		live, err := a.web(ctx)
		if err != nil {
			return err
		}
		desired, err := a.desired(text, "Deployment")
		if err != nil {
			return err
		}
		got, err := diff.ServerSideDiff(desired, live, diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)),
			diff.WithManager(manager), diff.WithGVKParser(a.cache.GetGVKParser()), diff.WithLogr(logr.Discard()))
		if err := tap.First(err, tap.That(got.Modified == wanted, "modified is %v: %s and %s", got.Modified, got.PredictedLive, got.NormalizedLive)); err != nil {
			return err
		}
	}
	return nil
}

func hooked(name, phase, code string) string {
	return manifests + strings.NewReplacer("HOOK", name, "PHASE", phase, "ENDS", code).Replace(hook)
}

func (a *argo) hooks(ctx context.Context) error {
	// Hooks run when something has changed.
	results, err := a.sync(ctx, strings.ReplaceAll(hooked("before", "PreSync", "0"), "version: v1", "version: v2"))
	if err != nil {
		return err
	}
	failing, failed := a.sync(ctx, strings.ReplaceAll(hooked("failing", "PreSync", "3"), "version: v1", "version: v3"))
	return tap.First(
		tap.That(failed != nil, "the hook did not fail the sync: %v", failing),
		tap.Same("hook", results["Pod/before"].HookPhase, common.OperationSucceeded),
		tap.Same("failing hook", failing["Pod/failing"].HookPhase, common.OperationFailed),
	)
}

func (a *argo) replace(ctx context.Context) error {
	immutable := strings.ReplaceAll(manifests, "app: web", "app: other")
	_, refused := a.sync(ctx, immutable)
	if err := tap.That(refused != nil && strings.Contains(refused.Error(), "field is immutable"), "the refusal is %v", refused); err != nil {
		return err
	}
	_, err := a.sync(ctx, immutable, sync.WithReplace(true), sync.WithOperationSettings(false, false, true, true))
	return tap.First(err, a.healthy(ctx))
}

func (a *argo) invalid(ctx context.Context) error {
	_, err := a.sync(ctx, strings.ReplaceAll(manifests, "port: 80,", "port: 80000,"))
	return tap.That(err != nil && strings.Contains(err.Error(), "spec.ports[0].port"), "the refusal is %v", err)
}

func (a *argo) tree(context.Context) error {
	owned := a.cache.FindResources(a.namespace, func(resource *cache.Resource) bool {
		return resource.Ref.Kind == "Pod" && len(resource.OwnerRefs) == 1 && resource.OwnerRefs[0].Kind == "ReplicaSet"
	})
	return tap.That(len(owned) >= 2, "%d Pods are owned", len(owned))
}

func (a *argo) prune(ctx context.Context) error {
	foreground := metav1.DeletePropagationForeground
	results, err := a.sync(ctx, "", sync.WithPrune(true), sync.WithPrunePropagationPolicy(&foreground))
	if err != nil {
		return err
	}
	return tap.First(
		tap.Same("Deployment", results["Deployment/web"].Status, common.ResultCodePruned),
		tap.Until(ctx, "what is pruned is gone", func() (bool, error) {
			left := a.cache.FindResources(a.namespace, func(resource *cache.Resource) bool {
				return a.ours(resource) && resource.Ref.Kind != "Pod" // Pods of hooks stay.
			})
			return len(left) == 0, nil
		}),
	)
}

func (a *argo) customKind(ctx context.Context) error {
	known := false
	if err := a.cache.EnsureSynced(); err != nil {
		return err
	}
	for _, resource := range a.cache.GetAPIResources() {
		known = known || resource.GroupKind.Kind == "CustomResourceDefinition"
	}
	if !known {
		return tap.Skip("no CustomResourceDefinitions")
	}
	widgets := func() int {
		return len(a.cache.FindResources(a.namespace, func(resource *cache.Resource) bool { return resource.Ref.Kind == "Widget" }))
	}
	others := strings.ReplaceAll(manifests, "app: web", "app: other")
	results, err := a.sync(ctx, others+definition+object)
	if err != nil {
		return err
	}
	err = tap.First(
		tap.Same("object", results["Widget/one"].Status, common.ResultCodeSynced),
		tap.Until(ctx, "the cache sees the object", func() (bool, error) { return widgets() == 1, nil }),
	)
	if err != nil {
		return err
	}
	if _, err := a.sync(ctx, others+definition, sync.WithPrune(true)); err != nil {
		return err
	}
	if err := tap.Until(ctx, "the object is gone", func() (bool, error) { return widgets() == 0, nil }); err != nil {
		return err
	}
	_, err = a.sync(ctx, others, sync.WithPrune(true))
	return err
}

func main() {
	klog.SetLogger(logr.Discard())
	a := tap.Needs(connect())
	tap.Check("the cache lists and watches every kind", a.start)
	tap.Check("a sync applies on the client's side, in waves", a.first)
	tap.Check("health follows the Deployment", a.healthy)
	tap.Check("differences: three ways, and by the schema of OpenAPI 2", a.difference)
	tap.Check("what others changed: three-way strategic merge", a.threeWay)
	tap.Check("an invalid object is told by its field", a.invalid)
	tap.Check("a sync by server-side apply takes over from the client's side", a.migrate)
	tap.Check("differences by dry runs on the server", a.serverDifference)
	tap.Check("hooks by Pods, one of which fails", a.hooks)
	tap.Check("an immutable field is refused; Replace with Force makes it anew", a.replace)
	tap.Check("the tree of owned resources", a.tree)
	tap.Check("a definition and its object in one sync", a.customKind)
	tap.Check("pruning in the foreground", a.prune)
	tap.Done()
}
