// Command client-go uses the library that nearly every tool of Kubernetes stands on: typed clients (protobuf), dynamic ones (JSON,
// or CBOR if the environment says so), metadata, informers, leader election, server-side apply, Events, streams, and kinds of one's own.
//
// Usage: client-go, with KUBECONFIG and NAMESPACE.
package main

import (
	"os"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kapelle/tests/tools/tap"
)

// A cluster, and the namespace in which everything happens.
type cluster struct {
	config    *rest.Config
	typed     kubernetes.Interface
	dynamic   dynamic.Interface
	namespace string
	warnings  *warnings
}

func connect() (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	said := &warnings{}
	config.WarningHandlerWithContext = said
	// Programs that work at once, as these do, ask for more than five requests a second.
	config.QPS, config.Burst = 100, 100
	typed, err := kubernetes.NewForConfig(protobuf(config))
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &cluster{config, typed, untyped, os.Getenv("NAMESPACE"), said}, nil
}

func protobuf(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return config
}

func main() {
	c := tap.Needs(connect())
	tap.Check("discovery, preferred kinds, OpenAPI 2 and 3", c.discovery)
	tap.Check("a Deployment by the typed client, in protobuf", c.deployment)
	tap.Check("retries on conflict", c.conflict)
	tap.Check("patches, and a dry run", c.patches)
	tap.Check("server-side apply by typed configurations: owners, a conflict, force, extract", c.apply)
	tap.Check("what was applied on the client's side moves to the server's", c.migrate)
	tap.Check("the dynamic client: create, apply, status, watch", c.untyped)
	tap.Check("metadata alone: get, list, watch", c.metadata)
	tap.Check("the polymorphic scale client", c.scale)
	tap.Check("a list in pages", c.pages)
	tap.Check("deletion of a collection", c.collection)
	tap.Check("Warnings reach the client", c.warned)
	tap.Check("an informer that streams the list, and its indices", c.informer)
	tap.Check("an informer that lists and watches", c.plainInformer)
	tap.Check("a dynamic informer", c.dynamicInformer)
	tap.Check("a watch that is taken up again", c.retryWatch)
	tap.Check("leader election: the second leads when the first lets go", c.election)
	tap.Check("Events of both recorders", c.events)
	tap.Check("logs, whole and followed", c.logs)
	tap.Check("port-forward over SPDY", c.forwardSpdy)
	tap.Check("port-forward over SPDY in a WebSocket", c.forwardTunnel)
	tap.Check("exec over a WebSocket and over SPDY: the error says what a sandbox has not", c.exec)
	tap.Check("a Service through the API's proxy", c.proxy)
	tap.Check("eviction", c.evict)
	tap.Check("access reviews", c.reviews)
	tap.Check("the in-cluster configuration: a Pod's account, which may what its role says", c.inCluster)
	tap.Check("a kind of one's own: definition, objects, status, scale, removal", c.custom)
	tap.Check("a ValidatingAdmissionPolicy with a binding", c.policy)
	tap.Check("APIServices of the API itself", c.apiServices)
	tap.Check("deletion in the foreground", c.foreground)
	tap.Done()
}
