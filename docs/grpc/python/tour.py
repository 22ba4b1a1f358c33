"""Drives a cluster over gRPC: connects, pushes a module, applies a Pod, follows it, reads its log, meets errors, deletes.

Usage: python tour.py KUBECONFIG MODULE.wasm (docs/grpc.md says how to generate what is imported here).
"""

import base64
import json
import sys
import time

import grpc
import yaml
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from kapelle.api.v1 import services_pb2 as api
from kapelle.api.v1 import services_pb2_grpc as services

# What gRPC itself repeats: requests that change nothing, while no master answers.
RETRIES = json.dumps({"methodConfig": [{
    "name": [{"service": "kapelle.api.v1.Objects", "method": method} for method in ("Get", "List", "Watch")],
    "waitForReady": True,
    "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    },
}]})

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "tour-python", "labels": {"app": "tour"}},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "tour:v1", "env": [{"name": "LIMIT", "value": "1000"}]}],
    },
}
# Of the label, whoever applied it first is told.
OTHER = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tour-python", "labels": {"app": "other"}}}
KEY = api.ObjectKey(kind="Pod", namespace="default", name="tour-python")


def connect(path):
    """A channel to the cluster of a kubeconfig, as its user."""
    with open(path, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    credentials = grpc.ssl_channel_credentials(
        root_certificates=base64.b64decode(cluster["certificate-authority-data"]),
        private_key=base64.b64decode(user["client-key-data"]),
        certificate_chain=base64.b64decode(user["client-certificate-data"]),
    )
    options = [("grpc.service_config", RETRIES), ("grpc.keepalive_time_ms", 30_000)]
    return grpc.secure_channel(cluster["server"].removeprefix("https://"), credentials, options)


def push(images, path, repository, tag):
    """Stores a module in the cluster's registry, in pieces."""
    def pieces():
        with open(path, "rb") as file:
            yield api.PushRequest(repository=repository, tag=tag)
            while data := file.read(1 << 20):
                yield api.PushRequest(data=data)
    return images.Push(pieces(), timeout=60).digest


def follow(objects, key):
    """One object's states as they come, for ever: a broken watch goes on where it was."""
    def asked(resource_version):
        return api.WatchRequest(
            kind=key.kind,
            namespace=key.namespace,
            field_selector=f"metadata.name={key.name}",
            resource_version=resource_version,
            allow_bookmarks=True,
        )

    seen = ""  # Empty: first what exists, then what changes.
    while True:
        try:
            for response in objects.Watch(asked(seen)):
                for event in response.events:
                    if event.type != api.WatchEvent.BOOKMARK:
                        yield event.type, event.object.pod
                    seen = event.resource_version
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.OUT_OF_RANGE:
                seen = ""  # So old that the changes since then are forgotten: begin anew.
            elif error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN):
                raise
        time.sleep(0.2)


def told(error):
    """What an error says: its code and text, and of the details the reason and the wrong fields."""
    print(f"refused: {error.code().name}: {error.details()}")
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, wrong, unmet = (
            error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure())
        if detail.Unpack(info):
            print(f"  reason {info.reason}")
        elif detail.Unpack(wrong):
            for violation in wrong.field_violations:
                print(f"  field {violation.field}: {violation.description}")
        elif detail.Unpack(unmet):
            for violation in unmet.violations:
                print(f"  field {violation.subject}: {violation.description}")


def main(kubeconfig, module):
    with connect(kubeconfig) as channel:
        objects = services.ObjectsStub(channel)
        digest = push(services.ImagesStub(channel), module, "tour", "v1")
        print(f"pushed: {digest.split(':')[0]}")

        def apply(manifest, manager):
            # Whoever applies owns what it says; `force=True` would take over what others own.
            options = api.WriteOptions(field_manager=manager)
            text = json.dumps(manifest).encode()
            return objects.Apply(api.ApplyRequest(manifest=text, namespace="default", options=options), timeout=20)

        applied = apply(POD, "tour")
        print(f"applied: {api.ApplyResponse.Outcome.Name(applied.outcome)}")

        for kind, pod in follow(objects, KEY):
            print(f"{api.WatchEvent.Type.Name(kind)}: {pod.status.phase}")
            if pod.status.phase in ("Succeeded", "Failed"):
                break

        log = services.LogsStub(channel).Read(api.LogRequest(namespace="default", pod="tour-python", follow=True))
        print(b"".join(chunk.data for chunk in log).decode(), end="")

        for page in objects.List(api.ListRequest(kind="Pod", namespace="default", label_selector="app=tour")).items:
            print(f"listed: {page.pod.metadata.name}")

        for refused in (
            lambda: objects.Get(api.GetRequest(key=api.ObjectKey(kind="Pod", namespace="default", name="nobody"))),
            lambda: apply(OTHER, "somebody-else"),
            lambda: apply(POD | {"spec": {}}, "tour"),
        ):
            try:
                refused()
            except grpc.RpcError as error:
                told(error)

        objects.Delete(api.DeleteRequest(key=KEY), timeout=20)
        print("deleted")


if __name__ == "__main__":
    main(*sys.argv[1:])
