//! Pushing and pulling as the tools do it, request by request.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{Alone, Digest, Images, oci};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Hall {
    router: axum::Router,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: bytes::Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of the first error in it.
    fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

impl Hall {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::open(dir.path(), Arc::new(Alone)).await.unwrap();
        Self { router: oci::router(images), _dir: dir }
    }

    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.ask_mounting(line, None, headers, body).await
    }

    /// As somebody who may read in another repository.
    async fn ask_mounting(
        &self,
        line: &str,
        from: Option<&str>,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(from) = from {
            request = request.extension(oci::MayMount(from.to_owned()));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], Body::empty()).await
    }

    async fn push_blob(&self, name: &str, content: &'static [u8]) -> Digest {
        let digest = Digest::of(content);
        let pushed = self.ask(&format!("POST /v2/{name}/blobs/uploads/?digest={digest}"), &[], content).await;
        assert_eq!(
            (pushed.status, pushed.header("location")),
            (StatusCode::CREATED, format!("/v2/{name}/blobs/{digest}").as_str())
        );
        digest
    }
}

fn manifest(layer: &Digest) -> String {
    let part = |r#type: &str| json!({ "mediaType": r#type, "digest": layer.to_string(), "size": 1 });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": part("application/vnd.wasm.config.v0+json"), "layers": [part("application/wasm")] }).to_string()
}

#[tokio::test]
async fn a_blob_comes_in_pieces_and_is_read_in_parts() {
    let hall = Hall::new().await;
    let begun = hall.ask("POST /v2/team/web/blobs/uploads/", &[], Body::empty()).await;
    assert_eq!((begun.status, begun.header("range")), (StatusCode::ACCEPTED, "0-0"));
    let place = begun.header("location").to_owned();
    let first = hall.ask(&format!("PATCH {place}"), &[("content-range", "0-4")], "hello").await;
    assert_eq!((first.status, first.header("range")), (StatusCode::ACCEPTED, "0-4"));
    let gap = hall.ask(&format!("PATCH {place}"), &[("content-range", "9-12")], "gap!").await;
    assert_eq!(gap.refusal(), (416, "BLOB_UPLOAD_INVALID".to_owned()));
    assert_eq!(hall.get(&place).await.header("range"), "0-4");
    let digest = Digest::of(b"hello world");
    let escaped = digest.to_string().replace(':', "%3A");
    let done = hall.ask(&format!("PUT {place}?digest={escaped}"), &[], " world").await;
    assert_eq!((done.status, done.header("docker-content-digest")), (StatusCode::CREATED, digest.to_string().as_str()));

    let blob = format!("/v2/team/web/blobs/{digest}");
    assert_eq!(hall.get(&blob).await.body, "hello world");
    let head = hall.ask(&format!("HEAD {blob}"), &[], Body::empty()).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (StatusCode::OK, "11", 0));
    for (range, part) in [("bytes=6-", "world"), ("bytes=0-3", "hell"), ("bytes=-2", "ld"), ("bytes=10-99", "d")] {
        let partial = hall.ask(&format!("GET {blob}"), &[("range", range)], Body::empty()).await;
        assert_eq!((partial.status, &partial.body[..]), (StatusCode::PARTIAL_CONTENT, part.as_bytes()), "{range}");
    }
    let beyond = hall.ask(&format!("GET {blob}"), &[("range", "bytes=11-")], Body::empty()).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn content_must_be_what_it_was_said_to_be() {
    let hall = Hall::new().await;
    let wrong = hall.ask(&format!("POST /v2/web/blobs/uploads/?digest={}", Digest::of(b"other")), &[], "this").await;
    assert_eq!(wrong.refusal(), (400, "DIGEST_INVALID".to_owned()));
    let absent = hall.get(&format!("/v2/web/blobs/{}", Digest::of(b"this"))).await;
    assert_eq!(absent.refusal(), (404, "BLOB_UNKNOWN".to_owned()));
    let odd = hall.get("/v2/web/blobs/sha256:../../secret").await;
    assert_eq!(odd.status, StatusCode::NOT_FOUND);
    for name in ["Web", "a..b", "-a", "a/", "_tags"] {
        let refused = hall.get(&format!("/v2/{name}/tags/list")).await;
        assert_eq!(refused.refusal(), (400, "NAME_INVALID".to_owned()), "{name}");
    }
    let lost = hall.ask("PATCH /v2/web/blobs/uploads/never", &[], "x").await;
    assert_eq!(lost.refusal(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

#[tokio::test]
async fn a_module_is_pushed_tagged_listed_and_forgotten() {
    let hall = Hall::new().await;
    let early = hall.ask("PUT /v2/web/manifests/1", &[], manifest(&Digest::of(b"\0asm"))).await;
    assert_eq!(early.refusal(), (404, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    let layer = hall.push_blob("web", b"\0asm").await;
    let text = manifest(&layer);
    let digest = Digest::of(text.as_bytes());
    for tag in ["1", "latest"] {
        let put = hall.ask(&format!("PUT /v2/web/manifests/{tag}"), &[("content-type", MANIFEST)], text.clone()).await;
        assert_eq!(
            (put.status, put.header("location")),
            (StatusCode::CREATED, format!("/v2/web/manifests/{digest}").as_str())
        );
    }
    for reference in ["1", "latest", &digest.to_string()] {
        let got = hall.get(&format!("/v2/web/manifests/{reference}")).await;
        assert_eq!((got.header("content-type"), &got.body[..]), (MANIFEST, text.as_bytes()));
    }
    assert_eq!(hall.get("/v2/web/tags/list").await.json(), json!({ "name": "web", "tags": ["1", "latest"] }));
    let page = hall.get("/v2/web/tags/list?n=1").await;
    assert_eq!(
        (page.json()["tags"].clone(), page.header("link")),
        (json!(["1"]), "</v2/web/tags/list?last=1&n=1>; rel=\"next\"")
    );

    let line = format!("POST /v2/a/b/blobs/uploads/?mount={layer}&from=web");
    let mounted = hall.ask_mounting(&line, Some("web"), &[], Body::empty()).await;
    assert_eq!(mounted.status, StatusCode::CREATED);
    hall.ask("PUT /v2/a/b/manifests/1", &[], text).await;
    assert_eq!(hall.get("/v2/_catalog").await.json(), json!({ "repositories": ["a/b", "web"] }));
    assert_eq!(hall.get("/v2/").await.header("docker-distribution-api-version"), "registry/2.0");

    assert_eq!(hall.ask("DELETE /v2/web/manifests/1", &[], Body::empty()).await.status, StatusCode::ACCEPTED);
    assert_eq!(hall.get("/v2/web/tags/list").await.json()["tags"], json!(["latest"]));
    let whole = hall.ask(&format!("DELETE /v2/web/manifests/{digest}"), &[], Body::empty()).await;
    assert_eq!(whole.status, StatusCode::ACCEPTED);
    assert_eq!(hall.get("/v2/web/manifests/latest").await.refusal(), (404, "MANIFEST_UNKNOWN".to_owned()));
    assert_eq!(hall.get("/v2/a/b/manifests/1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_repository_answers_only_with_what_was_brought_to_it() {
    let hall = Hall::new().await;
    let layer = hall.push_blob("secret/app", b"\0asm secret").await;
    let text = manifest(&layer);
    hall.ask("PUT /v2/secret/app/manifests/1", &[], text.clone()).await;
    let unknown = (404, "BLOB_UNKNOWN".to_owned());
    let read = async |name: &str| hall.get(&format!("/v2/{name}/blobs/{layer}")).await;
    // Who may read or write elsewhere and knows the digest gets nothing by it.
    assert_eq!(read("mine/app").await.refusal(), unknown);
    assert_eq!(hall.ask(&format!("HEAD /v2/mine/app/blobs/{layer}"), &[], Body::empty()).await.status, 404);
    assert_eq!(
        hall.ask("PUT /v2/mine/app/manifests/1", &[], text.clone()).await.refusal(),
        (404, "MANIFEST_BLOB_UNKNOWN".to_owned())
    );
    for mount in [format!("mount={layer}"), format!("mount={layer}&from=secret/app")] {
        let begun = hall.ask(&format!("POST /v2/mine/app/blobs/uploads/?{mount}"), &[], Body::empty()).await;
        assert_eq!(begun.status, StatusCode::ACCEPTED, "{mount}: an upload begins instead");
        // An upload is known where it began.
        let elsewhere = begun.header("location").replace("mine/app", "other/app");
        let lost = hall.ask(&format!("PUT {elsewhere}?digest={layer}"), &[], "\0asm secret").await;
        assert_eq!(lost.refusal(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    }
    assert_eq!(read("mine/app").await.refusal(), unknown);
    // Who may read there mounts it.
    let line = format!("POST /v2/mine/app/blobs/uploads/?mount={layer}&from=secret/app");
    let mounted = hall.ask_mounting(&line, Some("secret/app"), &[], Body::empty()).await;
    assert_eq!(mounted.status, StatusCode::CREATED);
    assert_eq!(read("mine/app").await.body, "\0asm secret".as_bytes());
    assert_eq!(hall.ask("PUT /v2/mine/app/manifests/1", &[], text).await.status, StatusCode::CREATED);
    let nothing = hall.ask_mounting(&line.replace("mine", "late"), Some("no/such"), &[], Body::empty()).await;
    assert_eq!(nothing.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn repositories_that_shared_everything_hold_what_their_manifests_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || Images::open(dir.path(), Arc::new(Alone)).await.unwrap();
    let hall = Hall { router: oci::router(open().await), _dir: tempfile::tempdir().unwrap() };
    let layer = hall.push_blob("web", b"\0asm").await;
    hall.ask("PUT /v2/web/manifests/1", &[], manifest(&layer)).await;
    // As an earlier version left it.
    std::fs::remove_dir_all(dir.path().join("repositories/web/_blobs")).unwrap();
    std::fs::remove_file(dir.path().join("separated")).unwrap();
    let hall = Hall { router: oci::router(open().await), ..hall };
    assert_eq!(hall.get(&format!("/v2/web/blobs/{layer}")).await.body, "\0asm".as_bytes());
    assert_eq!(hall.get(&format!("/v2/other/blobs/{layer}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_is_not_known_is_told_how_to_say_who_it_is() {
    let refused = oci::refusal(api::Error::new(api::Reason::Unauthorized, "who?"));
    assert_eq!(refused.headers()["www-authenticate"], "Basic realm=\"kapelle\", charset=\"UTF-8\"");
    let denied = oci::refusal(api::Error::new(api::Reason::Forbidden, "no"));
    assert!(!denied.headers().contains_key("www-authenticate"));
}

#[test]
fn a_mount_names_the_repository_that_it_reads() {
    let from = |path, query| oci::mounted_from(path, query);
    let path = "/v2/a/blobs/uploads/";
    assert_eq!(from(path, "mount=sha256:1&from=b/c").as_deref(), Some("b/c"));
    assert_eq!(from(path, "from=b%2Fc&mount=x").as_deref(), Some("b/c"));
    assert_eq!(from("/v2/a/blobs/uploads", "mount=x&from=b").as_deref(), Some("b"));
    for (path, query) in [
        (path, "from=b"),
        (path, "mount=x"),
        (path, "mount=x&from=../b"),
        (path, "mount=x&from=%zz"),
        ("/v2/a/blobs/sha256:1", "mount=x&from=b"),
    ] {
        assert_eq!(from(path, query), None, "{path}?{query}");
    }
}
