//! Rust programs that drive a cluster by `kapelle-client`: the one in `docs/grpc`, and what must hold when masters die, when
//! others write at the same time, and when there is much to read.

use std::{fs, path::Path};

use api::{
    apps_v1::Deployment,
    core_v1::{ConfigMap, Pod, Service},
    kinds::Resource as _,
};
use futures::{StreamExt as _, TryStreamExt as _};
use kapelle_client::{
    Api, ApplyOutcome, ApplyParams, Client, Config, DeleteOptions, Error, ListParams, Patch, Reason, Retries, json,
    manifest, reflector, store, wait_for, watcher,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::Runtime,
    time::timeout,
};

use crate::{
    cluster::{Cluster, prebuilt},
    patience::PATIENCE,
};

#[path = "../../docs/grpc/rust/src/main.rs"]
#[expect(dead_code, reason = "its `main` is for whoever runs it by itself")]
mod tour;

/// A client with as much patience as the tests have.
fn client(cluster: &Cluster) -> Client {
    let mut config = Config::from_kubeconfig(&cluster.kubeconfig(), None).unwrap();
    config.retries = Retries { unreachable_for: PATIENCE, leaderless_for: PATIENCE, ..Retries::PATIENT };
    Client::connect(&config).unwrap()
}

fn map(name: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap { data: [("v".to_owned(), value.to_owned())].into(), ..ConfigMap::default() };
    map.metadata_mut().name = name.to_owned();
    map.metadata_mut().labels = [("app".to_owned(), "test".to_owned())].into();
    map
}

/// What a Pod answers to an HTTP request through a forwarded connection.
async fn answer_of(pods: &Api<Pod>, pod: &str, port: u16) -> Result<String, Error> {
    let mut tunnel = timeout(PATIENCE, pods.forward(pod, port)).await.unwrap()?;
    tunnel.write_all(b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tunnel.read_to_string(&mut answer)).await.unwrap().unwrap();
    Ok(answer)
}

fn ours() -> ListParams {
    ListParams::default().labels("app=test")
}

fn values<M: AsRef<ConfigMap>>(maps: impl IntoIterator<Item = M>) -> Vec<String> {
    let value = |map: M| format!("{}={}", map.as_ref().name(), map.as_ref().data["v"]);
    let mut values: Vec<String> = maps.into_iter().map(value).collect();
    values.sort();
    values
}

#[test]
fn the_program_of_the_documentation_does_what_it_says() {
    let cluster = Cluster::start();
    let (kubeconfig, module) = (cluster.kubeconfig(), prebuilt("batch"));
    let tour = async { timeout(PATIENCE, tour::tour(&kubeconfig, Path::new(&module))).await };
    Runtime::new().unwrap().block_on(tour).unwrap().unwrap();
}

#[test]
fn a_store_follows_a_cluster_through_its_death() {
    let mut cluster = Cluster::start();
    let runtime = Runtime::new().unwrap();
    let maps: Api<ConfigMap> = runtime.block_on(async { Api::default_namespaced(client(&cluster)) });
    let (store, writer) = store();
    let events = reflector(writer, watcher(&maps, &ours()));
    runtime.spawn(events.for_each(|event| async move { drop(event.unwrap()) }));
    let is = |expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|value| (*value).to_owned()).collect();
        let as_expected = async { store.wait_for(|store| (values(store.state()) == expected).then_some(())).await };
        let seen = runtime.block_on(async { timeout(PATIENCE, as_expected).await });
        seen.unwrap_or_else(|_| panic!("{:?} is not {expected:?}", values(store.state()))).unwrap();
    };
    runtime.block_on(maps.create(map("a", "1"))).unwrap();
    runtime.block_on(maps.create(map("b", "1"))).unwrap();
    is(&["a=1", "b=1"]);

    cluster.kill();
    // Whoever asks meanwhile waits; what was known is still at hand.
    let read = runtime.spawn({
        let maps = maps.clone();
        async move { maps.get("a").await }
    });
    assert_eq!(values(store.state()), ["a=1", "b=1"]);
    cluster.start_again(&[]);
    assert_eq!(runtime.block_on(read).unwrap().unwrap().data["v"], "1");

    runtime.block_on(maps.modify("a", |map| _ = map.data.insert("v".to_owned(), "2".to_owned()))).unwrap();
    runtime.block_on(maps.delete("b", &DeleteOptions::default())).unwrap();
    runtime.block_on(maps.create(map("c", "1"))).unwrap();
    is(&["a=2", "c=1"]);
    let listed = runtime.block_on(maps.list(&ours())).unwrap();
    assert_eq!(values(listed.items.into_iter().map(Box::new)), ["a=2", "c=1"]);
}

#[test]
fn long_lists_come_in_pages_of_one_state() {
    let cluster = Cluster::start();
    Runtime::new().unwrap().block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&cluster));
        for number in 0..7 {
            maps.create(map(&format!("m{number}"), "1")).await.unwrap();
        }
        let first = maps.page(&ours().limit(3), None).await.unwrap();
        assert_eq!((first.items.len(), first.remaining), (3, None), "how many more are selected nobody counts");
        let all = maps.page(&ListParams::default().limit(1), None).await.unwrap();
        assert!(all.remaining.unwrap() >= 6, "{:?}", all.remaining);
        maps.delete("m6", &DeleteOptions::default()).await.unwrap();
        let second = maps.page(&ours().limit(3), first.next.as_deref()).await.unwrap();
        let third = maps.page(&ours().limit(3), second.next.as_deref()).await.unwrap();
        assert_eq!((second.items.len(), third.items.len(), third.next), (3, 1, None), "of the moment of the first");
        assert_eq!([second.revision, third.revision], [first.revision; 2]);

        let streamed: Vec<ConfigMap> = maps.stream(&ours().limit(2)).try_collect().await.unwrap();
        let listed = maps.list(&ours()).await.unwrap();
        assert_eq!((streamed.len(), &streamed), (6, &listed.items));
        assert_eq!(maps.page(&ours(), Some("zzz")).await.unwrap_err().reason, Reason::BadRequest);

        // A watch behind the list tells nothing of what was in it.
        let mut changes = watcher(&maps, &ours().after(listed.revision));
        maps.delete("m0", &DeleteOptions::default()).await.unwrap();
        let told = timeout(PATIENCE, changes.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(&told, kapelle_client::Event::Delete(map) if map.name() == "m0"), "{told:?}");
    });
}

#[test]
fn whoever_changes_the_same_object_at_the_same_time_loses_nothing() {
    const WRITERS: usize = 8;
    const CHANGES: usize = 10;
    let cluster = Cluster::start();
    Runtime::new().unwrap().block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&cluster));
        let first = maps.create(map("counter", "0")).await.unwrap();
        let count = |map: &mut ConfigMap| {
            let value = map.data.get_mut("v").unwrap();
            *value = (value.parse::<usize>().unwrap() + 1).to_string();
        };
        let writer = || async {
            for _ in 0..CHANGES {
                // Of so many at the same time some lose more often than a program should have to try.
                while let Err(error) = maps.modify("counter", count).await {
                    assert_eq!(error.reason, Reason::Conflict, "{error}");
                }
            }
        };
        futures::future::join_all((0..WRITERS).map(|_| writer())).await;
        assert_eq!(maps.get("counter").await.unwrap().data["v"], (WRITERS * CHANGES).to_string());

        let stale = maps.update(first).await.unwrap_err();
        assert_eq!(stale.reason, Reason::Conflict);
        let before = maps.get("counter").await.unwrap();
        assert_eq!(maps.modify("counter", |_| ()).await.unwrap(), before, "nothing changed, nothing written");
        assert_eq!(maps.create(map("counter", "0")).await.unwrap_err().reason, Reason::AlreadyExists);
        assert_eq!(maps.get_opt("other").await.unwrap(), None);
    });
}

#[test]
fn whoever_applies_owns_what_it_says() {
    let cluster = Cluster::start();
    Runtime::new().unwrap().block_on(async {
        let client = client(&cluster);
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let (one, two) = (ApplyParams::manager("one"), ApplyParams::manager("two"));
        let applied = maps.apply(&map("a", "1"), &one).await.unwrap();
        assert_eq!((applied.outcome, applied.object.data["v"].as_str()), (ApplyOutcome::Created, "1"));
        assert_eq!(maps.apply(&map("a", "1"), &one).await.unwrap().outcome, ApplyOutcome::Unchanged);

        let error = maps.apply(&map("a", "2"), &two).await.unwrap_err();
        assert!(error.reason == Reason::Conflict && error.is_owned_by_others(), "{error:?}");
        assert_eq!(error.causes[0].field, ".data.v");
        let dry = Api::<ConfigMap>::default_namespaced(client.clone().with_dry_run());
        let forced = dry.apply(&map("a", "2"), &two.clone().force()).await.unwrap();
        assert_eq!((forced.outcome, forced.object.data["v"].as_str()), (ApplyOutcome::Configured, "2"));
        assert_eq!(maps.get("a").await.unwrap().data["v"], "1", "nothing was stored");

        assert_eq!(maps.apply(&map("a", "2"), &two.clone().force()).await.unwrap().outcome, ApplyOutcome::Configured);
        let mut nothing = map("a", "");
        nothing.data.clear();
        let applied = maps.apply(&nothing, &one).await.unwrap();
        assert_eq!(applied.object.data["v"], "2", "it belongs to somebody else now");

        let services: Api<Service> = Api::default_namespaced(client);
        let text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}, status: {conditions: \
                    [{type: Seen, status: 'True', reason: Test, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}";
        let service = manifest::from_yaml(text).unwrap();
        let conditions = |service: &Service| service.status.as_ref().map_or(0, |status| status.conditions.len());
        assert_eq!(conditions(&services.apply(&service, &one).await.unwrap().object), 0, "the status is a part by itself");
        assert_eq!(conditions(&services.apply_status(&service, &one).await.unwrap().object), 1);
    });
}

#[test]
fn workloads_are_scaled_patched_and_waited_for() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/hello.yaml")).unwrap();
    Runtime::new().unwrap().block_on(async {
        let client = client(&cluster);
        for document in manifest::documents(&text).unwrap() {
            client.apply(&document, &ApplyParams::default()).await.unwrap();
        }
        let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
        deployments.set_replicas("hello", 2).await.unwrap();
        let has_two = |deployment: Option<&Deployment>| {
            let status = deployment.and_then(|deployment| deployment.status.as_ref());
            status.is_some_and(|status| (status.replicas, status.ready_replicas) == (2, 2))
        };
        timeout(PATIENCE, wait_for(&deployments, "hello", has_two)).await.unwrap().unwrap().unwrap();
        let scale = deployments.get_scale("hello").await.unwrap();
        assert_eq!((scale.wanted, scale.present), (Some(2), 2));

        let pods: Api<Pod> = Api::default_namespaced(client);
        let pod = pods.list(&ListParams::default().labels(&scale.selector)).await.unwrap().items.remove(0);
        assert!(answer_of(&pods, pod.name(), 8080).await.unwrap().starts_with("HTTP/1.1 200"));
        let nobody = answer_of(&pods, pod.name(), 9).await.unwrap_err();
        assert!(nobody.message.contains('9'), "{nobody}");

        let patch = Patch::Merge(json!({"metadata": {"annotations": {"note": "here"}}}));
        let patched = deployments.patch("hello", &patch).await.unwrap();
        assert_eq!(patched.metadata().unwrap().annotations["note"], "here");
        deployments.delete("hello", &DeleteOptions::default()).await.unwrap();
        let gone = timeout(PATIENCE, wait_for(&deployments, "hello", |deployment| deployment.is_none())).await;
        assert_eq!(gone.unwrap().unwrap(), None);
    });
}
