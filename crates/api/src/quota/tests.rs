//! What is counted, what is charged, and in which words something is refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{core_v1::ResourceQuota, defaults, fixtures};

const NOW: Timestamp = Timestamp(1_000_000);

/// Objects in no particular namespace.
struct Shelf(Vec<Object>);

impl Contents for Shelf {
    fn defined(&self, _: &str) -> Option<Kind> {
        None
    }

    fn count(&self, kind: Kind) -> usize {
        self.0.iter().filter(|object| object.kind() == kind).count()
    }

    fn each(&self, kind: Kind, look: &mut dyn FnMut(&Object)) {
        self.0.iter().filter(|object| object.kind() == kind).for_each(look);
    }
}

fn object(yaml: &str) -> Object {
    let mut object = fixtures::object(yaml);
    defaults::apply(&mut object);
    object
}

fn pod(spec: &str) -> Object {
    object(&format!("{{kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: c, image: i}}], {spec}}}}}"))
}

fn asking(resources: &str) -> Object {
    pod(&format!("containers: [{{name: c, image: i, resources: {resources}}}]"))
}

fn quota(spec: &str) -> ResourceQuota {
    object(&format!("{{kind: ResourceQuota, metadata: {{name: q}}, spec: {spec}}}"))
        .get::<ResourceQuota>()
        .unwrap()
        .clone()
}

/// A quota after somebody has counted.
fn counted(spec: &str, objects: Vec<Object>) -> ResourceQuota {
    let mut quota = quota(spec);
    quota.status = Some(status(&quota, &Shelf(objects), NOW));
    quota
}

fn shown(amounts: &Amounts) -> String {
    amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

fn used(quota: &ResourceQuota, objects: Vec<Object>) -> String {
    shown(&count(quota, &Shelf(objects), NOW))
}

/// What a new object, or a change of one, makes of a quota.
fn charged(quota: &ResourceQuota, old: Option<&Object>, new: &Object) -> Result<String, String> {
    let change = Change { old, new, now: NOW };
    if !change.is_charged() {
        return Ok("free".to_owned());
    }
    let charged = charge(&[quota], &change)?;
    Ok(charged.first().map_or_else(|| "nothing".to_owned(), |(_, used)| shown(&amounts::read(used))))
}

#[test]
fn a_pod_uses_what_its_containers_ask_for_until_it_has_ended() {
    let spec = "{hard: {pods: 9, count/pods: 9, cpu: 9, requests.memory: 1Gi, limits.cpu: 9, limits.memory: 9, \
                requests.example.com/dongle: 9, ephemeral-storage: 9Gi}}";
    let resources =
        "{requests: {cpu: 100m, memory: 64Mi, ephemeral-storage: 1Gi}, limits: {cpu: 1, example.com/dongle: 2}}";
    let running = pod(&format!(
        "initContainers: [{{name: i, image: i, resources: {{requests: {{cpu: 300m}}}}}}, \
          {{name: s, image: i, restartPolicy: Always, resources: {{requests: {{cpu: 50m}}}}}}],
         containers: [{{name: c, image: i, resources: {resources}}}]"
    ));
    let mut ended = running.clone();
    let Object::Pod(pod) = &mut ended else { unreachable!() };
    "Succeeded".clone_into(&mut pod.status.get_or_insert_default().phase);
    assert_eq!(
        used(&quota(spec), vec![running, ended]),
        "count/pods=2,cpu=300m,ephemeral-storage=1Gi,limits.cpu=1,limits.memory=0,pods=1,requests.example.com/dongle=2,requests.memory=64Mi"
    );
}

#[test]
fn a_pod_that_should_have_stopped_by_now_uses_nothing() {
    let quota = quota("{hard: {pods: 1}}");
    let mut pod = pod("");
    let meta = pod.metadata_mut();
    meta.deletion_grace_period_seconds = Some(30);
    for (since_s, expected) in [(29, "pods=1"), (31, "pods=0")] {
        let deleted = Timestamp(NOW.0 - since_s * 1_000);
        pod.metadata_mut().deletion_timestamp = Some(deleted.into());
        assert_eq!(used(&quota, vec![pod.clone()]), expected);
    }
}

#[test]
fn everything_can_be_counted_that_lives_in_a_namespace() {
    let quota = quota(
        "{hard: {configmaps: 1, count/configmaps: 1, count/deployments.apps: 1, count/events: 1, count/nodes: 1, \
          count/widgets.example.com: 1, persistentvolumeclaims: 1, requests.storage: 1, \
          gold.storageclass.storage.k8s.io/requests.storage: 1, resourcequotas: 1}}",
    );
    let objects = ["{kind: ConfigMap}", "{kind: ConfigMap}", "{kind: Deployment}", "{kind: Event}", "{kind: Node}"];
    assert_eq!(
        used(&quota, objects.map(object).into()),
        "configmaps=2,count/configmaps=2,count/deployments.apps=1,\
         gold.storageclass.storage.k8s.io/requests.storage=0,persistentvolumeclaims=0,requests.storage=0,resourcequotas=0"
    );
}

#[test]
fn services_use_ports_of_nodes_and_balancers() {
    let quota = quota("{hard: {services: 9, services.nodeports: 9, services.loadbalancers: 9, count/services: 9}}");
    for (spec, expected) in [
        ("{ports: [{port: 1}]}", "0,0"),
        ("{type: NodePort, ports: [{port: 1}, {port: 2}]}", "0,2"),
        ("{type: LoadBalancer, ports: [{port: 1}, {port: 2}]}", "1,2"),
        (
            "{type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 1, nodePort: 30000}, {port: 2}]}",
            "1,1",
        ),
    ] {
        let (balancers, ports) = expected.split_once(',').unwrap();
        let service = object(&format!("{{kind: Service, metadata: {{name: s}}, spec: {spec}}}"));
        let expected =
            format!("count/services=1,services=1,services.loadbalancers={balancers},services.nodeports={ports}");
        assert_eq!(used(&quota, vec![service]), expected, "{spec}");
    }
}

#[test]
fn scopes_choose_pods() {
    let elsewhere = "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: \
                     [{weight: 1, podAffinityTerm: {topologyKey: k, namespaces: [n]}}]}}";
    let selector = |rest: &str| format!("scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, {rest}}}]}}");
    let pods = [pod(""), pod("activeDeadlineSeconds: 5"), pod("priorityClassName: high"), pod(elsewhere)];
    let bare = "containers: [{name: c, image: i, resources: {requests: {cpu: 1}}}]";
    for (scopes, expected) in [
        ("scopes: [Terminating]".to_owned(), "1"),
        ("scopes: [NotTerminating]".to_owned(), "4"),
        ("scopes: [BestEffort]".to_owned(), "4"),
        ("scopes: [NotBestEffort]".to_owned(), "1"),
        ("scopes: [BestEffort, NotTerminating]".to_owned(), "3"),
        ("scopes: [CrossNamespacePodAffinity]".to_owned(), "1"),
        ("scopes: [PriorityClass]".to_owned(), "1"),
        (selector("operator: In, values: [high, low]"), "1"),
        (selector("operator: NotIn, values: [high]"), "4"),
        (selector("operator: DoesNotExist"), "4"),
        (selector("operator: Exists"), "1"),
    ] {
        let quota = quota(&format!("{{hard: {{pods: 9}}, {scopes}}}"));
        let objects = pods.iter().cloned().chain([pod(bare)]).collect();
        assert_eq!(used(&quota, objects), format!("pods={expected}"), "{scopes}");
    }
}

#[test]
fn nothing_but_pods_has_a_scope() {
    let quota = quota("{hard: {pods: 9, count/configmaps: 9}, scopes: [NotTerminating]}");
    assert_eq!(used(&quota, vec![pod(""), object("{kind: ConfigMap}")]), "count/configmaps=0,pods=1");
}

#[test]
fn what_would_be_too_much_is_refused_with_what_is_left() {
    let quota = counted(
        "{hard: {pods: 5, cpu: 1, requests.memory: 1Gi, configmaps: 1}}",
        vec![asking("{requests: {cpu: 500m, memory: 252Mi}}")],
    );
    let fits = asking("{requests: {cpu: 500m, memory: 100Mi}}");
    assert_eq!(charged(&quota, None, &fits).unwrap(), "configmaps=0,cpu=1,pods=2,requests.memory=352Mi");
    let large = asking("{requests: {cpu: 600m, memory: 2Gi}}");
    assert_eq!(
        charged(&quota, None, &large).unwrap_err(),
        "exceeded quota: q, requested: cpu=600m,requests.memory=2Gi, used: cpu=500m,requests.memory=252Mi, \
         limited: cpu=1,requests.memory=1Gi"
    );
    assert_eq!(
        charged(&quota, None, &pod("")).unwrap_err(),
        "failed quota: q: must specify cpu for: c; requests.memory for: c"
    );
    assert_eq!(charged(&quota, None, &object("{kind: Service}")).unwrap(), "nothing");
}

#[test]
fn a_quota_limits_nothing_before_it_is_counted_and_everything_that_cannot_be() {
    let mut quota = quota("{hard: {pods: 0}}");
    assert_eq!(charged(&quota, None, &pod("")).unwrap(), "nothing");
    quota.status = Some(ResourceQuotaStatus { hard: quota.spec.clone().unwrap().hard, used: BTreeMap::new() });
    assert_eq!(charged(&quota, None, &pod("")).unwrap_err(), "status unknown for quota: q, resources: pods");
    assert!(is_uncounted(&quota, &Shelf(Vec::new())));
    quota.status = Some(status(&quota, &Shelf(Vec::new()), NOW));
    assert!(!is_uncounted(&quota, &Shelf(Vec::new())));
    assert_eq!(
        charged(&quota, None, &pod("")).unwrap_err(),
        "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    );
}

#[test]
fn of_what_is_there_only_what_is_added_counts() {
    let service = |spec: &str| object(&format!("{{kind: Service, metadata: {{name: s}}, spec: {spec}}}"));
    let (plain, open) = (service("{ports: [{port: 1}]}"), service("{type: NodePort, ports: [{port: 1}]}"));
    let tight = counted("{hard: {services: 1, services.nodeports: 0}}", vec![plain.clone()]);
    assert_eq!(charged(&tight, Some(&plain), &plain).unwrap(), "nothing");
    assert_eq!(
        charged(&tight, Some(&plain), &open).unwrap_err(),
        "exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0, limited: services.nodeports=0"
    );
    assert_eq!(charged(&tight, Some(&open), &plain).unwrap(), "nothing");
    let terminating = counted("{hard: {pods: 0}, scopes: [Terminating]}", vec![]);
    assert_eq!(charged(&terminating, Some(&pod("")), &pod("")).unwrap(), "free");
    assert_eq!(
        charged(&terminating, Some(&pod("")), &pod("activeDeadlineSeconds: 5")).unwrap_err(),
        "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    );
    assert_eq!(
        charged(&terminating, Some(&object("{kind: ConfigMap}")), &object("{kind: ConfigMap}")).unwrap(),
        "free"
    );
}

#[test]
fn what_nobody_can_count_stays_as_it_was() {
    let mut quota = counted("{hard: {pods: 3, example.com/points: 10}}", vec![pod("")]);
    assert_eq!(shown(&amounts::read(&quota.status.as_ref().unwrap().used)), "pods=1");
    let used = &mut quota.status.as_mut().unwrap().used;
    used.insert("example.com/points".to_owned(), Quantity::from_whole(7).into());
    used.insert("gone".to_owned(), Quantity::from_whole(7).into());
    let after = status(&quota, &Shelf(Vec::new()), NOW);
    assert_eq!(shown(&amounts::read(&after.used)), "example.com/points=7,pods=0");
}
