// Command flux applies manifests with the library of Flux's controllers: a dry run, a comparison, server-side apply in stages,
// kstatus, drift, immutable fields, deletion. Usage: flux, with KUBECONFIG and NAMESPACE.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"

	"kapelle/tests/tools/tap"
)

// What a repository of manifests has.
const manifests = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: NAMESPACE}
data: {version: v1}
---
apiVersion: v1
kind: Secret
metadata: {name: word, namespace: NAMESPACE}
stringData: {word: open}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: NAMESPACE}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NAMESPACE}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web, namespace: NAMESPACE}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
      - name: main
        image: hello-http:v1
        ports: [{containerPort: 8080, name: http}]
        env: [{name: VERSION, valueFrom: {configMapKeyRef: {name: settings, key: version}}}]
        resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 0.0625Gi}}
        readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1}
`

const definitions = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.flux.example.com}
spec:
  group: flux.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, properties: {
      spec: {type: object, properties: {size: {type: integer, default: 1}}},
      status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: flux.example.com/v1
kind: Widget
metadata: {name: one, namespace: NAMESPACE}
spec: {}
`

type flux struct {
	manager   *ssa.ResourceManager
	client    client.Client
	namespace string
}

var patience = ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: 40 * time.Second, FailFast: true}

func connect() (*flux, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 100
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{HTTPClient: http, Mapper: mapper})
	if err != nil {
		return nil, err
	}
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	poller := polling.NewStatusPoller(c, mapper, polling.Options{})
	return &flux{ssa.NewResourceManager(c, poller, owner), c, os.Getenv("NAMESPACE")}, nil
}

func (f *flux) objects(text string) ([]*unstructured.Unstructured, error) {
	objects, err := utils.ReadObjects(strings.NewReader(strings.ReplaceAll(text, "NAMESPACE", f.namespace)))
	if err != nil {
		return nil, err
	}
	f.manager.SetOwnerLabels(objects, "web", "flux-system")
	return objects, normalize.UnstructuredList(objects)
}

// actions says what became of how many objects.
func (f *flux) apply(ctx context.Context, text string, options ssa.ApplyOptions) (map[ssa.Action]int, error) {
	objects, err := f.objects(text)
	if err != nil {
		return nil, err
	}
	changes, err := f.manager.ApplyAll(ctx, objects, options)
	if err != nil {
		return nil, err
	}
	actions := map[ssa.Action]int{}
	for _, entry := range changes.Entries {
		actions[entry.Action]++
	}
	return actions, nil
}

func (f *flux) get(ctx context.Context, kind schema.GroupVersionKind, name string) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object, f.client.Get(ctx, types.NamespacedName{Namespace: f.namespace, Name: name}, object)
}

var deployment = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

func expect(actions map[ssa.Action]int, err error, wanted map[ssa.Action]int) error {
	return tap.First(err, tap.Same("actions", fmt.Sprint(actions), fmt.Sprint(wanted)))
}

func (f *flux) first(ctx context.Context) error {
	actions, err := f.apply(ctx, manifests, ssa.DefaultApplyOptions())
	return expect(actions, err, map[ssa.Action]int{ssa.CreatedAction: 6})
}

func (f *flux) wait(context.Context) error {
	objects, err := f.objects(manifests)
	return tap.First(err, f.manager.Wait(objects, patience))
}

func (f *flux) again(ctx context.Context) error {
	for range 3 {
		actions, err := f.apply(ctx, manifests, ssa.DefaultApplyOptions())
		if err := expect(actions, err, map[ssa.Action]int{ssa.UnchangedAction: 6}); err != nil {
			return err
		}
	}
	return nil
}

func (f *flux) change(ctx context.Context) error {
	changed := strings.ReplaceAll(manifests, "replicas: 2", "replicas: 3")
	actions, err := f.apply(ctx, changed, ssa.DefaultApplyOptions())
	return expect(actions, err, map[ssa.Action]int{ssa.ConfiguredAction: 1, ssa.UnchangedAction: 5})
}

func (f *flux) drift(ctx context.Context) error {
	live, err := f.get(ctx, deployment, "web")
	if err != nil {
		return err
	}
	strange := client.MergeFrom(live.DeepCopy())
	live.SetLabels(map[string]string{"app.kubernetes.io/strange": "yes"})
	if err := unstructured.SetNestedField(live.Object, int64(5), "spec", "replicas"); err != nil {
		return err
	}
	if err := f.client.Patch(ctx, live, strange, client.FieldOwner("kubectl-edit")); err != nil {
		return err
	}
	objects, err := f.objects(manifests)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		entry, _, _, err := f.manager.Diff(ctx, object, ssa.DefaultDiffOptions())
		if err := tap.First(err, tap.Same("difference", entry.Action, ssa.ConfiguredAction)); err != nil {
			return err
		}
	}
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{FieldManagers: []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
	}}
	actions, err := f.apply(ctx, manifests, options)
	if err := expect(actions, err, map[ssa.Action]int{ssa.ConfiguredAction: 1, ssa.UnchangedAction: 5}); err != nil {
		return err
	}
	mended, err := f.get(ctx, deployment, "web")
	if err != nil {
		return err
	}
	replicas, _, err := unstructured.NestedInt64(mended.Object, "spec", "replicas")
	return tap.First(err, tap.Same("replicas", replicas, 2), tap.Same("strange label", mended.GetLabels()["app.kubernetes.io/strange"], ""))
}

func (f *flux) immutable(ctx context.Context) error {
	other := strings.ReplaceAll(manifests, "app: web", "app: other")
	_, err := f.apply(ctx, other, ssa.DefaultApplyOptions())
	if err := tap.That(err != nil && strings.Contains(err.Error(), "field is immutable"), "the refusal is %v", err); err != nil {
		return err
	}
	options := ssa.DefaultApplyOptions()
	options.Force, options.WaitInterval = true, 100*time.Millisecond
	actions, err := f.apply(ctx, other, options)
	if err != nil {
		return err
	}
	return tap.First(tap.Same("created anew", actions[ssa.CreatedAction], 1), f.waitFor(other))
}

func (f *flux) waitFor(text string) error {
	objects, err := f.objects(text)
	return tap.First(err, f.manager.Wait(objects, patience))
}

func (f *flux) fails(ctx context.Context) error {
	bad := `{apiVersion: v1, kind: Pod, metadata: {name: bad, namespace: NAMESPACE}, spec: {
  containers: [{name: main, image: "batch:v1", env: [{name: EXIT_CODE, value: "3"}]}]}}`
	if _, err := f.apply(ctx, bad, ssa.DefaultApplyOptions()); err != nil {
		return err
	}
	err := f.waitFor(bad)
	return tap.That(err != nil && strings.Contains(err.Error(), "Failed"), "the Pod that crashes is told as %v", err)
}

func (f *flux) invalid(ctx context.Context) error {
	_, err := f.apply(ctx, strings.ReplaceAll(manifests, "port: 80,", "port: 80000,"), ssa.DefaultApplyOptions())
	return tap.That(err != nil && strings.Contains(err.Error(), "spec.ports[0].port"), "the refusal is %v", err)
}

func (f *flux) kstatus(ctx context.Context) error {
	live, err := f.get(ctx, deployment, "web")
	if err != nil {
		return err
	}
	result, err := status.Compute(live)
	return tap.First(err, tap.Same("status", result.Status, status.CurrentStatus))
}

func (f *flux) staged(ctx context.Context) error {
	group := schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
	if _, err := f.client.RESTMapper().RESTMapping(group); meta.IsNoMatchError(err) {
		return tap.Skip("no CustomResourceDefinitions")
	}
	objects, err := f.objects(definitions)
	if err != nil {
		return err
	}
	for _, wanted := range []ssa.Action{ssa.CreatedAction, ssa.UnchangedAction} {
		changes, err := f.manager.ApplyAllStaged(ctx, objects, ssa.DefaultApplyOptions())
		if err != nil {
			return err
		}
		for _, entry := range changes.Entries {
			if err := tap.Same(entry.Subject, entry.Action, wanted); err != nil {
				return err
			}
		}
	}
	if err := f.manager.Wait(objects, patience); err != nil {
		return err
	}
	_, err = f.manager.DeleteAll(ctx, objects, ssa.DefaultDeleteOptions())
	return tap.First(err, f.manager.WaitForTermination(objects, patience))
}

func (f *flux) remove(ctx context.Context) error {
	objects, err := f.objects(manifests)
	if err != nil {
		return err
	}
	changes, err := f.manager.DeleteAll(ctx, objects, ssa.DefaultDeleteOptions())
	if err != nil {
		return err
	}
	for _, entry := range changes.Entries {
		if err := tap.Same(entry.Subject, entry.Action, ssa.DeletedAction); err != nil {
			return err
		}
	}
	return f.manager.WaitForTermination(objects, patience)
}

func main() {
	log.SetLogger(logr.Discard())
	f := tap.Needs(connect())
	tap.Check("everything is created, each after a dry run", f.first)
	tap.Check("kstatus waits until everything is current", f.wait)
	tap.Check("applied again nothing changes, three times", f.again)
	tap.Check("a change configures what changed alone", f.change)
	tap.Check("drift is seen, taken back, and other managers are removed", f.drift)
	tap.Check("an immutable field is refused, and made anew by force", f.immutable)
	tap.Check("a Pod that crashes again and again is told", f.fails)
	tap.Check("an invalid object is refused before anything is applied", f.invalid)
	tap.Check("kstatus computes the status of a Deployment", f.kstatus)
	tap.Check("a definition and its objects in stages", f.staged)
	tap.Check("deletion, until everything is gone", f.remove)
	tap.Done()
}
