//! Answers and bodies in YAML.

use super::{Answer, Body, CONFIG_MAPS, DEPLOYMENTS, TABLE, Value, config_map, deployment, header, json, start};

const ACCEPT: &str = "accept: application/yaml";

fn read(answer: &Answer) -> Value {
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/yaml");
    serde_yaml::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn whoever_asks_for_yaml_gets_it() {
    let server = start().await;
    let sent =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c1}\ndata:\n  \"on\": \"yes\"\n  lines: |\n    a\n    b\n";
    let created = server.ask(&format!("POST {CONFIG_MAPS}"), &["content-type: application/yaml", ACCEPT], sent).await;
    assert_eq!((created.code, &read(&created)["data"]), (201, &json!({ "on": "yes", "lines": "a\nb\n" })));
    server.post(CONFIG_MAPS, &config_map("c2", json!({}))).await;
    server.post(DEPLOYMENTS, &deployment("web")).await;

    for path in [
        format!("{CONFIG_MAPS}/c1"),
        CONFIG_MAPS.to_owned(),
        format!("{CONFIG_MAPS}?labelSelector=nobody"),
        format!("{CONFIG_MAPS}/missing"),
        format!("{CONFIG_MAPS}?limit=many"),
        format!("{DEPLOYMENTS}/web/scale"),
    ] {
        let (json, yaml) =
            (server.get(&path).await, server.ask(&format!("GET {path}"), &[ACCEPT], Body::empty()).await);
        assert_eq!((yaml.code, read(&yaml)), (json.code, json.json()), "{path}");
    }
    let table = format!("accept: {}", TABLE.replace("json", "yaml"));
    let table = server.ask(&format!("GET {CONFIG_MAPS}"), &[&table], Body::empty()).await;
    assert_eq!(read(&table)["rows"][1]["cells"][0], "c2");
    let gone = server.ask(&format!("DELETE {CONFIG_MAPS}/c1"), &[ACCEPT], Body::empty()).await;
    assert_eq!(read(&gone)["status"], "Success");
}

#[tokio::test]
async fn a_watch_is_not_written_as_yaml() {
    let server = start().await;
    let refused = server.ask(&format!("GET {CONFIG_MAPS}?watch=true"), &[ACCEPT], Body::empty()).await;
    assert_eq!((refused.code, &read(&refused)["reason"]), (406, &json!("NotAcceptable")));
}

#[tokio::test]
async fn all_mistakes_of_a_body_are_named_with_their_lines() {
    let server = start().await;
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nx: 1\ndata:\n  k: one\n  k: two\n";
    let yaml = ["content-type: application/yaml"];
    let strict = server.ask(&format!("POST {CONFIG_MAPS}?fieldValidation=Strict"), &yaml, twice).await;
    let message = r#"strict decoding error: unknown field "x", line 7: key "k" already set in map"#;
    assert_eq!(strict.shows(&["/message"]), (400, vec![json!(message)]));
    let warned = server.ask(&format!("POST {CONFIG_MAPS}"), &yaml, twice).await;
    assert_eq!(warned.shows(&["/data/k"]), (201, vec![json!("two")]));
    assert_eq!(warned.headers.get_all(header::WARNING).iter().count(), 2);
}
