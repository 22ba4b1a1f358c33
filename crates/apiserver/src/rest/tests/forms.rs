//! Every form of an answer in every encoding that has it: the same is said in each.

use api::{core_v1::ConfigMap, envelope, meta_v1};
use http_body_util::BodyExt as _;
use prost::Message as _;

use super::{Body, CONFIG_MAPS, PATIENCE, Server, Value, config_map, header, json, start};

const FORMS: [&str; 3] = ["", ";as=Table;g=meta.k8s.io;v=v1", ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"];

/// What a body in a media type says, for comparison with JSON.
fn read(media: &str, body: &[u8]) -> Value {
    match media {
        "application/json" => serde_json::from_slice(body).unwrap(),
        "application/yaml" => serde_yaml::from_slice(body).unwrap(),
        "application/cbor" | "application/cbor-seq" => api::cbor::parse(body).unwrap(),
        other => panic!("{other}"),
    }
}

async fn two_maps() -> Server {
    let server = start().await;
    for name in ["a", "b"] {
        let mut map = config_map(name, json!({ "k": name }));
        map["metadata"]["labels"] = json!({ "on": "yes" });
        assert_eq!(server.post(CONFIG_MAPS, &map).await.code, 201);
    }
    server
}

#[tokio::test]
async fn objects_and_lists_say_the_same_in_every_form_and_encoding() {
    let server = two_maps().await;
    for path in [CONFIG_MAPS.to_owned(), format!("{CONFIG_MAPS}/a"), format!("{CONFIG_MAPS}?limit=1")] {
        for form in FORMS {
            let in_json = format!("accept: application/json{form}");
            let expected = server.ask(&format!("GET {path}"), &[&in_json], Body::empty()).await.json();
            for media in ["application/yaml", "application/cbor"] {
                let answer =
                    server.ask(&format!("GET {path}"), &[&format!("accept: {media}{form}")], Body::empty()).await;
                assert_eq!((answer.code, answer.header(header::CONTENT_TYPE)), (200, media), "{path} {media}{form}");
                assert_eq!(read(media, &answer.body), expected, "{path} {media}{form}");
            }
        }
    }
}

/// The first event of a watch of everything.
async fn first_event(server: &Server, accept: &str) -> (String, Vec<u8>) {
    let line = format!("GET {CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da&resourceVersion=0");
    let response = server.send(&line, &[&format!("accept: {accept}")], Body::empty()).await;
    assert_eq!(response.status(), 200, "{accept}");
    let media = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let mut body = response.into_body();
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an event in time").unwrap().unwrap();
    (media, frame.into_data().unwrap().to_vec())
}

#[tokio::test]
async fn watches_say_the_same_in_every_form_and_encoding() {
    let server = two_maps().await;
    for form in FORMS {
        let (media, event) = first_event(&server, &format!("application/json{form}")).await;
        assert_eq!(media, "application/json");
        let (seq, same) = first_event(&server, &format!("application/cbor{form}")).await;
        assert_eq!((seq.as_str(), read(&seq, &same)), ("application/cbor-seq", read(&media, &event)), "{form}");
        let line = format!("GET {CONFIG_MAPS}?watch=1");
        let yaml = server.ask(&line, &[&format!("accept: application/yaml{form}")], Body::empty()).await;
        assert_eq!(yaml.code, 406, "no client could tell where one ends: {form}");
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WatchEvent {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(message, optional, tag = "2")]
    object: Option<meta_v1::RawExtension>,
}

#[tokio::test]
async fn metadata_alone_are_watched_in_protobuf() {
    let server = two_maps().await;
    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let (media, event) = first_event(&server, accept).await;
    assert_eq!(media, "application/vnd.kubernetes.protobuf;stream=watch");
    let event = WatchEvent::decode(&event[4..]).unwrap();
    let told = envelope::decode(&event.object.unwrap().raw).unwrap();
    assert_eq!((event.r#type.as_str(), told.api_version.as_str()), ("ADDED", "meta.k8s.io/v1"));
    assert_eq!(told.kind, "PartialObjectMetadata");
    let map = ConfigMap::decode(told.raw).unwrap();
    assert_eq!((map.metadata.unwrap().labels["on"].as_str(), map.data.len()), ("yes", 0));
}
