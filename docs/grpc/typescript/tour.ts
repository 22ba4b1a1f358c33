// Drives a cluster over gRPC: connects, pushes a module, applies a Pod, follows it, reads its log, meets errors, deletes.
//
// Usage: npm run tour KUBECONFIG MODULE.wasm (docs/grpc.md says how to generate what is imported here).

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, decodeBinaryHeader, Code, ConnectError, type Client, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { parse } from "yaml";

import {
  ApplyResponse_Outcome, Images, Logs, Objects, ObjectKeySchema, PushRequestSchema, WatchEvent_Type,
  type ObjectKey, type WatchEvent,
} from "./gen/kapelle/api/v1/services_pb.ts";
import { StatusSchema } from "./gen/kapelle/meta/v1/meta_pb.ts";

const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "tour-typescript", labels: { app: "tour" } },
  spec: {
    restartPolicy: "Never",
    containers: [{ name: "main", image: "tour:v1", env: [{ name: "LIMIT", value: "1000" }] }],
  },
};
/** Of the label, whoever applied it first is told. */
const OTHER = { apiVersion: "v1", kind: "Pod", metadata: { name: "tour-typescript", labels: { app: "other" } } };
/** What a broken connection is told as, depending on the moment. */
const BROKEN = [Code.Unavailable, Code.Canceled, Code.Aborted, Code.Unknown];

const KEY = create(ObjectKeySchema, { kind: "Pod", namespace: "default", name: "tour-typescript" });

/** A way to the cluster of a kubeconfig, as its user. */
async function connect(path: string): Promise<Transport> {
  const config = parse(await readFile(path, "utf8"));
  const named = (list: any[], name: string) => list.find((entry) => entry.name === name);
  const { context } = named(config.contexts, config["current-context"]);
  const { cluster } = named(config.clusters, context.cluster);
  const { user } = named(config.users, context.user);
  const pem = (text: string) => Buffer.from(text, "base64");
  return createGrpcTransport({
    baseUrl: cluster.server,
    nodeOptions: {
      ca: pem(cluster["certificate-authority-data"]),
      cert: pem(user["client-certificate-data"]),
      key: pem(user["client-key-data"]),
    },
    pingIntervalMs: 30_000,
  });
}

/** Repeats what changes nothing, while no master answers. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let pause = 100; ; pause *= 2) {
    try {
      return await ask();
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || pause > 1600) throw error;
      await sleep(pause);
    }
  }
}

/** Stores a module in the cluster's registry, in pieces. */
async function push(images: Client<typeof Images>, path: string, repository: string, tag: string): Promise<string> {
  const module = await readFile(path);
  async function* pieces(): AsyncIterable<MessageInitShape<typeof PushRequestSchema>> {
    yield { repository, tag };
    for (let start = 0; start < module.length; start += 1 << 20) {
      yield { data: module.subarray(start, start + (1 << 20)) };
    }
  }
  return (await images.push(pieces())).digest;
}

/** One object's states as they come, for ever: a broken watch goes on where it was. */
async function* follow(objects: Client<typeof Objects>, key: ObjectKey): AsyncIterable<WatchEvent> {
  let seen = ""; // Empty: first what exists, then what changes.
  for (;;) {
    try {
      const { kind, namespace } = key;
      const fieldSelector = `metadata.name=${key.name}`;
      for await (const { events } of objects.watch({
        kind, namespace, fieldSelector, resourceVersion: seen, allowBookmarks: true,
      })) {
        for (const event of events) {
          if (event.type !== WatchEvent_Type.BOOKMARK) yield event;
          seen = event.resourceVersion;
        }
      }
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code === Code.OutOfRange) seen = ""; // So old that the changes since then are forgotten: begin anew.
      else if (!BROKEN.includes(code)) throw error;
    }
    await sleep(200);
  }
}

/** What an error says: its code and text, and of Kubernetes' Status the reason and the wrong fields. */
function told(thrown: unknown) {
  const error = ConnectError.from(thrown);
  console.log(`refused: ${Code[error.code]}: ${error.rawMessage}`);
  const header = error.metadata.get("kapelle-status-bin");
  if (header === null) return;
  const status = fromBinary(StatusSchema, decodeBinaryHeader(header));
  console.log(`  reason ${status.reason}`);
  for (const cause of status.details?.causes ?? []) console.log(`  field ${cause.field}: ${cause.message}`);
}

async function main(kubeconfig: string, module: string) {
  const transport = await connect(kubeconfig);
  const objects = createClient(Objects, transport);

  const digest = await push(createClient(Images, transport), module, "tour", "v1");
  console.log(`pushed: ${digest.split(":")[0]}`);

  // Whoever applies owns what it says; `force: true` would take over what others own.
  const apply = (object: object, fieldManager: string) => {
    const manifest = new TextEncoder().encode(JSON.stringify(object));
    return objects.apply({ manifest, namespace: "default", options: { fieldManager } }, { timeoutMs: 20_000 });
  };
  const applied = await apply(POD, "tour");
  console.log(`applied: ${ApplyResponse_Outcome[applied.outcome]}`);

  for await (const event of follow(objects, KEY)) {
    const phase = event.object?.object.case === "pod" ? event.object.object.value.status?.phase : undefined;
    console.log(`${WatchEvent_Type[event.type]}: ${phase}`);
    if (phase === "Succeeded" || phase === "Failed") break;
  }

  for await (const chunk of createClient(Logs, transport).read({ namespace: "default", pod: KEY.name, follow: true })) {
    process.stdout.write(chunk.data);
  }

  const list = await patiently(() => objects.list({ kind: "Pod", namespace: "default", labelSelector: "app=tour" }));
  for (const { object } of list.items) {
    if (object.case === "pod") console.log(`listed: ${object.value.metadata?.name}`);
  }

  await objects.get({ key: { kind: "Pod", namespace: "default", name: "nobody" } }).catch(told);
  await apply(OTHER, "somebody-else").catch(told);
  await apply({ ...POD, spec: {} }, "tour").catch(told);

  await objects.delete({ key: KEY });
  console.log("deleted");
}

await main(process.argv[2], process.argv[3]);
// The connection is kept for what comes next; here nothing does.
process.exit();
