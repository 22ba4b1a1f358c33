"""kopf: an operator with handlers for changes and fields, finalizers, children, retries, timers, daemons and Events."""

import os
import queue
import threading

import kopf
from kubernetes import client, config

from tap import Skip, check, done, same, until

NAMESPACE = os.environ["NAMESPACE"]
FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"
config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
handled = {name: queue.Queue() for name in ("create", "update", "field", "delete", "retry", "timer", "daemon", "event", "widget")}
labels = {"operated": "yes"}


@kopf.on.startup()
def tune(settings, **_):
    settings.posting.enabled = True
    settings.watching.server_timeout = 60


@kopf.on.create("configmaps", labels=labels)
def create(body, name, **_):
    child = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": body["data"]["image"]}]}},
        },
    }
    kopf.adopt(child)
    apps.create_namespaced_deployment(NAMESPACE, child)
    kopf.info(body, reason="Made", message="its Deployment is there")
    handled["create"].put(name)
    return {"made": name}


@kopf.on.update("configmaps", labels=labels)
def update(diff, **_):
    handled["update"].put(diff)


@kopf.on.field("configmaps", labels=labels, field="data.size")
def field(old, new, **_):
    handled["field"].put((old, new))


@kopf.on.delete("configmaps", labels=labels)
def delete(name, **_):
    handled["delete"].put(name)


@kopf.on.create("secrets", labels=labels)
def stubborn(retry, **_):
    if retry < 2:
        raise kopf.TemporaryError("not yet", delay=0.2)
    handled["retry"].put(retry)


@kopf.timer("secrets", labels=labels, interval=0.3)
def timer(name, **_):
    handled["timer"].put(name)


@kopf.daemon("secrets", labels=labels, cancellation_timeout=5)
async def daemon(stopped, **_):
    handled["daemon"].put("started")
    await stopped.wait()
    handled["daemon"].put("stopped")


@kopf.on.event("", "v1", "pods", labels={"app": "operated"})
def event(type, **_):
    handled["event"].put(type)


@kopf.on.create("kopf.example.com", "v1", "widgets")
def widget(spec, patch, **_):
    patch.status["size"] = spec["size"]
    handled["widget"].put(spec["size"])


ready, stop, ended = threading.Event(), threading.Event(), queue.Queue()


def operate():
    try:
        ended.put(kopf.run(standalone=True, namespaces=[NAMESPACE], ready_flag=ready, stop_flag=stop))
    except BaseException as error:
        ended.put(error)


operator = threading.Thread(target=operate, daemon=True)


def config_map():
    return core.read_namespaced_config_map("operated", NAMESPACE)


@check("the operator starts and watches")
def _():
    operator.start()
    assert ready.wait(30), "it was not ready within 30 s"


@check("a handler for creation runs, and its finalizer is there")
def _():
    core.create_namespaced_config_map(NAMESPACE, {
        "metadata": {"name": "operated", "labels": labels}, "data": {"image": "hello-http:v1", "size": "1"}})
    same(handled["create"].get(timeout=20), "operated")
    until("the finalizer is there", lambda: FINALIZER in (config_map().metadata.finalizers or []))


@check("its last state is kept in an annotation")
def _():
    until("the annotation is there",
          lambda: "kopf.zalando.org/last-handled-configuration" in (config_map().metadata.annotations or {}))


@check("the child is owned, and runs")
def _():
    owner = apps.read_namespaced_deployment("operated", NAMESPACE).metadata.owner_references[0]
    same((owner.kind, owner.name, owner.controller), ("ConfigMap", "operated", True))
    until("its Pod is ready", lambda: apps.read_namespaced_deployment("operated", NAMESPACE).status.ready_replicas == 1)


@check("an Event that a handler posts is of its object")
def _():
    def look():
        events = core.list_namespaced_event(NAMESPACE, field_selector="involvedObject.name=operated").items
        return ("Made", "its Deployment is there") in [(event.reason, event.message) for event in events]

    until("the Event is there", look)


@check("raw events of Pods")
def _():
    assert handled["event"].get(timeout=20) in (None, "ADDED")


@check("handlers for changes and for one field get old and new")
def _():
    # The field was new once.
    same(handled["field"].get(timeout=20), (None, "1"))
    core.patch_namespaced_config_map("operated", NAMESPACE, {"data": {"size": "2"}})
    same(handled["field"].get(timeout=20), ("1", "2"))
    same([tuple(change) for change in handled["update"].get(timeout=20)], [("change", ("data", "size"), "1", "2")])


@check("what fails for a time is tried again")
def _():
    core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "stubborn", "labels": labels}})
    same(handled["retry"].get(timeout=20), 2)


@check("a timer, and a daemon that ends with its object")
def _():
    for _ in range(2):
        same(handled["timer"].get(timeout=20), "stubborn")
    same(handled["daemon"].get(timeout=20), "started")
    core.delete_namespaced_secret("stubborn", NAMESPACE)
    same(handled["daemon"].get(timeout=20), "stopped")
    until("the Secret is gone", lambda: not core.list_namespaced_secret(NAMESPACE, label_selector="operated=yes").items)


@check("deletion waits for its handler, and takes the child along")
def _():
    core.delete_namespaced_config_map("operated", NAMESPACE)
    same(handled["delete"].get(timeout=20), "operated")
    until("the object is gone", lambda: not core.list_namespaced_config_map(NAMESPACE, label_selector="operated=yes").items)
    until("the child is gone", lambda: not apps.list_namespaced_deployment(NAMESPACE).items)


WIDGET = {
    "metadata": {"name": "widgets.kopf.example.com"},
    "spec": {
        "group": "kopf.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}},
        }],
    },
}


@check("a kind of one's own, defined while the operator runs")
def _():
    if "apiextensions.k8s.io" not in [group.name for group in client.ApisApi().get_api_versions().groups]:
        raise Skip("no CustomResourceDefinitions")
    definitions, custom = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    definitions.create_custom_resource_definition(WIDGET)
    where = ("kopf.example.com", "v1", NAMESPACE, "widgets")
    body = {"apiVersion": "kopf.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}

    def established():
        status = definitions.read_custom_resource_definition(WIDGET["metadata"]["name"]).status
        return status and any(c.type == "Established" and c.status == "True" for c in status.conditions or [])

    until("the definition is established", established)
    custom.create_namespaced_custom_object(*where, body)
    same(handled["widget"].get(timeout=20), 3)
    until("its status is written", lambda: custom.get_namespaced_custom_object(*where, "one").get("status", {}).get("size") == 3)
    definitions.delete_custom_resource_definition(WIDGET["metadata"]["name"])


@check("the operator stops when it is told to")
def _():
    stop.set()
    same(ended.get(timeout=20), None)


done()
