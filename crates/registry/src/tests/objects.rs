//! The Registry over a real log: what happens between writers, and between a write and its watchers.

use api::{
    ChangeType, DeleteOptions, Key, Kind, PatchKind, ReadAt, Reason, Revision, Subresource, Write, core_v1,
    kinds::Resource as _, meta_v1, storagemigration_v1,
};
use futures::{StreamExt as _, future::join_all};

use super::{House, config_map, soon};
use crate::{
    Caller, Item, ListAt, ListPage, ListQuery, Options, Registry, WatchFrom, WatchQuery, WriteOptions, Written,
};

fn watch_query(labels: &str, from: WatchFrom) -> WatchQuery {
    WatchQuery {
        kind: Kind::ConfigMap,
        namespace: None,
        labels: labels.parse().unwrap(),
        fields: api::selector::Fields::everything(),
        from,
        bookmarks: true,
        send_initial_events: true,
    }
}

pub(super) fn list_query(kind: Kind) -> ListQuery {
    ListQuery {
        kind,
        namespace: None,
        labels: api::selector::Labels::everything(),
        fields: api::selector::Fields::everything(),
        limit: None,
        continue_: None,
        at: ReadAt::Latest.into(),
    }
}

/// The names of a page, in order.
fn names(page: &ListPage) -> Vec<String> {
    page.items.iter().map(|object| object.key().name.to_string()).collect()
}

async fn submit(registry: &Registry, write: Write) -> Written {
    registry.submit(write, WriteOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_new_cluster_has_its_namespaces_and_an_old_one_everything_it_had() {
    let house = House::new().await;
    submit(&house.registry, Write::Create(config_map("a", "kept"))).await;
    house.registry.shutdown().await;
    let dir = house.dir;

    let registry = super::opened(dir.path(), super::options()).await;

    let page = registry.list(list_query(Kind::Namespace)).await.unwrap();
    assert_eq!(names(&page), ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    let map = registry.get(&key, ReadAt::Any).await.unwrap().object();
    assert_eq!(map.get::<core_v1::ConfigMap>().unwrap().data["v"], "kept");
}

/// Writes so much that the history of ConfigMaps no longer reaches back to what was before.
async fn outgrow_history(registry: &Registry) {
    const VALUE_BYTES: usize = 900_000;
    let large = config_map("large", &"x".repeat(VALUE_BYTES));
    submit(registry, Write::Create(large.clone())).await;
    for n in 0..=store::RING_BYTES_MAX / VALUE_BYTES {
        let mut next = large.clone();
        next.metadata_mut().labels.insert("n".to_owned(), n.to_string());
        submit(registry, Write::Update(next, Subresource::None)).await;
    }
    let key = Key::namespaced(Kind::ConfigMap, "default", "large");
    submit(registry, Write::Delete(key, DeleteOptions::default())).await;
}

#[tokio::test]
async fn a_list_goes_on_in_the_present_when_the_state_of_its_pages_is_gone() {
    let House { registry, dir } = House::new().await;
    for name in ["a", "b", "c"] {
        submit(&registry, Write::Create(config_map(name, "0"))).await;
    }
    let query = |continue_| ListQuery { limit: Some(1), continue_, ..list_query(Kind::ConfigMap) };
    let page = registry.list(query(None)).await.unwrap();
    submit(&registry, Write::Create(config_map("b2", "0"))).await;
    registry.shutdown().await;
    // Nothing is kept for pages any more.
    let registry = super::opened(dir.path(), super::options()).await;
    outgrow_history(&registry).await;
    let expired = registry.list(query(page.continue_)).await.unwrap_err();
    assert_eq!(expired.reason, Reason::Expired);
    let mut token = expired.continue_().map(str::to_owned);
    let (mut found, mut left) = (Vec::<String>::new(), Vec::new());
    while token.is_some() {
        let page = registry.list(query(token)).await.unwrap();
        left.push(page.remaining);
        found.extend(names(&page));
        token = page.continue_;
    }
    assert_eq!((found, left), (["b", "b2", "c"].map(str::to_owned).into(), vec![Some(2), Some(1), None]));
}

#[tokio::test]
async fn the_pages_of_a_list_show_one_state_whatever_happens_and_whoever_is_asked() {
    let House { registry, dir } = House::new().await;
    for name in ["a", "b", "c", "d"] {
        submit(&registry, Write::Create(config_map(name, "0"))).await;
    }
    let query = |continue_| ListQuery { limit: Some(1), continue_, ..list_query(Kind::ConfigMap) };
    let first = registry.list(query(None)).await.unwrap();
    let second = registry.list(query(first.continue_)).await.unwrap();
    let key = |name: &str| Key::namespaced(Kind::ConfigMap, "default", name);
    submit(&registry, Write::Delete(key("c"), DeleteOptions::default())).await;
    submit(&registry, Write::Create(config_map("bb", "0"))).await;
    submit(&registry, Write::Update(config_map("d", "1"), Subresource::None)).await;
    registry.shutdown().await;
    // As a master that did not answer the first pages.
    let registry = super::opened(dir.path(), super::options()).await;
    let third = registry.list(query(second.continue_)).await.unwrap();
    let fourth = registry.list(query(third.continue_.clone())).await.unwrap();
    assert_eq!((names(&third), third.remaining), (vec!["c".to_owned()], Some(1)));
    assert_eq!((names(&fourth), fourth.continue_), (vec!["d".to_owned()], None));
    assert_eq!((third.revision, fourth.revision), (first.revision, first.revision));
    let last = fourth.items[0].object();
    assert_eq!(last.get::<core_v1::ConfigMap>().unwrap().data["v"], "0");
}

#[tokio::test]
async fn exactly_the_state_that_is_asked_for_is_listed_or_none() {
    let House { registry, dir: _dir } = House::new().await;
    let mut states = Vec::new();
    for name in ["a", "b"] {
        let written = submit(&registry, Write::Create(config_map(name, "0"))).await;
        states.push(written.object.revision().unwrap());
    }
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    submit(&registry, Write::Delete(key, DeleteOptions::default())).await;
    let query = |revision| ListQuery { at: ListAt::Exactly(revision), ..list_query(Kind::ConfigMap) };
    for (revision, expected) in states.iter().zip([&["a"][..], &["a", "b"]]) {
        let page = registry.list(query(*revision)).await.unwrap();
        assert_eq!(
            (names(&page), page.revision),
            (expected.iter().map(|name| (*name).to_owned()).collect(), *revision)
        );
    }
    let too_new = registry.list(query(Revision(1_000_000))).await.unwrap_err();
    assert_eq!((too_new.reason, too_new.causes[0].reason), (Reason::Timeout, "ResourceVersionTooLarge"));
    outgrow_history(&registry).await;
    let forgotten = registry.list(query(states[0])).await.unwrap_err();
    assert_eq!(forgotten.reason, Reason::Expired);
    assert_eq!(forgotten.message, "The resourceVersion for the provided list is too old.");
}

#[tokio::test]
async fn writers_without_precondition_do_not_get_in_each_others_way() {
    let House { registry, dir: _dir } = House::new().await;
    submit(&registry, Write::Create(config_map("a", "0"))).await;
    let patch = |n: usize| {
        let key = Key::namespaced(Kind::ConfigMap, "default", "a");
        let patch = serde_json::json!({ "data": { format!("k{n}"): "1" } });
        let registry = &registry;
        async move {
            let kind = api::PatchKind::Merge;
            registry.patch(&key, kind, patch, Subresource::None, WriteOptions::default()).await.unwrap();
        }
    };
    join_all((0..8).map(patch)).await;
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    let map = registry.get(&key, ReadAt::Latest).await.unwrap().object();
    assert_eq!(map.get::<core_v1::ConfigMap>().unwrap().data.len(), 9);
}

#[tokio::test]
async fn services_made_at_the_same_moment_get_different_addresses() {
    let House { registry, dir: _dir } = House::new().await;
    let service = |n: usize| {
        let mut service = core_v1::Service::default();
        service.metadata_mut().name = format!("s{n}");
        service.metadata_mut().namespace = "default".to_owned();
        let port = core_v1::ServicePort { port: 80, ..Default::default() };
        service.spec.get_or_insert_default().ports.push(port);
        Write::Create(service.into())
    };
    let outcomes = registry.submit_all((0..64).map(service).collect()).await;
    let addresses: std::collections::BTreeSet<String> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().get::<core_v1::Service>().unwrap().spec.as_ref().unwrap().cluster_ip.clone())
        .collect();
    assert_eq!(addresses.len(), 64);
    assert!(addresses.contains("127.128.0.10"));
}

#[tokio::test]
async fn a_dry_run_leaves_no_trace() {
    let House { registry, dir: _dir } = House::new().await;
    let before = registry.list(list_query(Kind::ConfigMap)).await.unwrap().revision;
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let written = registry.submit(Write::Create(config_map("a", "1")), options).await.unwrap();
    assert!(written.created && !written.object.object().metadata().unwrap().uid.is_empty());
    let after = registry.list(list_query(Kind::ConfigMap)).await.unwrap();
    assert_eq!((after.items.len(), after.revision), (0, before));
}

#[tokio::test]
async fn a_watch_with_a_selector_sees_objects_come_and_go() {
    let House { registry, dir: _dir } = House::new().await;
    let from = WatchFrom::Existing(ReadAt::Latest);
    let mut items = Box::pin(registry.watch(watch_query("on", from)).await.unwrap());
    assert!(matches!(soon(items.next()).await.unwrap()[..], [Item::Bookmark { initial_end: true, .. }]));
    let labelled = |value: &str, on: bool| {
        let mut map = config_map("a", value);
        if on {
            map.metadata_mut().labels.insert("on".to_owned(), String::new());
        }
        map
    };
    submit(&registry, Write::Create(labelled("1", false))).await;
    submit(&registry, Write::Update(labelled("1", true), Subresource::None)).await;
    submit(&registry, Write::Update(labelled("2", true), Subresource::None)).await;
    let out = submit(&registry, Write::Update(labelled("3", false), Subresource::None)).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        for item in soon(items.next()).await.unwrap() {
            let Item::Change { change, object, .. } = item else { panic!("{item:?}") };
            let value = object.object().get::<core_v1::ConfigMap>().unwrap().data["v"].clone();
            seen.push((change, value, object.revision()));
        }
    }
    let kinds: Vec<_> = seen.iter().map(|(change, value, _)| (*change, value.as_str())).collect();
    assert_eq!(kinds, [(ChangeType::Added, "1"), (ChangeType::Modified, "2"), (ChangeType::Deleted, "2")]);
    assert_eq!(seen[2].2, out.object.revision());
}

#[tokio::test]
async fn a_watch_resumes_after_any_revision_and_ends_with_a_bookmark() {
    let House { registry, dir: _dir } = House::new().await;
    let first = submit(&registry, Write::Create(config_map("a", "1"))).await.object.revision().unwrap();
    submit(&registry, Write::Create(config_map("b", "1"))).await;
    let mut items = Box::pin(registry.watch(watch_query("", WatchFrom::After(first))).await.unwrap());
    let Item::Change { object, .. } = &soon(items.next()).await.unwrap()[0] else { panic!("a change") };
    assert_eq!(&*object.key().name, "b");

    let future = WatchFrom::After(api::Revision(first.0 + 1000));
    assert_eq!(registry.watch(watch_query("", future)).await.err().unwrap().reason, Reason::Timeout);

    registry.close_watches();
    let last = soon(items.next()).await.unwrap();
    assert!(matches!(last[..], [Item::Bookmark { initial_end: false, .. }]), "{last:?}");
    assert!(soon(items.next()).await.is_none());
}

#[tokio::test]
async fn a_name_in_the_fields_selects_one_object() {
    let House { registry, dir: _dir } = House::new().await;
    for name in ["a", "b"] {
        submit(&registry, Write::Create(config_map(name, "1"))).await;
    }
    let fields = |text: &str| api::selector::Fields::parse(Kind::ConfigMap, text).unwrap();
    let cases = [("metadata.name=b", "default", 1), ("metadata.name=c", "default", 0), ("metadata.name=b", "other", 0)];
    for (text, namespace, count) in cases {
        let namespace = Some(namespace.to_owned());
        let query = ListQuery { namespace: namespace.clone(), fields: fields(text), ..list_query(Kind::ConfigMap) };
        assert_eq!(registry.list(query).await.unwrap().items.len(), count, "{text}");
        let watch = watch_query("", WatchFrom::Existing(ReadAt::Latest));
        let mut items =
            Box::pin(registry.watch(WatchQuery { namespace, fields: fields(text), ..watch }).await.unwrap());
        assert_eq!(soon(items.next()).await.unwrap().len(), count + 1, "{text}");
    }
}

#[tokio::test]
async fn the_feed_begins_with_everything_and_goes_on_with_changes() {
    let House { registry, dir: _dir } = House::new().await;
    submit(&registry, Write::Create(config_map("a", "1"))).await;
    let mut feed = Box::pin(registry.feed(&[Kind::ConfigMap, Kind::Namespace]));
    let told = |changes: Vec<api::Observation>| -> Vec<(ChangeType, String)> {
        changes.iter().map(|change| (change.change, change.object.key().to_string())).collect()
    };
    let first = told(soon(feed.next()).await.unwrap());
    assert_eq!((first.len(), first[0].clone()), (5, (ChangeType::Added, "ConfigMap default/a".to_owned())));
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    submit(&registry, Write::Delete(key, DeleteOptions::default())).await;
    let next = told(soon(feed.next()).await.unwrap());
    assert_eq!(next, [(ChangeType::Deleted, "ConfigMap default/a".to_owned())]);
}

#[tokio::test]
async fn a_full_state_takes_deletions_only() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { quota_bytes: 20_000, ..super::options() };
    let registry = super::opened(dir.path(), options).await;
    let admin = registry.for_caller(Caller::Admin { name: "a".to_owned() });
    let create = |registry: Registry, name: String| async move {
        let write = Write::Create(config_map(&name, &"x".repeat(1000)));
        registry.submit(write, WriteOptions::default()).await
    };
    let mut warnings = Vec::new();
    let mut refusal = None;
    for n in 0..40 {
        match create(admin.clone(), format!("m{n}")).await {
            Ok(written) => warnings.extend(written.warnings),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    assert!(warnings.iter().any(|warning| warning.contains("of its 20000 bytes")), "{warnings:?}");
    let refusal = refusal.expect("it gets full");
    assert_eq!(refusal.reason, Reason::Forbidden);
    assert!(refusal.message.contains("--quota-bytes"), "{refusal}");
    create(registry.clone(), "system".to_owned()).await.unwrap();
    let key = Key::namespaced(Kind::ConfigMap, "default", "m0");
    assert!(admin.get(&key, ReadAt::Latest).await.is_ok(), "reads go on");
    for n in 0..2 {
        let key = Key::namespaced(Kind::ConfigMap, "default", format!("m{n}"));
        admin.submit(Write::Delete(key, DeleteOptions::default()), WriteOptions::default()).await.unwrap();
    }
    create(admin, "again".to_owned()).await.unwrap();
}

#[tokio::test]
async fn events_of_nodes_leave_room_for_everybody_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { quota_bytes: 1 << 20, ..super::options() };
    let registry = super::opened(dir.path(), options).await;
    let event = |n: usize| {
        let mut event = core_v1::Event { message: "x".repeat(10_000), ..Default::default() };
        event.metadata_mut().name = format!("e{n}");
        event.metadata_mut().namespace = "default".to_owned();
        event.involved_object.get_or_insert_default().namespace = "default".to_owned();
        event.source.get_or_insert_default().host = "w1".to_owned();
        Write::Create(event.into())
    };
    let node = registry.for_caller(Caller::Node { name: "w1".to_owned(), uid: String::new(), from: None });
    let mut said = 0;
    let refusal = loop {
        match node.submit(event(said), WriteOptions::default()).await {
            Ok(_) => said += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((refusal.reason, refusal.retry_after_s), (Reason::TooManyRequests, Some(10)));
    assert!((5..11).contains(&said) && refusal.message.contains("old ones are forgotten"), "{said}: {refusal}");
    registry.submit(event(said), WriteOptions::default()).await.unwrap();
    let admin = registry.for_caller(Caller::Admin { name: "a".to_owned() });
    for n in 0..10 {
        let map = Write::Create(config_map(&format!("m{n}"), &"x".repeat(10_000)));
        admin.submit(map, WriteOptions::default()).await.unwrap();
        admin.submit(event(said + 1 + n), WriteOptions::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_json_patch_leads_into_a_status_that_is_still_empty() {
    let House { registry, dir: _dir } = House::new().await;
    let migration = storagemigration_v1::StorageVersionMigration {
        metadata: Some(meta_v1::ObjectMeta { name: "a".to_owned(), ..Default::default() }),
        spec: Some(storagemigration_v1::StorageVersionMigrationSpec {
            resource: Some(meta_v1::GroupResource { group: "apps".to_owned(), resource: "deployments".to_owned() }),
        }),
        ..Default::default()
    };
    let key = migration.key();
    submit(&registry, Write::Create(migration.into())).await;
    let patch = async |operations: serde_json::Value| {
        registry.patch(&key, PatchKind::Json, operations, Subresource::Status, WriteOptions::default()).await.unwrap()
    };
    let same = patch(serde_json::json!([{"op": "test", "path": "/status", "value": {}}])).await;
    assert!(same.unchanged);
    let condition = serde_json::json!({"type": "Running", "status": "True", "reason": "a", "message": "b",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    patch(serde_json::json!([{"op": "add", "path": "/status/conditions", "value": [condition]}])).await;
    let found = registry.get(&key, ReadAt::Any).await.unwrap().object();
    let status = found.get::<storagemigration_v1::StorageVersionMigration>().unwrap().status.as_ref();
    assert_eq!(status.unwrap().conditions[0].r#type, "Running");
}
