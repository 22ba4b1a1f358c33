//! The REST API in Kubernetes' protobuf, read as client-go reads it.

use api::{core_v1::ConfigMap, envelope, meta_v1};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message;

use super::{Answer, CONFIG_MAPS, PATIENCE, Server, config_map, start};

const ACCEPT: &str = "accept: application/vnd.kubernetes.protobuf, application/json";
const PARTIAL: &str = "accept: application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

#[derive(Clone, PartialEq, Message)]
struct ConfigMapList {
    #[prost(message, optional, tag = "1")]
    metadata: Option<meta_v1::ListMeta>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<ConfigMap>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(message, optional, tag = "2")]
    object: Option<meta_v1::RawExtension>,
}

/// What is in a body, which says that it is of a kind.
fn opened<M: Message + Default>(body: &[u8], is: (&str, &str)) -> M {
    let envelope = envelope::decode(body).unwrap();
    assert_eq!((envelope.api_version.as_str(), envelope.kind.as_str()), is);
    M::decode(envelope.raw).unwrap()
}

fn in_protobuf(answer: &Answer) -> &Bytes {
    assert_eq!(answer.header("content-type"), "application/vnd.kubernetes.protobuf");
    &answer.body
}

fn revision(map: &ConfigMap) -> u64 {
    map.metadata.as_ref().unwrap().resource_version.parse().unwrap()
}

async fn created(server: &Server, name: &str) -> ConfigMap {
    let body = config_map(name, serde_json::json!({ "k": name })).to_string();
    let answer = server.ask(&format!("POST {CONFIG_MAPS}"), &[ACCEPT], body).await;
    assert_eq!(answer.code, 201);
    opened(in_protobuf(&answer), ("v1", "ConfigMap"))
}

#[tokio::test]
async fn objects_and_lists_are_answered_in_protobuf_to_whoever_prefers_it() {
    let server = start().await;
    let maps = [created(&server, "a").await, created(&server, "b").await, created(&server, "c").await];
    for map in &maps {
        let name = &map.metadata.as_ref().unwrap().name;
        let answer = server.ask(&format!("GET {CONFIG_MAPS}/{name}"), &[ACCEPT], "").await;
        assert_eq!(opened::<ConfigMap>(in_protobuf(&answer), ("v1", "ConfigMap")), *map);
        let json = server.get(&format!("{CONFIG_MAPS}/{name}")).await.json();
        assert_eq!(json["metadata"]["resourceVersion"], map.metadata.as_ref().unwrap().resource_version);
    }

    let answer = server.ask(&format!("GET {CONFIG_MAPS}?limit=2"), &[ACCEPT], "").await;
    let page: ConfigMapList = opened(in_protobuf(&answer), ("v1", "ConfigMapList"));
    let meta = page.metadata.unwrap();
    assert_eq!((page.items.as_slice(), meta.remaining_item_count), (&maps[..2], Some(1)));
    let rest = format!("GET {CONFIG_MAPS}?limit=2&continue={}", meta.r#continue);
    let rest: ConfigMapList = opened(&server.ask(&rest, &[ACCEPT], "").await.body, ("v1", "ConfigMapList"));
    assert_eq!((rest.items.as_slice(), rest.metadata.unwrap().resource_version), (&maps[2..], meta.resource_version));

    let answer = server.ask(&format!("GET {CONFIG_MAPS}"), &[PARTIAL], "").await;
    let partial: ConfigMapList = opened(in_protobuf(&answer), ("meta.k8s.io/v1", "PartialObjectMetadataList"));
    let told: Vec<_> = partial.items.into_iter().map(|map| (map.metadata, map.data.len())).collect();
    assert_eq!(told, maps.map(|map| (map.metadata, 0)));
}

#[tokio::test]
async fn errors_are_told_in_json_and_tables_are_not_to_be_had() {
    let server = start().await;
    let missing = server.ask(&format!("GET {CONFIG_MAPS}/a"), &[ACCEPT], "").await;
    assert_eq!((missing.code, missing.header("content-type")), (404, "application/json"));
    assert_eq!(missing.json()["reason"], "NotFound");
    let table = "accept: application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
    let refused = server.ask(&format!("GET {CONFIG_MAPS}"), &[table], "").await;
    assert_eq!((refused.code, &refused.json()["reason"]), (406, &"NotAcceptable".into()));
}

/// Reads events of a watch as they come.
struct Events {
    body: hyper::body::Incoming,
    unread: BytesMut,
}

impl Events {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(prefix) = self.unread.first_chunk::<4>() {
                let length = u32::from_be_bytes(*prefix) as usize;
                if self.unread.len() >= 4 + length {
                    self.unread.advance(4);
                    return WatchEvent::decode(self.unread.split_to(length)).unwrap();
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event in time").unwrap();
            self.unread.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
    }

    async fn map(&mut self) -> (String, ConfigMap) {
        let event = self.next().await;
        (event.r#type, opened(&event.object.unwrap().raw, ("v1", "ConfigMap")))
    }
}

#[tokio::test]
async fn a_watch_in_protobuf_tells_what_one_in_json_tells() {
    let server = start().await;
    let first = created(&server, "a").await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let response = server.send(&format!("GET {CONFIG_MAPS}?{query}"), &[ACCEPT], "").await;
    assert_eq!(response.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let mut events = Events { body: response.into_body(), unread: BytesMut::new() };

    assert_eq!(events.map().await, ("ADDED".to_owned(), first.clone()));
    let (word, mark) = events.map().await;
    let mark = mark.metadata.unwrap();
    assert_eq!((word.as_str(), mark.annotations["k8s.io/initial-events-end"].as_str()), ("BOOKMARK", "true"));
    assert!(mark.resource_version.parse::<u64>().unwrap() >= revision(&first));

    let second = created(&server, "b").await;
    assert_eq!(events.map().await, ("ADDED".to_owned(), second.clone()));
    server.ask(&format!("DELETE {CONFIG_MAPS}/b"), &[], "").await;
    let (word, last) = events.map().await;
    assert_eq!((word.as_str(), &last.data), ("DELETED", &second.data));
    assert!(revision(&last) > revision(&second));
}
