//! Answers, bodies and watches in CBOR.

use super::{
    Answer, Body, CONFIG_MAPS, DEPLOYMENTS, PATIENCE, TABLE, Value, config_map, deployment, header, json, start,
};
use http_body_util::BodyExt as _;

const ACCEPT: &str = "accept: application/cbor";
const SENT: &str = "content-type: application/cbor";

/// With what each document begins.
const MARK: &[u8] = b"\xd9\xd9\xf7";

fn read(answer: &Answer) -> Value {
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/cbor");
    assert!(answer.body.starts_with(MARK));
    api::cbor::parse(&answer.body).unwrap()
}

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    api::cbor::write(value, &mut bytes);
    bytes
}

#[tokio::test]
async fn whoever_speaks_cbor_is_answered_in_it() {
    let server = start().await;
    let sent = config_map("c1", json!({ "a": "b" }));
    let created = server.ask(&format!("POST {CONFIG_MAPS}"), &[SENT, ACCEPT], written(&sent)).await;
    assert_eq!((created.code, &read(&created)["data"]), (201, &sent["data"]));
    server.post(CONFIG_MAPS, &config_map("c2", json!({}))).await;
    server.post(DEPLOYMENTS, &deployment("web")).await;
    for path in [
        format!("{CONFIG_MAPS}/c1"),
        CONFIG_MAPS.to_owned(),
        format!("{CONFIG_MAPS}?labelSelector=nobody"),
        format!("{CONFIG_MAPS}/missing"),
        format!("{CONFIG_MAPS}?limit=many"),
        format!("{DEPLOYMENTS}/web/scale"),
        "/apis/apps/v1".to_owned(),
    ] {
        let (json, cbor) =
            (server.get(&path).await, server.ask(&format!("GET {path}"), &[ACCEPT], Body::empty()).await);
        assert_eq!((cbor.code, read(&cbor)), (json.code, json.json()), "{path}");
    }
    let table = format!("accept: {}", TABLE.replace("json", "cbor"));
    let table = server.ask(&format!("GET {CONFIG_MAPS}"), &[&table], Body::empty()).await;
    assert_eq!(read(&table)["rows"][1]["cells"][0], "c2");
    let options = written(&json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" }));
    let gone = server.ask(&format!("DELETE {CONFIG_MAPS}/c1"), &[SENT, ACCEPT], options).await;
    assert_eq!(read(&gone)["status"], "Success");
}

#[tokio::test]
async fn a_watch_in_cbor_is_a_sequence() {
    let server = start().await;
    server.post(CONFIG_MAPS, &config_map("c", json!({ "k": "v" }))).await;
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let response = server.send(&format!("GET {CONFIG_MAPS}?{query}"), &[ACCEPT], "").await;
    assert_eq!(response.headers()["content-type"], "application/cbor-seq");
    let (mut body, mut unread) = (response.into_body(), Vec::new());
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an event in time").unwrap().unwrap();
        unread.extend_from_slice(&frame.into_data().unwrap_or_default());
        let starts: Vec<usize> = (0..unread.len()).filter(|at| unread[*at..].starts_with(MARK)).collect();
        let ends = starts.iter().skip(1).copied().chain([unread.len()]);
        told = starts.iter().zip(ends).filter_map(|(from, to)| api::cbor::parse(&unread[*from..to]).ok()).collect();
    }
    assert_eq!((&told[0]["type"], &told[0]["object"]["data"]["k"]), (&json!("ADDED"), &json!("v")));
    assert_eq!(told[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn bytes_that_are_no_cbor_are_refused() {
    let server = start().await;
    let twice = b"\xa2\x41a\x01\x41a\x02".to_vec();
    for bytes in [vec![], vec![0xff], vec![0x9b; 40], vec![0x81; 3000], vec![0xd9; 7], twice, vec![0x80]] {
        let answer = server.ask(&format!("POST {CONFIG_MAPS}"), &[SENT], bytes.clone()).await;
        assert_eq!((answer.code, &answer.json()["reason"]), (400, &json!("BadRequest")), "{bytes:x?}");
    }
    let unknown = json!({ "metadata": { "name": "c" }, "dat": {} });
    let strict = format!("POST {CONFIG_MAPS}?fieldValidation=Strict");
    let answer = server.ask(&strict, &[SENT], written(&unknown)).await;
    assert!(answer.json()["message"].as_str().unwrap().contains("unknown field \"dat\""), "{:?}", answer.body);
}
