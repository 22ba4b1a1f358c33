"""The official Python client: typed and dynamic, watching, applying, streaming."""

import os
import queue
import threading

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

from tap import Skip, check, done, same, until

NAMESPACE = os.environ["NAMESPACE"]
config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
api = client.ApiClient()


def deployment(name, replicas=2):
    labels = {"app": name}
    port = client.V1ContainerPort(container_port=8080, name="http")
    probe = client.V1Probe(http_get=client.V1HTTPGetAction(path="/healthz", port="http"), period_seconds=1)
    main = client.V1Container(name="main", image="hello-http:v1", ports=[port], readiness_probe=probe)
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[main]))
    selector = client.V1LabelSelector(match_labels=labels)
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1DeploymentSpec(replicas=replicas, selector=selector, template=template))


def config_map(name, data=None, labels=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data or {"a": "1"})


def refused(status, call):
    try:
        call()
    except ApiException as error:
        same(error.status, status)
        return error
    raise AssertionError(f"nothing was refused, {status} was expected")


def ready(name, replicas):
    def look():
        status = apps.read_namespaced_deployment_status(name, NAMESPACE).status
        return (status.replicas, status.ready_replicas, status.updated_replicas) == (replicas,) * 3

    until(f"deployment {name} has {replicas} ready Pods", look)


@check("version, API groups and resources")
def _():
    assert client.VersionApi().get_code().git_version
    assert "apps" in [group.name for group in client.ApisApi().get_api_versions().groups]
    assert "pods/log" in [resource.name for resource in core.get_api_resources().resources]


@check("a Deployment is created, and its Pods become ready")
def _():
    made = apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    same(made.spec.strategy.type, "RollingUpdate")
    ready("web", 2)
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=web", field_selector="status.phase=Running").items
    same(len(pods), 2)


@check("strategic merge patch, JSON patch and merge patch")
def _():
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "VERSION", "value": "v2"}]}]}}}}
    container = apps.patch_namespaced_deployment("web", NAMESPACE, patch).spec.template.spec.containers[0]
    same((container.image, container.env[0].value), ("hello-http:v1", "v2"))
    by_list = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    same(apps.patch_namespaced_deployment("web", NAMESPACE, by_list).spec.replicas, 3)
    merged = apps.patch_namespaced_deployment(
        "web", NAMESPACE, {"metadata": {"labels": {"tier": "front"}}}, _content_type="application/merge-patch+json")
    same(merged.metadata.labels, {"app": "web", "tier": "front"})
    ready("web", 3)


@check("the subresource scale")
def _():
    def one():
        scale = apps.read_namespaced_deployment_scale("web", NAMESPACE)
        scale.spec.replicas = 1
        return apps.replace_namespaced_deployment_scale("web", NAMESPACE, scale)

    same(utils.retry_on_conflict(one).spec.replicas, 1)
    ready("web", 1)


@check("replace with an old resourceVersion is a conflict")
def _():
    first = core.create_namespaced_config_map(NAMESPACE, config_map("old"))
    first.data = {"a": "2"}
    core.replace_namespaced_config_map("old", NAMESPACE, first)
    refused(409, lambda: core.replace_namespaced_config_map("old", NAMESPACE, first))


@check("refusals carry a Status: missing, existing, invalid")
def _():
    assert '"reason":"NotFound"' in refused(404, lambda: core.read_namespaced_pod("nobody", NAMESPACE)).body.replace(" ", "")
    refused(409, lambda: core.create_namespaced_config_map(NAMESPACE, config_map("old")))
    wrong = deployment("wrong")
    wrong.spec.selector.match_labels = {"app": "other"}
    assert "spec.template.metadata.labels" in refused(422, lambda: apps.create_namespaced_deployment(NAMESPACE, wrong)).body


@check("dry run stores nothing; unknown fields are refused strictly")
def _():
    core.create_namespaced_config_map(NAMESPACE, config_map("dry"), dry_run="All")
    refused(404, lambda: core.read_namespaced_config_map("dry", NAMESPACE))
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dry"}, "dat": {"a": "1"}}
    strict = [("fieldValidation", "Strict")]
    error = refused(400, lambda: maps.create(body=body, namespace=NAMESPACE, query_params=strict))
    assert 'unknown field "dat"' in error.body.replace("\\", ""), error.body


@check("a list in pages")
def _():
    for i in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{i}", labels={"page": "yes"}))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="page=yes", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    same(names, [f"page-{i}" for i in range(7)])


@check("a watch shows changes from a version on")
def _():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, config_map("seen"))
    core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("seen", NAMESPACE)
    seen = []
    for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=10):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            break
    same(seen, [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")])


@check("a watch that begins with what there is")
def _():
    kinds = []
    for event in watch.Watch().stream(
            core.list_namespaced_config_map, NAMESPACE, label_selector="page=yes", send_initial_events=True,
            resource_version_match="NotOlderThan", allow_watch_bookmarks=True, timeout_seconds=10):
        kinds.append(event["type"])
        if event["type"] == "BOOKMARK":
            break
    same(kinds, ["ADDED"] * 7 + ["BOOKMARK"])


@check("a shared informer")
def _():
    events = queue.Queue()
    informer = SharedInformer(core.list_namespaced_config_map, namespace=NAMESPACE, label_selector="informed=yes")
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, lambda object, kind=kind: events.put(kind))
    informer.start()
    core.create_namespaced_config_map(NAMESPACE, config_map("informed", labels={"informed": "yes"}))
    same(events.get(timeout=20), "ADDED")
    same(len(informer.cache.list()), 1)
    core.patch_namespaced_config_map("informed", NAMESPACE, {"data": {"a": "2"}})
    same(events.get(timeout=20), "MODIFIED")
    core.delete_namespaced_config_map("informed", NAMESPACE)
    same(events.get(timeout=20), "DELETED")
    informer.stop()


@check("server-side apply: owners, a conflict, force")
def _():
    def apply(manager, value, force=None):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": value}}
        return core.patch_namespaced_config_map(
            "applied", NAMESPACE, body, field_manager=manager, force=force, _content_type="application/apply-patch+yaml")

    first = apply("one", "1")
    same([(entry.manager, entry.operation) for entry in first.metadata.managed_fields], [("one", "Apply")])
    same(apply("one", "1").metadata.resource_version, first.metadata.resource_version)
    assert 'conflict with \\"one\\"' in refused(409, lambda: apply("two", "2")).body
    same(apply("two", "2", force=True).data, {"a": "2"})
    same(apply("two", "2").metadata.managed_fields[0].manager, "two")


@check("the dynamic client: discovery, apply, watch")
def _():
    every = dynamic.DynamicClient(api)
    maps = every.resources.get(api_version="v1", kind="ConfigMap")
    same(every.resources.get(api_version="apps/v1", kind="Deployment").name, "deployments")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    maps.server_side_apply(body=body, namespace=NAMESPACE, field_manager="dynamic")
    start = maps.get(name="dynamic", namespace=NAMESPACE).metadata.resourceVersion
    maps.patch(body={"data": {"b": "2"}}, name="dynamic", namespace=NAMESPACE, content_type="application/merge-patch+json")
    for event in maps.watch(namespace=NAMESPACE, name="dynamic", resource_version=start, timeout=10):
        same((event["type"], event["object"].data.b), ("MODIFIED", "2"))
        break
    maps.delete(name="dynamic", namespace=NAMESPACE)


@check("create_from_yaml: several documents at once")
def _():
    text = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {word: open}
"""
    utils.create_from_yaml(api, yaml_objects=list(yaml.safe_load_all(text)), namespace=NAMESPACE)
    same(core.read_namespaced_secret("word", NAMESPACE).data, {"word": "b3Blbg=="})
    assert core.read_namespaced_service("web", NAMESPACE).spec.cluster_ip


def web_pod():
    return core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items[0].metadata.name


@check("a Pod's log, whole and followed")
def _():
    main = client.V1Container(name="main", image="batch:v1", env=[client.V1EnvVar(name="LIMIT", value="1000")])
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="batch"), spec=client.V1PodSpec(containers=[main], restart_policy="Never"))
    core.create_namespaced_pod(NAMESPACE, pod)
    until("the Pod has ended", lambda: core.read_namespaced_pod("batch", NAMESPACE).status.phase == "Succeeded")
    assert "168 primes below 1000" in core.read_namespaced_pod_log("batch", NAMESPACE)
    lines = list(watch.Watch().stream(core.read_namespaced_pod_log, "batch", NAMESPACE, follow=True))
    assert "168 primes below 1000" in lines, lines


@check("port-forward")
def _():
    forward = portforward(core.connect_get_namespaced_pod_portforward, web_pod(), NAMESPACE, ports="8080")
    connection = forward.socket(8080)
    connection.settimeout(10)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200") and b"Hello from web-" in answer, answer
    same(forward.error(8080), None)


@check("a Pod and a Service through the API's proxy")
def _():
    assert "Hello from" in core.connect_get_namespaced_pod_proxy_with_path(f"{web_pod()}:8080", NAMESPACE, "")
    assert "Hello from" in core.connect_get_namespaced_service_proxy_with_path("web:80", NAMESPACE, "")


@check("exec: its stream opens, and its error channel says what a sandbox has not")
def _():
    opened = stream(
        core.connect_get_namespaced_pod_exec, web_pod(), NAMESPACE, command=["ls"], stdout=True, stderr=True, _preload_content=False)
    opened.run_forever(timeout=10)
    said = yaml.safe_load(opened.read_channel(3))
    same((said["status"], opened.is_open()), ("Failure", False))
    assert said["message"].startswith("exec: "), said


@check("eviction")
def _():
    name = web_pod()
    core.create_namespaced_pod_eviction(
        name, NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=NAMESPACE)))
    until("another Pod is ready", lambda: web_pod() != name)
    ready("web", 1)


@check("leader election by a Lease")
def _():
    led = queue.Queue()

    def candidate(name):
        def started():
            led.put(name)

        lock = LeaseLock("leader", NAMESPACE, name)
        terms = electionconfig.Config(
            lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=started, onstopped_leading=lambda: None)
        threading.Thread(target=leaderelection.LeaderElection(terms).run, daemon=True).start()

    candidate("one")
    same(led.get(timeout=20), "one")
    leases = client.CoordinationV1Api()
    same(leases.read_namespaced_lease("leader", NAMESPACE).spec.holder_identity, "one")


@check("SelfSubjectAccessReview")
def _():
    asked = client.V1ResourceAttributes(namespace=NAMESPACE, verb="delete", resource="pods")
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
    assert client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed


@check("events of both APIs are one")
def _():
    recorded = client.EventsV1Event(
        metadata=client.V1ObjectMeta(name="told"), event_time="2026-01-01T00:00:00.000000Z", action="Tell", reason="Told",
        note="by the Python client", type="Normal", reporting_controller="tests/tools", reporting_instance="one",
        regarding=client.V1ObjectReference(kind="ConfigMap", name="old", namespace=NAMESPACE))
    client.EventsV1Api().create_namespaced_event(NAMESPACE, recorded)
    same(core.read_namespaced_event("told", NAMESPACE).message, "by the Python client")


def served(group):
    return group in [g.name for g in client.ApisApi().get_api_versions().groups]


WIDGET = {
    "metadata": {"name": "widgets.python.example.com"},
    "spec": {
        "group": "python.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [{
            "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}}},
                "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}}}}},
        }],
    },
}


@check("a kind of one's own: definition, objects, status, watch, removal")
def _():
    if not served("apiextensions.k8s.io"):
        raise Skip("no CustomResourceDefinitions")
    definitions, custom = client.ApiextensionsV1Api(), client.CustomObjectsApi()
    definitions.create_custom_resource_definition(WIDGET)
    where = ("python.example.com", "v1", NAMESPACE, "widgets")

    def established():
        status = definitions.read_custom_resource_definition(WIDGET["metadata"]["name"]).status
        return status and any(c.type == "Established" and c.status == "True" for c in status.conditions or [])

    until("the definition is established", established)
    body = {"apiVersion": "python.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1, "other": 2}}
    made = custom.create_namespaced_custom_object(*where, body)
    same(made["spec"], {"size": 1, "color": "red"})
    body["spec"] = {"size": 0}
    body["metadata"] = {"name": "two"}
    assert "spec.size" in refused(422, lambda: custom.create_namespaced_custom_object(*where, body)).body
    custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"ready": True}})
    same(custom.get_namespaced_custom_object(*where, "one")["status"], {"ready": True})
    for event in watch.Watch().stream(custom.list_namespaced_custom_object, *where, timeout_seconds=10):
        same((event["type"], event["object"]["metadata"]["name"]), ("ADDED", "one"))
        break
    definitions.delete_custom_resource_definition(WIDGET["metadata"]["name"])
    until("objects of the kind are gone", lambda: not served("python.example.com"))


@check("the in-cluster configuration: a Pod's account, which may what its role says")
def _():
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise Skip("no place for a Pod's files: this takes root")
    own = client.Configuration()
    config.load_incluster_config(client_configuration=own)
    pod = client.CoreV1Api(client.ApiClient(own))
    who = client.AuthenticationV1Api(client.ApiClient(own)).create_self_subject_review({})
    same(who.status.user_info.username, f"system:serviceaccount:{NAMESPACE}:program")
    assert pod.list_namespaced_config_map(NAMESPACE).items
    refused(403, lambda: pod.list_namespaced_secret(NAMESPACE))
    refused(403, lambda: pod.create_namespaced_config_map(NAMESPACE, config_map("of-the-pod")))


@check("Foreground deletion takes what belongs to a Deployment")
def _():
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    until("its Pods are gone", lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items)
    until("it is gone", lambda: not apps.list_namespaced_deployment(NAMESPACE).items)


done()
