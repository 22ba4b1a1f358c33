//! HTTP containers, with the guests of `wasm-samples`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Bench, get, text};

#[tokio::test]
async fn a_handler_answers_with_environment_and_state() {
    let bench = Bench::new();
    let image = bench.image("hello-http").await;
    let state = tempfile::tempdir().unwrap();
    let mut spec = sandbox::Spec::new(image);
    spec.env = vec![("POD_NAME".into(), "hello-1".into()), ("VERSION".into(), "7".into())];
    spec.mounts =
        vec![sandbox::Mount { host: state.path().into(), guest: "/state".into(), access: sandbox::Access::ReadWrite }];
    let container = bench.sandbox.start(spec).unwrap();
    let handle = container.http().unwrap();
    for count in 1..=3 {
        let response = handle.handle(get("/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, format!("Hello from hello-1, version 7, request {count}\n"));
    }
    assert_eq!(handle.handle(get("/nowhere")).await.status(), 404);
    assert_eq!(container.stats().requests, 4);
    assert_eq!(container.stats().memory_bytes, 0, "no instance is held while nobody calls");
}
