//! Kinds that users define, over a real log: what another master, or the next life of this one, makes of them.

use api::{
    DeleteOptions, Key, Kind, ReadAt, Served, Subresource, Write,
    apiextensions_v1::CustomResourceDefinition,
    json::{self, Strictness},
};
use futures::StreamExt as _;
use serde_json::json;

use super::{House, objects::list_query, opened, options, soon};
use crate::{ListAt, ListQuery, Registry, WriteOptions, write::Written};

fn definition(size: &serde_json::Value) -> api::Object {
    let manifest = json!({
        "metadata": {"name": "widgets.registry.test"},
        "spec": {
            "group": "registry.test", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": size}},
                }}},
            }],
        },
    });
    json::decode(Kind::CustomResourceDefinition, &manifest, Strictness::Strict).unwrap().object
}

async fn submit(registry: &Registry, write: Write) -> Written {
    let served = match &write {
        Write::Create(object) | Write::Update(object, _) => object.served(),
        Write::Delete(key, _) => key.kind.into(),
    };
    registry.submit(write, WriteOptions::default().sent_as(served)).await.unwrap()
}

/// Defines Widgets, as if the controller had found their names free.
pub(super) async fn define(registry: &Registry) {
    let created = submit(registry, Write::Create(definition(&json!({"type": "integer", "default": 7})))).await;
    let mut accepted = created.object.object().get::<CustomResourceDefinition>().unwrap().clone();
    let names = accepted.spec.as_ref().unwrap().names.clone();
    let status = accepted.status.get_or_insert_default();
    status.accepted_names = names;
    status.conditions = vec![api::conditions::new("Established", true.into(), "", "", api::Timestamp(0))];
    submit(registry, Write::Update(accepted.into(), Subresource::Status)).await;
}

fn served(registry: &Registry) -> Option<Served> {
    registry.definitions().from_api_version("registry.test/v1", "Widget")
}

fn widget(registry: &Registry, name: &str) -> api::Object {
    let value = json!({"metadata": {"name": name, "namespace": "default"}, "spec": {}});
    registry.decode(served(registry).unwrap(), &value, Strictness::Strict).unwrap().object
}

#[tokio::test]
async fn what_was_defined_and_made_is_there_in_the_next_life() {
    let House { registry, dir } = House::new().await;
    define(&registry).await;
    let key = submit(&registry, Write::Create(widget(&registry, "a"))).await.object.key();
    registry.shutdown().await;
    drop(registry);
    let registry = opened(dir.path(), options()).await;
    let found = registry.get(&key, ReadAt::Latest).await.unwrap();
    assert_eq!(json::encode(&found.object_as(served(&registry).unwrap()))["spec"], json!({"size": 7}));
    // Of a record that was just read nothing but the text is copied.
    let encoded = found.encoded(served(&registry).unwrap());
    assert!(encoded.revision.is_some(), "the bytes are those of the state");
}

#[tokio::test]
async fn the_feed_tells_of_kinds_that_are_defined_only_then() {
    let House { registry, dir: _dir } = House::new().await;
    let mut feed = Box::pin(registry.feed_all());
    soon(feed.next()).await.unwrap();
    define(&registry).await;
    let key = submit(&registry, Write::Create(widget(&registry, "a"))).await.object.key();
    let mut told = Vec::new();
    while !told.contains(&key) {
        told.extend(soon(feed.next()).await.unwrap().iter().map(|news| news.object.key()));
    }
    submit(&registry, Write::Delete(key.clone(), DeleteOptions::default())).await;
    let gone = soon(feed.next()).await.unwrap();
    assert_eq!((gone[0].change, gone[0].object.key()), (api::ChangeType::Deleted, key));
}

#[tokio::test]
async fn a_definition_is_read_again_only_when_it_changes() {
    let House { registry, dir: _dir } = House::new().await;
    assert_eq!(served(&registry), None);
    define(&registry).await;
    let (one, other) = (registry.definitions(), registry.definitions());
    assert!(std::sync::Arc::ptr_eq(&one, &other));
    submit(&registry, Write::Create(widget(&registry, "a"))).await;
    assert!(std::sync::Arc::ptr_eq(&one, &registry.definitions()), "objects are no definitions");
    let key = Key::cluster(Kind::CustomResourceDefinition, "widgets.registry.test");
    submit(&registry, Write::Delete(key, DeleteOptions::default())).await;
    assert!(!std::sync::Arc::ptr_eq(&one, &registry.definitions()));
    let refused = registry.submit(Write::Create(widget(&registry, "b")), WriteOptions::default()).await.unwrap_err();
    assert_eq!(refused.reason, api::Reason::MethodNotAllowed, "{refused}");
}

#[tokio::test]
async fn an_old_state_is_shown_by_what_is_defined_now() {
    let House { registry, dir: _dir } = House::new().await;
    define(&registry).await;
    let old = submit(&registry, Write::Create(widget(&registry, "a"))).await.object;
    submit(&registry, Write::Create(widget(&registry, "b"))).await;
    let text = json::encode(&definition(&json!({"type": "integer", "default": 9}))).to_string();
    let renamed = serde_json::from_str(&text.replace("\"size\"", "\"mass\"")).unwrap();
    let renamed = json::decode(Kind::CustomResourceDefinition, &renamed, Strictness::Strict).unwrap().object;
    submit(&registry, Write::Update(renamed, Subresource::None)).await;
    let at = ListAt::Exactly(old.revision().unwrap());
    for _ in ["rebuilt for the first page", "kept for the next ones"] {
        let page = registry.list(ListQuery { at, limit: Some(1), ..list_query(old.key().kind) }).await.unwrap();
        let [found] = page.items.as_slice() else { panic!("{page:?}") };
        let shown = json::encode(&found.object_as(served(&registry).unwrap()));
        assert_eq!((found.key(), &shown["spec"]), (old.key(), &json!({"mass": 9})));
    }
}
