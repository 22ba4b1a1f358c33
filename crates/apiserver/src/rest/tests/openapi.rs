//! OpenAPI documents as clients ask for them: by tag, by type, compressed.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::{Answer, Body, CONFIG_MAPS, Server, Value, config_map, header, json, start};

const V2: &str = "accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V3: &str = "accept: application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
const GZIP: &str = "accept-encoding: gzip";

async fn ask(server: &Server, path: &str, headers: &[&str]) -> Answer {
    server.ask(&format!("GET {path}"), headers, Body::empty()).await
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header(header::CONTENT_ENCODING), "gzip");
    let mut whole = Vec::new();
    GzDecoder::new(&*answer.body).read_to_end(&mut whole).unwrap();
    whole
}

#[tokio::test]
async fn openapi_lets_clients_leave_validation_to_the_server() {
    let server = start().await;
    let index = server.get("/openapi/v3").await.json();
    let url = index.pointer("/paths/apis~1apps~1v1/serverRelativeURL").and_then(Value::as_str).unwrap();
    let document = server.get(url).await.json();
    let patch =
        document.pointer("/paths/~1apis~1apps~1v1~1namespaces~1{namespace}~1deployments~1{name}/patch").unwrap();
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    assert!(patch["parameters"].to_string().contains("fieldValidation"));
}

#[tokio::test]
async fn the_elder_document_comes_in_both_forms() {
    let server = start().await;
    let json = server.get("/openapi/v2").await;
    assert_eq!(json.header(header::CONTENT_TYPE), "application/json");
    assert!(json.json()["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
    let protobuf = ask(&server, "/openapi/v2", &[V2]).await;
    let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    assert_eq!((protobuf.code, protobuf.header(header::CONTENT_TYPE)), (200, media));
    assert_eq!(protobuf.body[..5], *b"\x0a\x032.0");
    assert!(protobuf.body.len() > 100_000);
    let other = ask(&server, "/openapi/v2", &["accept: text/html"]).await;
    assert_eq!((other.code, &other.json()["reason"]), (406, &json!("NotAcceptable")));
}

#[tokio::test]
async fn the_newer_documents_come_in_both_forms_and_are_kept_under_the_url_that_names_them() {
    let server = start().await;
    let media = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    for accept in [V3, "accept: application/com.github.proto-openapi.spec.v3.v1.0+protobuf, */*"] {
        let protobuf = ask(&server, "/openapi/v3/apis/apps/v1", &[accept]).await;
        assert_eq!((protobuf.code, protobuf.header(header::CONTENT_TYPE)), (200, media));
        assert_eq!(protobuf.body[..7], *b"\x0a\x053.0.0");
        assert!(protobuf.body.len() > 100_000);
    }
    assert_eq!(ask(&server, "/openapi/v3/apis/apps/v1", &[V2]).await.code, 406);

    let index = server.get("/openapi/v3").await.json();
    let url = index.pointer("/paths/apis~1apps~1v1/serverRelativeURL").and_then(Value::as_str).unwrap();
    for accept in [V3, "accept: application/json"] {
        let kept = ask(&server, url, &[accept]).await;
        let said = kept.header(header::CACHE_CONTROL);
        assert!(
            kept.code == 200 && said.contains("immutable") && said.contains("max-age=31536000"),
            "{accept}: {said}"
        );
        let moved = ask(&server, "/openapi/v3/apis/apps/v1?hash=0123", &[accept]).await;
        assert_eq!((moved.code, moved.header(header::LOCATION)), (301, url));
    }
    let unnamed = server.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(unnamed.header(header::CACHE_CONTROL), "no-cache, private");
}

#[tokio::test]
async fn documents_are_sent_once_and_compressed() {
    let server = start().await;
    for (path, accept) in [
        ("/openapi/v2", V2),
        ("/openapi/v2", "accept: application/json"),
        ("/openapi/v3", "accept: application/json"),
        ("/openapi/v3/api/v1", "accept: application/json"),
        ("/openapi/v3/api/v1", V3),
        ("/api", "accept: application/json"),
        ("/apis/apps", "accept: application/yaml"),
        ("/apis/apps/v1", "accept: application/cbor"),
        ("/apis", "accept: application/vnd.kubernetes.protobuf"),
        ("/apis", "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ] {
        let whole = ask(&server, path, &[accept]).await;
        let tag = whole.header(header::ETAG);
        assert!(tag.len() > 60 && whole.header(header::VARY).contains("Accept"), "{path}");
        for known in [format!("if-none-match: {tag}"), format!("if-none-match: \"other\", W/{tag}")] {
            let again = ask(&server, path, &[accept, &known]).await;
            assert_eq!((again.code, again.body.len(), again.header(header::ETAG)), (304, 0, tag), "{path}");
        }
        assert_eq!(ask(&server, path, &[accept, "if-none-match: \"other\""]).await.code, 200, "{path}");
        let compressed = ask(&server, path, &[accept, GZIP]).await;
        assert_eq!(compressed.header(header::ETAG), tag, "{path}");
        if whole.body.len() > 128 << 10 {
            assert_eq!(unpacked(&compressed), whole.body, "{path}");
            assert!(compressed.body.len() < whole.body.len() / 4, "{path}");
        }
    }
}

#[tokio::test]
async fn long_lists_are_compressed_for_whoever_takes_it_and_watches_are_not() {
    let server = start().await;
    for n in 0..4 {
        let map = config_map(&format!("m{n}"), json!({ "k": "v".repeat(40_000) }));
        assert_eq!(server.post(CONFIG_MAPS, &map).await.code, 201);
    }
    let (plain, compressed) = (server.get(CONFIG_MAPS).await, ask(&server, CONFIG_MAPS, &[GZIP]).await);
    assert_eq!(plain.header(header::CONTENT_ENCODING), "");
    assert_eq!(compressed.header(header::VARY), "Accept-Encoding");
    assert_eq!(unpacked(&compressed), plain.body);
    assert_eq!(ask(&server, &format!("{CONFIG_MAPS}?limit=1"), &[GZIP]).await.header(header::CONTENT_ENCODING), "");
    let mut lines = server.watch(&format!("{CONFIG_MAPS}?watch=1"), &[GZIP]).await;
    assert_eq!(lines.next().await.unwrap()["type"], "ADDED");
}
