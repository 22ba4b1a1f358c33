// The official JavaScript client: typed and by kind, informer, watch, apply, streams.
import assert from 'node:assert/strict'
import { Readable, Writable } from 'node:stream'
import * as k8s from '@kubernetes/client-node'
import { Skip, check, done, until } from './tap.js'

const namespace = process.env.NAMESPACE
const config = new k8s.KubeConfig()
config.loadFromDefault()
const core = config.makeApiClient(k8s.CoreV1Api)
const apps = config.makeApiClient(k8s.AppsV1Api)
const objects = k8s.KubernetesObjectApi.makeApiClient(config)
const as = (strategy) => k8s.setHeaderOptions('Content-Type', strategy)

const web = (replicas) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'main', image: 'hello-http:v1', ports: [{ containerPort: 8080 }] }] },
    },
  },
})
const configMap = (name, a = '1', labels = {}) => ({
  apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, data: { a },
})
const refused = (code) => (error) => error.code === code
// Collects what a stream is given.
const sink = () => {
  const pieces = []
  const stream = new Writable({ write: (piece, _, next) => { pieces.push(piece); next() } })
  stream.text = () => Buffer.concat(pieces).toString()
  return stream
}
const webPod = async () => {
  const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web', fieldSelector: 'status.phase=Running' })
  return pods.items.find((pod) => !pod.metadata.deletionTimestamp).metadata.name
}
const settled = (replicas) => until(`${replicas} Pods are ready`, async () => {
  const { status } = await apps.readNamespacedDeploymentStatus({ name: 'web', namespace })
  return [status.replicas, status.updatedReplicas, status.readyReplicas].every((n) => n === replicas)
})

await check('version and API groups', async () => {
  assert.match((await config.makeApiClient(k8s.VersionApi).getCode()).gitVersion, /^v1\./)
  const { groups } = await config.makeApiClient(k8s.ApisApi).getAPIVersions()
  assert(groups.some((group) => group.name === 'apps'))
})

await check('a Deployment is created, and its Pods become ready', async () => {
  const made = await apps.createNamespacedDeployment({ namespace, body: web(2) })
  assert(made.metadata.creationTimestamp instanceof Date)
  await settled(2)
})

await check('strategic merge, merge and JSON patches', async () => {
  const named = { name: 'web', namespace }
  const env = [{ name: 'VERSION', value: 'v2' }]
  const strategic = { spec: { template: { spec: { containers: [{ name: 'main', env }] } } } }
  const first = await apps.patchNamespacedDeployment({ ...named, body: strategic }, as(k8s.PatchStrategy.StrategicMergePatch))
  assert.equal(first.spec.template.spec.containers[0].image, 'hello-http:v1')
  const merge = { metadata: { labels: { tier: 'front' } } }
  const second = await apps.patchNamespacedDeployment({ ...named, body: merge }, as(k8s.PatchStrategy.MergePatch))
  assert.equal(second.metadata.labels.tier, 'front')
  const operations = [{ op: 'replace', path: '/spec/replicas', value: 1 }]
  const third = await apps.patchNamespacedDeployment({ ...named, body: operations }, as(k8s.PatchStrategy.JsonPatch))
  assert.equal(third.spec.replicas, 1)
  await settled(1)
})

await check('server-side apply: owners, a conflict, force', async () => {
  const apply = (fieldManager, a, force) => core.patchNamespacedConfigMap(
    { name: 'applied', namespace, body: configMap('applied', a), fieldManager, force }, as(k8s.PatchStrategy.ServerSideApply))
  const first = await apply('one', '1')
  assert.deepEqual(first.metadata.managedFields.map((entry) => [entry.manager, entry.operation]), [['one', 'Apply']])
  assert.equal((await apply('one', '1')).metadata.resourceVersion, first.metadata.resourceVersion)
  await assert.rejects(apply('two', '2'), (error) => error.code === 409 && error.body.includes('conflict with'))
  assert.equal((await apply('two', '2', true)).data.a, '2')
})

await check('objects by their kind: apply, list, replace, delete', async () => {
  const patch = k8s.PatchStrategy.ServerSideApply
  await objects.patch(configMap('by-kind'), undefined, undefined, 'objects', true, patch)
  const read = await objects.read(configMap('by-kind'))
  read.data.a = '2'
  assert.equal((await objects.replace(read)).data.a, '2')
  const all = await objects.list('v1', 'ConfigMap', namespace)
  assert(all.items.some((item) => item.metadata.name === 'by-kind'))
  await objects.delete(configMap('by-kind'))
  await assert.rejects(objects.read(configMap('by-kind')), refused(404))
})

await check('refusals: existing, invalid, strict, dry run', async () => {
  await assert.rejects(core.createNamespacedConfigMap({ namespace, body: configMap('applied') }), refused(409))
  const wrong = web(1)
  wrong.metadata.name = 'wrong'
  wrong.spec.selector.matchLabels = { app: 'other' }
  await assert.rejects(apps.createNamespacedDeployment({ namespace, body: wrong }), refused(422))
  await core.createNamespacedConfigMap({ namespace, body: configMap('dry'), dryRun: 'All' })
  await assert.rejects(core.readNamespacedConfigMap({ name: 'dry', namespace }), refused(404))
})

await check('a list in pages', async () => {
  for (let i = 0; i < 7; i += 1) await core.createNamespacedConfigMap({ namespace, body: configMap(`page-${i}`, '1', { page: 'yes' }) })
  const names = []
  let _continue
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'page=yes', limit: 3, _continue })
    names.push(...page.items.map((item) => item.metadata.name))
    _continue = page.metadata._continue
  } while (_continue)
  assert.deepEqual(names, [0, 1, 2, 3, 4, 5, 6].map((i) => `page-${i}`))
})

await check('a watch', async () => {
  const { metadata } = await core.listNamespacedConfigMap({ namespace })
  const seen = []
  await new Promise((resolve, reject) => {
    const path = `/api/v1/namespaces/${namespace}/configmaps`
    const start = { resourceVersion: metadata.resourceVersion, labelSelector: 'watched=yes', allowWatchBookmarks: true }
    let stop
    const watching = new k8s.Watch(config).watch(path, start, (type, object) => {
      seen.push([type, object.metadata.name])
      if (type === 'ADDED') core.deleteNamespacedConfigMap({ name: 'watched', namespace }).catch(reject)
      if (type === 'DELETED') { stop?.abort(); resolve() }
    }, reject)
    watching.then(async (controller) => {
      stop = controller
      await core.createNamespacedConfigMap({ namespace, body: configMap('watched', '1', { watched: 'yes' }) })
    }).catch(reject)
  })
  assert.deepEqual(seen, [['ADDED', 'watched'], ['DELETED', 'watched']])
})

await check('an informer', async () => {
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'informed=yes' })
  const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list, 'informed=yes')
  const seen = []
  for (const verb of ['add', 'update', 'delete']) informer.on(verb, () => seen.push(verb))
  informer.on('error', (error) => seen.push(error))
  await informer.start()
  await core.createNamespacedConfigMap({ namespace, body: configMap('informed', '1', { informed: 'yes' }) })
  await until('it was added', () => seen.length === 1)
  assert.equal(informer.get('informed', namespace).data.a, '1')
  const body = { data: { a: '2' } }
  await core.patchNamespacedConfigMap({ name: 'informed', namespace, body }, as(k8s.PatchStrategy.MergePatch))
  await until('it was updated', () => seen.length === 2)
  assert.equal(informer.list(namespace)[0].data.a, '2')
  await core.deleteNamespacedConfigMap({ name: 'informed', namespace })
  await until('it was deleted', () => seen.length === 3)
  await informer.stop()
  assert.deepEqual(seen, ['add', 'update', 'delete'])
})

await check("a Pod's log, whole and followed", async () => {
  const containers = [{ name: 'main', image: 'batch:v1', env: [{ name: 'LIMIT', value: '1000' }] }]
  await core.createNamespacedPod({ namespace, body: { metadata: { name: 'batch' }, spec: { restartPolicy: 'Never', containers } } })
  await until('the Pod has ended', async () => (await core.readNamespacedPod({ name: 'batch', namespace })).status.phase === 'Succeeded')
  assert.match(await core.readNamespacedPodLog({ name: 'batch', namespace }), /168 primes below 1000/)
  const log = sink()
  await new k8s.Log(config).log(namespace, 'batch', 'main', log, { follow: true })
  await until('the log is there', () => log.text().includes('168 primes below 1000'))
})

await check('port-forward', async () => {
  const [answer, errors] = [sink(), sink()]
  const asked = new Readable({ read() {} })
  const socket = await new k8s.PortForward(config).portForward(namespace, await webPod(), [8080], answer, errors, asked)
  asked.push('GET / HTTP/1.1\r\nHost: web\r\n\r\n')
  await until('the answer is there', () => answer.text().includes('Hello from web-'))
  assert.equal(errors.text(), '')
  socket.close()
})

await check('port-forward to a port that nobody serves tells it', async () => {
  const [answer, errors] = [sink(), sink()]
  const asked = new Readable({ read() {} })
  const socket = await new k8s.PortForward(config).portForward(namespace, await webPod(), [81], answer, errors, asked)
  asked.push('hello?')
  await until('the error is there', () => errors.text() !== '')
  socket.close()
})

await check('exec: its stream opens, and its status says what a sandbox has not', async () => {
  const status = await new Promise((resolve, reject) => {
    webPod().then((pod) => new k8s.Exec(config).exec(namespace, pod, 'main', ['ls'], sink(), sink(), null, false, resolve)).catch(reject)
  })
  assert.equal(status.status, 'Failure')
  assert.match(status.message, /^exec: /)
})

await check('events and leases', async () => {
  const lease = { metadata: { name: 'one' }, spec: { holderIdentity: 'me', leaseDurationSeconds: 15, renewTime: new k8s.V1MicroTime() } }
  const leases = config.makeApiClient(k8s.CoordinationV1Api)
  await leases.createNamespacedLease({ namespace, body: lease })
  assert.equal((await leases.readNamespacedLease({ name: 'one', namespace })).spec.holderIdentity, 'me')
  const { items } = await config.makeApiClient(k8s.EventsV1Api).listNamespacedEvent({ namespace })
  assert(items.some((event) => event.reason === 'Scheduled' && event.regarding.name === 'batch'))
})

await check("a kind of one's own: definition, objects, status, informer, removal", async () => {
  const { groups } = await config.makeApiClient(k8s.ApisApi).getAPIVersions()
  if (!groups.some((group) => group.name === 'apiextensions.k8s.io')) throw new Skip('no CustomResourceDefinitions')
  const definitions = config.makeApiClient(k8s.ApiextensionsV1Api)
  const custom = config.makeApiClient(k8s.CustomObjectsApi)
  const [group, version, plural] = ['client-node.example.com', 'v1', 'widgets']
  const openAPIV3Schema = {
    type: 'object',
    properties: {
      spec: { type: 'object', properties: { size: { type: 'integer', minimum: 1 }, color: { type: 'string', _default: 'red' } } },
      status: { type: 'object', properties: { ready: { type: 'boolean' } } },
    },
  }
  const name = `${plural}.${group}`
  await definitions.createCustomResourceDefinition({ body: {
    metadata: { name },
    spec: {
      group, scope: 'Namespaced', names: { plural, singular: 'widget', kind: 'Widget' },
      versions: [{ name: version, served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema } }],
    },
  } })
  await until('the definition is established', async () => {
    const { status } = await definitions.readCustomResourceDefinition({ name })
    return status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True')
  })
  const widget = { apiVersion: `${group}/${version}`, kind: 'Widget', metadata: { name: 'one' }, spec: { size: 1 } }
  const made = await custom.createNamespacedCustomObject({ group, version, namespace, plural, body: widget })
  assert.deepEqual(made.spec, { size: 1, color: 'red' })
  const status = { status: { ready: true } }
  const named = { group, version, namespace, plural, name: 'one' }
  await custom.patchNamespacedCustomObjectStatus({ ...named, body: status }, as(k8s.PatchStrategy.MergePatch))
  const list = () => custom.listNamespacedCustomObject({ group, version, namespace, plural })
  const informer = k8s.makeInformer(config, `/apis/${group}/${version}/namespaces/${namespace}/${plural}`, list)
  await informer.start()
  await until('the informer has it', () => informer.get('one', namespace)?.status.ready)
  await informer.stop()
  await definitions.deleteCustomResourceDefinition({ name })
  await assert.rejects(until('reading it fails', async () => { await custom.getNamespacedCustomObject(named) }), refused(404))
})

await check("the in-cluster configuration: a Pod's account, which may what its role says", async () => {
  if (!process.env.KUBERNETES_SERVICE_HOST) throw new Skip("no place for a Pod's files: this takes root")
  const own = new k8s.KubeConfig()
  own.loadFromCluster()
  const pod = own.makeApiClient(k8s.CoreV1Api)
  const review = await own.makeApiClient(k8s.AuthenticationV1Api).createSelfSubjectReview({ body: {} })
  assert.equal(review.status.userInfo.username, `system:serviceaccount:${namespace}:program`)
  assert.ok((await pod.listNamespacedConfigMap({ namespace })).items.length > 0)
  await assert.rejects(pod.listNamespacedSecret({ namespace }), refused(403))
  await assert.rejects(pod.createNamespacedConfigMap({ namespace, body: configMap('of-the-pod') }), refused(403))
})

await check('deletion in the foreground takes what belongs to a Deployment', async () => {
  const left = async () => {
    const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' })
    const sets = await apps.listNamespacedReplicaSet({ namespace })
    return [...pods.items, ...sets.items].map(({ metadata, status }) => {
      const since = metadata.deletionTimestamp ?? 'not deleted'
      return `${metadata.name} (${since}, ${metadata.finalizers ?? 'no finalizers'}, ${status.phase ?? status.replicas})`
    })
  }
  await apps.deleteNamespacedDeployment({ name: 'web', namespace, propagationPolicy: 'Foreground' })
  await until(async () => `it is gone; left are ${await left()}`, async () => (await apps.listNamespacedDeployment({ namespace })).items.length === 0)
  assert.deepEqual(await left(), [])
})

done()
process.exit(0)
