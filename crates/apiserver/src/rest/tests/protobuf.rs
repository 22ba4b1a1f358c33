//! The REST API in Kubernetes' protobuf, read as client-go reads it.

use api::{core_v1::ConfigMap, envelope, meta_v1};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message;

use super::{Answer, CONFIG_MAPS, DEPLOYMENTS, PATIENCE, Server, config_map, deployment, start};

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

    // Later lists use what the first one has noted.
    for _ in 0..3 {
        let answer = server.ask(&format!("GET {CONFIG_MAPS}"), &[ACCEPT], "").await;
        assert_eq!(opened::<ConfigMapList>(in_protobuf(&answer), ("v1", "ConfigMapList")).items, maps);
        let json = server.get(CONFIG_MAPS).await.json();
        for (item, map) in json["items"].as_array().unwrap().iter().zip(&maps) {
            let entry = &map.metadata.as_ref().unwrap().managed_fields[0];
            let fields: serde_json::Value = serde_json::from_slice(&entry.fields_v1.as_ref().unwrap().raw).unwrap();
            assert_eq!(item["metadata"]["managedFields"][0]["fieldsV1"], fields);
        }
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
async fn errors_and_parts_of_objects_are_messages_too_and_tables_are_not_to_be_had() {
    let server = start().await;
    let missing = server.ask(&format!("GET {CONFIG_MAPS}/a"), &[ACCEPT], "").await;
    let status: meta_v1::Status = opened(in_protobuf(&missing), ("v1", "Status"));
    let details = status.details.unwrap();
    assert_eq!((missing.code, status.code, status.reason.as_str()), (404, 404, "NotFound"));
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("a", "configmaps"));
    let table = "accept: application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1";
    let refused = server.ask(&format!("GET {CONFIG_MAPS}"), &[table], "").await;
    let status: meta_v1::Status = opened(in_protobuf(&refused), ("v1", "Status"));
    assert_eq!((refused.code, status.reason.as_str()), (406, "NotAcceptable"));

    created(&server, "b").await;
    let gone = server.ask(&format!("DELETE {CONFIG_MAPS}/b"), &[ACCEPT], "").await;
    assert_eq!(opened::<meta_v1::Status>(in_protobuf(&gone), ("v1", "Status")).status, "Success");
    server.post(DEPLOYMENTS, &deployment("web")).await;
    let scale = server.ask(&format!("GET {DEPLOYMENTS}/web/scale"), &[ACCEPT], "").await;
    let scale: api::autoscaling_v1::Scale = opened(in_protobuf(&scale), ("autoscaling/v1", "Scale"));
    assert_eq!((scale.spec.unwrap().replicas, scale.status.unwrap().selector.as_str()), (1, "app=web"));
    let review = server.ask("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", &[ACCEPT], "{}").await;
    assert_eq!((review.code, review.header("content-type")), (201, "application/json"), "there is no message for it");
}

/// The beginnings of the answers of discovery, under the numbers of Kubernetes.
mod discovery {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct GroupList {
        #[prost(message, repeated, tag = "1")]
        pub(super) groups: Vec<Group>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Group {
        #[prost(string, tag = "1")]
        pub(super) name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceList {
        #[prost(string, tag = "1")]
        pub(super) group_version: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) resources: Vec<Resource>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(bool, tag = "2")]
        pub(super) namespaced: bool,
        #[prost(message, optional, tag = "4")]
        pub(super) verbs: Option<Verbs>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Verbs {
        #[prost(string, repeated, tag = "1")]
        pub(super) items: Vec<String>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Aggregated {
        #[prost(message, repeated, tag = "2")]
        pub(super) items: Vec<AggregatedGroup>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AggregatedGroup {
        #[prost(message, optional, tag = "1")]
        pub(super) metadata: Option<Group>,
        #[prost(message, repeated, tag = "2")]
        pub(super) versions: Vec<AggregatedVersion>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AggregatedVersion {
        #[prost(string, tag = "1")]
        pub(super) version: String,
        #[prost(message, repeated, tag = "2")]
        pub(super) resources: Vec<AggregatedResource>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AggregatedResource {
        #[prost(string, tag = "1")]
        pub(super) resource: String,
        #[prost(string, repeated, tag = "5")]
        pub(super) verbs: Vec<String>,
    }
}

#[tokio::test]
async fn discovery_says_in_protobuf_what_it_says_in_json() {
    let server = start().await;
    let json = server.get("/apis").await.json();
    let groups: discovery::GroupList =
        opened(in_protobuf(&server.ask("GET /apis", &[ACCEPT], "").await), ("v1", "APIGroupList"));
    let names: Vec<&str> = groups.groups.iter().map(|group| group.name.as_str()).collect();
    let expected: Vec<&str> =
        json["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
    assert_eq!(names, expected);
    opened::<()>(in_protobuf(&server.ask("GET /api", &[ACCEPT], "").await), ("", "APIVersions"));
    opened::<()>(in_protobuf(&server.ask("GET /apis/apps", &[ACCEPT], "").await), ("v1", "APIGroup"));

    let list: discovery::ResourceList =
        opened(in_protobuf(&server.ask("GET /api/v1", &[ACCEPT], "").await), ("v1", "APIResourceList"));
    let pods = list.resources.iter().find(|resource| resource.name == "pods").unwrap();
    assert!(
        list.group_version == "v1"
            && pods.namespaced
            && pods.verbs.as_ref().unwrap().items.contains(&"watch".to_owned())
    );

    let aggregated = "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let answer = server.ask("GET /apis", &[&format!("accept: {aggregated}")], "").await;
    assert_eq!(answer.header("content-type"), aggregated);
    let all: discovery::Aggregated = opened(&answer.body, ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"));
    let apps = all.items.iter().find(|group| group.metadata.as_ref().unwrap().name == "apps").unwrap();
    let resource = &apps.versions[0].resources[0];
    assert!(apps.versions[0].version == "v1" && !resource.resource.is_empty() && !resource.verbs.is_empty());
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
