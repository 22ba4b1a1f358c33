//! What is decided, case by case, over a state that is built from its own decisions.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use api::{
    DeleteOptions, Error, Key, Kind, Object, Propagation, Reason, Revision, Subresource, Timestamp, Write, apps_v1,
    core_v1, kinds::Resource as _, meta_v1, well_known::SERVICE_ACCOUNT_DIR,
};
use store::State;

use super::{Decision, Fate, OBJECT_BYTES_MAX, Rules, Stamp, decide};

/// Noon of some day, in seconds.
const NOON: i64 = 1_700_000_000;

/// A state with a clock that stands still and a chance that counts.
struct World {
    state: State,
    now: i64,
    attempt: u32,
    written: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self { state: State::default(), now: NOON, attempt: 0, written: 0 };
        let mut namespace = core_v1::Namespace::default();
        namespace.metadata_mut().name = "default".to_owned();
        world.does(Write::Create(namespace.into()));
        world
    }

    fn decide(&self, write: &Write) -> Result<Decision, Error> {
        let stamp = Stamp {
            now: Timestamp(self.now * 1000),
            uid: format!("uid-{}", self.written),
            random: self.written,
            attempt: self.attempt,
        };
        let rules = Rules { service_cidr: "10.0.0.0/24".parse().unwrap() };
        decide(&self.state.view(), write, write.key().kind.into(), &stamp, &rules)
    }

    fn write(&mut self, write: Write) -> Result<(Fate, Arc<Object>), Error> {
        self.written += 1;
        let decision = self.decide(&write)?;
        let applied = self.state.apply(&decision.txn).expect("decided on this state");
        let stored = applied.records.iter().flatten().next().map(|record| record.object());
        Ok((decision.fate, stored.unwrap_or(decision.object)))
    }

    fn does(&mut self, write: Write) -> Arc<Object> {
        self.write(write).unwrap().1
    }

    fn fails(&mut self, write: Write) -> Error {
        self.write(write).unwrap_err()
    }

    fn delete(&mut self, key: &Key, options: DeleteOptions) -> (Fate, Arc<Object>) {
        self.write(Write::Delete(key.clone(), options)).unwrap()
    }

    fn has(&self, key: &Key) -> bool {
        self.state.view().get(key).is_some()
    }
}

fn meta(object: &Object) -> &meta_v1::ObjectMeta {
    object.metadata().unwrap()
}

fn key(kind: Kind, name: &str) -> Key {
    Key::namespaced(kind, "default", name)
}

fn named<T: api::kinds::Resource>(mut object: T, name: &str) -> T {
    object.metadata_mut().name = name.to_owned();
    object.metadata_mut().namespace = "default".to_owned();
    object
}

fn map(name: &str) -> core_v1::ConfigMap {
    named(core_v1::ConfigMap::default(), name)
}

fn pod_spec() -> core_v1::PodSpec {
    let container = core_v1::Container { name: "c".to_owned(), image: "hello:1".to_owned(), ..Default::default() };
    core_v1::PodSpec { containers: vec![container], ..Default::default() }
}

fn pod(name: &str) -> core_v1::Pod {
    named(core_v1::Pod { spec: Some(pod_spec()), ..Default::default() }, name)
}

fn deployment(name: &str, replicas: i32) -> apps_v1::Deployment {
    let labels = std::collections::BTreeMap::from([("app".to_owned(), name.to_owned())]);
    let template = core_v1::PodTemplateSpec {
        metadata: Some(meta_v1::ObjectMeta { labels: labels.clone(), ..Default::default() }),
        spec: Some(pod_spec()),
    };
    let spec = apps_v1::DeploymentSpec {
        replicas: Some(replicas),
        selector: Some(meta_v1::LabelSelector { match_labels: labels, ..Default::default() }),
        template: Some(template),
        ..Default::default()
    };
    named(apps_v1::Deployment { spec: Some(spec), ..Default::default() }, name)
}

fn service(name: &str, r#type: &str, cluster_ip: &str, node_port: i32) -> core_v1::Service {
    let port = core_v1::ServicePort { port: 80, node_port, ..Default::default() };
    let spec = core_v1::ServiceSpec {
        r#type: r#type.to_owned(),
        cluster_ip: cluster_ip.to_owned(),
        ports: vec![port],
        ..Default::default()
    };
    named(core_v1::Service { spec: Some(spec), ..Default::default() }, name)
}

fn spec_of(object: &Object) -> core_v1::ServiceSpec {
    object.get::<core_v1::Service>().unwrap().spec.clone().unwrap()
}

fn create(object: impl Into<Object>) -> Write {
    Write::Create(object.into())
}

fn update(object: impl Into<Object>) -> Write {
    Write::Update(object.into(), Subresource::None)
}

#[test]
fn what_only_the_door_may_say_is_not_taken_from_a_manifest() {
    let mut world = World::new();
    let mut sent = deployment("web", 3);
    let metadata = sent.metadata_mut();
    metadata.uid = "mine".to_owned();
    metadata.generation = 7;
    metadata.deletion_timestamp = Some(meta_v1::Time::default());
    sent.status = Some(apps_v1::DeploymentStatus { replicas: 3, ..Default::default() });

    let stored = world.does(create(sent));

    let metadata = meta(&stored);
    assert_eq!((metadata.uid.as_str(), metadata.generation), ("uid-2", 1));
    assert_eq!(metadata.creation_timestamp, Some(meta_v1::Time { seconds: NOON, nanos: 0 }));
    assert_eq!(metadata.deletion_timestamp, None);
    assert_eq!(stored.get::<apps_v1::Deployment>().unwrap().status.as_ref().unwrap().replicas, 0);
}

#[test]
fn a_name_is_given_where_none_is_chosen() {
    let mut world = World::new();
    let mut sent = map("");
    sent.metadata_mut().generate_name = "x".repeat(80);
    let stored = world.does(create(sent.clone()));
    let name = meta(&stored).name.clone();
    assert_eq!((name.len(), name.starts_with(&"x".repeat(58))), (63, true));
    assert_ne!(meta(&world.does(create(sent))).name, name);
    assert_eq!(world.fails(create(map(""))).reason, Reason::Invalid);
}

#[test]
fn objects_need_a_namespace_that_is_there_to_stay() {
    let mut world = World::new();
    let elsewhere = |namespace: &str| {
        let mut map = map("a");
        map.metadata_mut().namespace = namespace.to_owned();
        create(map)
    };
    assert_eq!(world.fails(elsewhere("shop")).message, "namespaces \"shop\" not found");
    assert_eq!(world.fails(elsewhere("")).reason, Reason::BadRequest);

    let mut namespace = core_v1::Namespace::default();
    namespace.metadata_mut().name = "shop".to_owned();
    world.does(create(namespace));
    world.does(elsewhere("shop"));
    let shop = Key::cluster(Kind::Namespace, "shop");
    let (fate, ending) = world.delete(&shop, DeleteOptions::default());
    let phase = &ending.get::<core_v1::Namespace>().unwrap().status.as_ref().unwrap().phase;
    assert_eq!((fate, phase.as_str()), (Fate::Changed, "Terminating"));

    let error = world.fails(elsewhere("shop"));
    assert_eq!((error.reason, error.causes[0].reason), (Reason::Forbidden, "NamespaceTerminating"));
    let mut update = map("a");
    update.metadata_mut().namespace = "shop".to_owned();
    world.does(Write::Update(update.into(), Subresource::None));

    let mut empty = ending.get::<core_v1::Namespace>().unwrap().clone();
    empty.spec.as_mut().unwrap().finalizers.clear();
    let (fate, _) = world.write(Write::Update(empty.into(), Subresource::Finalize)).unwrap();
    assert_eq!((fate, world.has(&shop)), (Fate::Gone, false));
    let default = Write::Delete(Key::cluster(Kind::Namespace, "default"), DeleteOptions::default());
    assert_eq!(world.fails(default).reason, Reason::Forbidden);
}

#[test]
fn a_generation_counts_changes_of_the_spec_and_of_a_deployments_annotations() {
    let mut world = World::new();
    world.does(create(deployment("web", 1)));
    let generation = |object: &Object| meta(object).generation;

    let mut labelled = deployment("web", 1);
    labelled.metadata_mut().labels.insert("a".to_owned(), "b".to_owned());
    assert_eq!(generation(&world.does(update(labelled))), 1);
    assert_eq!(generation(&world.does(update(deployment("web", 2)))), 2);
    assert_eq!(generation(&world.does(Write::Update(deployment("web", 5).into(), Subresource::Scale))), 3);
    let silent = named(apps_v1::Deployment::default(), "web");
    assert_eq!(world.fails(Write::Update(silent.into(), Subresource::Scale)).reason, Reason::BadRequest);

    let mut reported = deployment("web", 9);
    reported.status = Some(apps_v1::DeploymentStatus { replicas: 4, ..Default::default() });
    let stored = world.does(Write::Update(reported.into(), Subresource::Status));
    let stored = stored.get::<apps_v1::Deployment>().unwrap();
    assert_eq!((stored.metadata().unwrap().generation, stored.spec.as_ref().unwrap().replicas), (3, Some(5)));
    let stored = world.does(update(deployment("web", 6)));
    assert_eq!(stored.get::<apps_v1::Deployment>().unwrap().status.as_ref().unwrap().replicas, 4);

    let annotate = |mut deployment: apps_v1::Deployment, value: &str| {
        deployment.metadata_mut().annotations.insert("a".to_owned(), value.to_owned());
        deployment
    };
    assert_eq!(generation(&world.does(update(annotate(deployment("web", 6), "1")))), 5);
    let numbered = Write::Update(annotate(deployment("web", 6), "2").into(), Subresource::Status);
    let stored = world.does(numbered);
    assert_eq!((generation(&stored), meta(&stored).annotations["a"].as_str()), (5, "2"));
    assert_eq!(world.fails(Write::Update(map("web").into(), Subresource::Status)).reason, Reason::NotFound);
}

#[test]
fn what_changes_nothing_is_not_stored() {
    let mut world = World::new();
    let before = world.does(create(deployment("web", 1)));
    let (fate, after) = world.write(update(deployment("web", 1))).unwrap();
    assert_eq!((fate, after), (Fate::Unchanged, before));
}

#[test]
fn preconditions_name_an_incarnation_and_a_state() {
    let mut world = World::new();
    let first = world.does(create(map("a")));
    let sent = |uid: &str, version: &str| {
        let mut map = map("a");
        map.data.insert("v".to_owned(), format!("{uid}{version}"));
        let metadata = map.metadata_mut();
        (metadata.uid, metadata.resource_version) = (uid.to_owned(), version.to_owned());
        update(map)
    };
    let now = &meta(&first).resource_version;
    assert_eq!(world.fails(sent("other", "")).reason, Reason::Conflict);
    assert_eq!(world.fails(sent("", "99")).reason, Reason::Conflict);
    assert_eq!(world.fails(sent("", "x")).reason, Reason::BadRequest);
    assert_eq!(world.fails(create(first.get::<core_v1::ConfigMap>().unwrap().clone())).reason, Reason::BadRequest);
    world.does(sent(&meta(&first).uid, now));
    assert_eq!(world.fails(sent("", now)).reason, Reason::Conflict);

    let other = DeleteOptions { uid: Some("other".to_owned()), ..Default::default() };
    assert_eq!(world.fails(Write::Delete(key(Kind::ConfigMap, "a"), other)).reason, Reason::Conflict);
    let old = DeleteOptions { resource_version: Some(Revision(1)), ..Default::default() };
    assert_eq!(world.fails(Write::Delete(key(Kind::ConfigMap, "a"), old)).reason, Reason::Conflict);
}

#[test]
fn a_pod_is_bound_once() {
    let mut world = World::new();
    world.does(create(pod("p")));
    let bind = |node: &str| {
        let mut pod = pod("p");
        pod.spec.as_mut().unwrap().node_name = node.to_owned();
        Write::Update(pod.into(), Subresource::Binding)
    };
    let bound = world.does(bind("n1"));
    let bound: &core_v1::Pod = bound.get().unwrap();
    assert_eq!(api::pod::node_name(bound), Some("n1"));
    assert_eq!(api::pod::condition(bound, "PodScheduled").unwrap().status, "True");
    assert_eq!(world.fails(bind("n2")).reason, Reason::Conflict);
    assert_eq!(world.fails(bind("")).reason, Reason::BadRequest);
}

/// A Pod on a node, deleted with some grace; the deadline is told in seconds after noon.
#[track_caller]
fn graceful(world: &mut World, grace_period_s: Option<i64>, expected: (Fate, Option<(i64, i64)>)) {
    let (fate, left) = world.delete(&key(Kind::Pod, "p"), DeleteOptions { grace_period_s, ..Default::default() });
    let deadline = meta(&left).deletion_timestamp.as_ref().map(|time| time.seconds - NOON);
    let told = deadline.zip(meta(&left).deletion_grace_period_seconds);
    assert_eq!((fate, told), expected);
}

fn running(world: &mut World) {
    let mut pod = pod("p");
    pod.spec.as_mut().unwrap().node_name = "n1".to_owned();
    world.does(create(pod));
}

#[test]
fn a_pod_that_runs_gets_time_which_may_only_be_cut() {
    let mut world = World::new();
    running(&mut world);
    graceful(&mut world, None, (Fate::Changed, Some((30, 30))));
    world.now += 5;
    graceful(&mut world, None, (Fate::Unchanged, Some((30, 30))));
    graceful(&mut world, Some(60), (Fate::Unchanged, Some((30, 30))));
    graceful(&mut world, Some(10), (Fate::Changed, Some((10, 10))));
    graceful(&mut world, Some(0), (Fate::Gone, Some((10, 10))));
    assert!(!world.has(&key(Kind::Pod, "p")));
}

#[test]
fn a_pod_that_does_not_run_goes_at_once() {
    let mut world = World::new();
    world.does(create(pod("p")));
    graceful(&mut world, None, (Fate::Gone, None));

    running(&mut world);
    let mut ended = pod("p");
    ended.status = Some(core_v1::PodStatus { phase: "Succeeded".to_owned(), ..Default::default() });
    world.does(Write::Update(ended.into(), Subresource::Status));
    graceful(&mut world, None, (Fate::Gone, None));

    running(&mut world);
    graceful(&mut world, Some(0), (Fate::Gone, None));
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_gone() {
    let mut world = World::new();
    let mut held = map("a");
    held.metadata_mut().finalizers = vec!["example.com/wait".to_owned()];
    world.does(create(held.clone()));
    let options = DeleteOptions { propagation: Propagation::Foreground, ..Default::default() };
    let (fate, left) = world.delete(&key(Kind::ConfigMap, "a"), options);
    assert_eq!(fate, Fate::Changed);
    assert_eq!(meta(&left).finalizers, ["example.com/wait", "foregroundDeletion"]);
    assert!(meta(&left).deletion_timestamp.is_some());
    let orphan = DeleteOptions { propagation: Propagation::Orphan, ..Default::default() };
    let (_, left) = world.delete(&key(Kind::ConfigMap, "a"), orphan);
    assert_eq!(meta(&left).finalizers, ["example.com/wait", "orphan"]);

    let with = |finalizers: &[&str]| {
        let mut map = map("a");
        map.metadata_mut().finalizers = finalizers.iter().map(|name| (*name).to_owned()).collect();
        update(map)
    };
    assert_eq!(world.fails(with(&["orphan", "example.com/more"])).causes[0].field, "metadata.finalizers");
    assert_eq!(world.write(with(&["orphan"])).unwrap().0, Fate::Changed);
    let mut unknowing = map("a");
    unknowing.metadata_mut().finalizers = vec!["orphan".to_owned(), "example.com/more".to_owned()];
    assert_eq!(world.fails(owners(unknowing)).causes[0].field, "metadata.finalizers");
    assert_eq!(world.write(with(&[])).unwrap().0, Fate::Gone);
    assert!(!world.has(&key(Kind::ConfigMap, "a")));
}

#[test]
fn services_get_addresses_in_order_and_give_them_back() {
    let mut world = World::new();
    let ip = |object: &Object| spec_of(object).cluster_ip;
    assert_eq!(ip(&world.does(create(service("a", "", "", 0)))), "10.0.0.10");
    assert_eq!(ip(&world.does(create(service("b", "", "", 0)))), "10.0.0.11");
    assert_eq!(ip(&world.does(create(service("c", "", "10.0.0.5", 0)))), "10.0.0.5");
    assert_eq!(ip(&world.does(create(service("d", "", "None", 0)))), "None");

    let message = |error: Error| error.causes[0].message.clone();
    let taken = message(world.fails(create(service("e", "", "10.0.0.11", 0))));
    assert!(taken.ends_with("provided IP is already allocated"), "{taken}");
    let outside = message(world.fails(create(service("e", "", "10.0.1.1", 0))));
    assert!(outside.ends_with("not in the valid range 10.0.0.0/24"), "{outside}");
    let kept = message(world.fails(create(service("e", "", "10.0.0.1", 0))));
    assert!(kept.ends_with("provided IP is kept for the Service default/kubernetes"), "{kept}");
    assert_eq!(ip(&world.does(create(service("kubernetes", "", "10.0.0.1", 0)))), "10.0.0.1");

    assert_eq!(ip(&world.does(update(service("b", "NodePort", "", 0)))), "10.0.0.11");
    world.delete(&key(Kind::Service, "b"), DeleteOptions::default());
    assert_eq!(ip(&world.does(create(service("e", "", "10.0.0.11", 0)))), "10.0.0.11");
    world.attempt = 1;
    assert_ne!(ip(&world.does(create(service("f", "", "", 0)))), "10.0.0.14");
}

#[test]
fn node_ports_belong_to_one_service_for_as_long_as_its_type_needs_them() {
    let mut world = World::new();
    let port = |object: &Object| spec_of(object).ports[0].node_port;
    assert_eq!(port(&world.does(create(service("a", "NodePort", "", 30_080)))), 30_080);
    assert_eq!(port(&world.does(update(service("a", "NodePort", "", 0)))), 30_080);
    assert_eq!(
        port(&world.does(create(service("b", "NodePort", "", 0)))),
        0,
        "nobody would answer at a port given here"
    );
    let taken = world.fails(create(service("c", "NodePort", "", 30_080)));
    assert_eq!(taken.causes[0].field, "spec.ports[0].nodePort");
    assert_eq!(world.fails(create(service("c", "NodePort", "", 8080))).reason, Reason::Invalid);
    assert_eq!(port(&world.does(update(service("a", "ClusterIP", "", 0)))), 0);
    assert_eq!(port(&world.does(create(service("c", "NodePort", "", 30_080)))), 30_080);
}

#[test]
fn a_full_range_is_told_and_not_an_endless_search() {
    let mut world = World::new();
    for n in 0..245 {
        world.does(create(service(&format!("s{n}"), "", "", 0)));
    }
    let error = world.fails(create(service("late", "", "", 0)));
    assert!(error.message.contains("all addresses of 10.0.0.0/24 are taken"), "{error}");
}

#[test]
fn an_object_has_a_largest_size() {
    let world = World::new();
    let mut large = deployment("large", 1);
    // Annotations have a limit of their own, templates do not.
    let container = &mut large.spec.as_mut().unwrap().template.as_mut().unwrap().spec.as_mut().unwrap().containers[0];
    container.working_dir = "x".repeat(OBJECT_BYTES_MAX);
    let error = world.decide(&create(large)).unwrap_err();
    assert_eq!(error.reason, Reason::RequestEntityTooLarge);
}

fn owners(object: core_v1::ConfigMap) -> Write {
    Write::Update(object.into(), Subresource::Owners)
}

#[test]
fn who_writes_owners_changes_nothing_else() {
    let mut world = World::new();
    let owner = |uid: &str| {
        vec![meta_v1::OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: "owner".to_owned(),
            uid: uid.to_owned(),
            ..Default::default()
        }]
    };
    let mut whole = core_v1::ConfigMap { data: [("k".to_owned(), "v".to_owned())].into(), ..Default::default() };
    whole.metadata = map("a").metadata;
    whole.metadata_mut().labels.insert("on".to_owned(), String::new());
    whole.metadata_mut().owner_references = owner("u1");
    world.does(create(whole.clone()));

    let mut unknowing = map("a");
    unknowing.metadata_mut().owner_references = owner("u2");
    let (fate, left) = world.write(owners(unknowing)).unwrap();

    assert_eq!(fate, Fate::Changed);
    assert_eq!(meta(&left).owner_references, owner("u2"));
    assert_eq!(
        (&meta(&left).labels, &left.get::<core_v1::ConfigMap>().unwrap().data),
        (&whole.metadata.unwrap().labels, &whole.data)
    );
}

#[test]
fn a_pod_has_the_account_of_its_namespace_that_it_names() {
    let mut world = World::new();
    let with = |account: &str, secrets: &[&str]| {
        let mut pod = pod("web");
        let spec = pod.spec.as_mut().unwrap();
        account.clone_into(&mut spec.service_account_name);
        let secret = |name: &&str| core_v1::LocalObjectReference { name: (*name).to_owned() };
        spec.image_pull_secrets = secrets.iter().map(secret).collect();
        create(pod)
    };
    let spec = |decision: Decision| decision.object.get::<core_v1::Pod>().unwrap().spec.clone().unwrap();
    // The account `default` may come after the first Pods.
    assert_eq!(spec(world.decide(&with("", &[])).unwrap()).service_account_name, "default");

    let refused = world.decide(&with("robot", &[])).unwrap_err();
    let why =
        "pods \"web\" is forbidden: error looking up service account default/robot: serviceaccount \"robot\" not found";
    assert_eq!((refused.reason, refused.message.as_str()), (Reason::Forbidden, why));

    let mut robot = named(core_v1::ServiceAccount::default(), "robot");
    robot.image_pull_secrets = vec![core_v1::LocalObjectReference { name: "hub".to_owned() }];
    world.does(create(robot));
    let names =
        |spec: core_v1::PodSpec| spec.image_pull_secrets.into_iter().map(|secret| secret.name).collect::<Vec<_>>();
    assert_eq!(names(spec(world.decide(&with("robot", &[])).unwrap())), ["hub"]);
    assert_eq!(names(spec(world.decide(&with("robot", &["own"])).unwrap())), ["own"]);
}

/// Where the identity of a Pod stands in its containers, init containers first, and of which volumes the Pod has it.
fn identity(decision: &Decision) -> (Vec<Option<String>>, Vec<String>) {
    let spec = decision.object.get::<core_v1::Pod>().unwrap().spec.as_ref().unwrap();
    let mount = |container: &core_v1::Container| {
        let mut mounts = container.volume_mounts.iter();
        mounts.find(|mount| mount.mount_path == SERVICE_ACCOUNT_DIR && mount.read_only).map(|mount| mount.name.clone())
    };
    let mounts = spec.init_containers.iter().chain(&spec.containers).map(mount).collect();
    let projects_token = |volume: &&core_v1::Volume| {
        let projected = volume.volume_source.as_ref().and_then(|source| source.projected.as_ref());
        projected.is_some_and(|projected| projected.sources.iter().any(|one| one.service_account_token.is_some()))
    };
    (mounts, spec.volumes.iter().filter(projects_token).map(|volume| volume.name.clone()).collect())
}

#[test]
fn a_pod_is_told_who_it_is_unless_it_or_its_account_says_no() {
    let mut world = World::new();
    for (name, says) in [("quiet", Some(false)), ("open", Some(true)), ("silent", None)] {
        let account = core_v1::ServiceAccount { automount_service_account_token: says, ..Default::default() };
        world.does(create(named(account, name)));
    }
    let with = |account: &str, says: Option<bool>| {
        let mut pod = pod("web");
        let spec = pod.spec.as_mut().unwrap();
        account.clone_into(&mut spec.service_account_name);
        spec.automount_service_account_token = says;
        spec.init_containers.push(core_v1::Container { name: "first".to_owned(), ..spec.containers[0].clone() });
        pod
    };
    let cases =
        [("quiet", None), ("quiet", Some(true)), ("open", None), ("open", Some(false)), ("silent", None), ("", None)];
    for (account, says) in cases {
        let expected = says.unwrap_or(account != "quiet");
        let (mounts, volumes) = identity(&world.decide(&create(with(account, says))).unwrap());
        assert_eq!(volumes.len(), usize::from(expected), "{account} {says:?}");
        let volume = volumes.first().cloned();
        assert!(volume.iter().all(|name| name.starts_with("kube-api-access-") && name.len() == 21), "{volume:?}");
        assert_eq!(mounts, [volume.clone(), volume], "{account} {says:?}: in every container");
    }
}

#[test]
fn what_stands_at_the_place_of_the_identity_stays_and_nothing_is_added_twice() {
    let world = World::new();
    let own = core_v1::VolumeMount {
        name: "own".to_owned(),
        mount_path: SERVICE_ACCOUNT_DIR.to_owned(),
        ..Default::default()
    };
    let mut first = pod("web");
    let spec = first.spec.as_mut().unwrap();
    spec.volumes.push(core_v1::Volume { name: "own".to_owned(), ..Default::default() });
    spec.containers[0].volume_mounts.push(own);
    let alone = world.decide(&create(first.clone())).unwrap();
    assert_eq!(identity(&alone), (vec![None], vec![]), "nobody has a place for it");

    let spec = first.spec.as_mut().unwrap();
    spec.containers.push(core_v1::Container {
        name: "beside".to_owned(),
        volume_mounts: vec![],
        ..spec.containers[0].clone()
    });
    let both = world.decide(&create(first)).unwrap();
    let (mounts, volumes) = identity(&both);
    assert_eq!(mounts, [None, volumes.first().cloned()]);

    // What webhooks have seen and changed is decided once more.
    let mut again = both.object.get::<core_v1::Pod>().unwrap().clone();
    let spec = again.spec.as_mut().unwrap();
    spec.containers.push(core_v1::Container {
        name: "injected".to_owned(),
        volume_mounts: vec![],
        ..spec.containers[0].clone()
    });
    again.metadata_mut().resource_version.clear();
    let (mounts, again) = identity(&world.decide(&create(again)).unwrap());
    assert_eq!(again, volumes, "there is one volume");
    assert_eq!(mounts, [None, volumes.first().cloned(), volumes.first().cloned()]);
}
