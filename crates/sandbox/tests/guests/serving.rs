//! HTTP containers: answers, failures, and what neighbours notice of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use sandbox::{
    Access, Body, Config, Container, Digest, ExitReason, HttpHandle, Mount, Sandbox, SendError, Source, Spec,
};

use crate::{Remembered, SANDBOX, config, env, get, image, sample, text};

fn serve(spec: Spec) -> (Container, HttpHandle) {
    let container = SANDBOX.start(spec).unwrap();
    let handle = container.http().unwrap();
    (container, handle)
}

/// Waits for what follows an answer without being part of it.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn mounted(dir: &tempfile::TempDir, guest: &str) -> Vec<Mount> {
    vec![Mount { host: dir.path().into(), guest: guest.into(), access: Access::ReadWrite }]
}

#[tokio::test]
async fn a_handler_answers_with_environment_and_state() {
    let state = tempfile::tempdir().unwrap();
    let mut spec = Spec::new(image("hello-http").await);
    spec.env = env(&[("POD_NAME", "hello-1"), ("VERSION", "7")]);
    spec.mounts = mounted(&state, "/state");
    let (container, handle) = serve(spec);
    for count in 1..=3 {
        let response = handle.handle(get("/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, format!("Hello from hello-1, version 7, request {count}\n"));
    }
    assert_eq!(handle.handle(get("/nowhere")).await.status(), 404);
    // No instance is held while nobody calls; the last one may still be on its way out.
    until(|| container.stats().requests == 4 && container.stats().memory_bytes == 0).await;
}

#[tokio::test]
async fn bodies_go_in_and_out() {
    let data = tempfile::tempdir().unwrap();
    for reuse in [1, 8] {
        let mut spec = Spec::new(image("kv-http").await);
        spec.mounts = mounted(&data, "/data");
        spec.http.reuse = reuse;
        let (_container, handle) = serve(spec);
        let value = "x".repeat(300_000);
        let body: Body = Full::new(Bytes::from(value.clone())).map_err(|never| match never {}).boxed_unsync();
        let put = http::Request::put("http://kv/long").body(body).unwrap();
        assert_eq!(text(handle.handle(put).await).await, "stored\n");
        assert_eq!(text(handle.handle(get("/long")).await).await, value);
        assert_eq!(text(handle.handle(get("/")).await).await, "long\n");
        let delete = http::Request::delete("http://kv/long").body(Body::default()).unwrap();
        assert_eq!(handle.handle(delete).await.status(), 200);
        assert_eq!(handle.handle(get("/long")).await.status(), 404);
    }
}

/// A quick guest answers on the thread of whoever asks, who then has the whole answer. One that a busy machine holds up goes on
/// elsewhere, and nobody knows yet how long its answer will be: so one of many is enough.
#[tokio::test]
async fn a_short_answer_knows_its_length() {
    const ATTEMPTS: usize = 1_000;
    let (_container, handle) = serve(Spec::new(image("hello-http").await));
    for _ in 0..ATTEMPTS {
        let response = handle.handle(get("/healthz")).await;
        let length = http_body::Body::size_hint(response.body()).exact();
        assert_eq!(text(response).await, "ok\n");
        if length.is_some() {
            return assert_eq!(length, Some(3));
        }
    }
    panic!("of {ATTEMPTS} answers none knew its length");
}

/// Tokio lets a task do only so much before things look pending to it; answers must not get lost there.
#[tokio::test]
async fn a_task_that_never_yields_gets_every_answer() {
    let (container, handle) = serve(Spec::new(image("hello-http").await));
    for _ in 0..300 {
        assert_eq!(text(handle.handle(get("/healthz")).await).await, "ok\n");
    }
    assert_eq!(container.stats().requests, 300);
}

#[tokio::test]
async fn a_trap_costs_one_request_only() {
    let mut spec = Spec::new(image("slow-start").await);
    let mut log = Remembered::of(&mut spec);
    let (container, handle) = serve(spec);
    assert_eq!(handle.handle(get("/trap")).await.status(), 500);
    assert_eq!(handle.handle(get("/?ms=0")).await.status(), 200);
    assert_eq!(container.stats().traps, 1);
    log.has("told to fail").await;
    log.has("a request failed").await;
}

#[tokio::test]
async fn a_request_that_eats_memory_fails_alone_and_gives_it_back() {
    let mut spec = Spec::new(image("slow-start").await);
    spec.limits.memory_bytes = 32 << 20;
    let mut log = Remembered::of(&mut spec);
    let (container, handle) = serve(spec);
    assert_eq!(handle.handle(get("/alloc")).await.status(), 500);
    assert_eq!(handle.handle(get("/?ms=0")).await.status(), 200);
    let stats = container.stats();
    assert!(stats.memory_refused > 0 && stats.memory_peak_bytes <= 32 << 20, "{stats:?}");
    until(|| container.stats().memory_bytes == 0).await;
    log.has("memory limit").await;
    let told = futures_poll(Box::pin(container.out_of_memory())).await.unwrap();
    assert_eq!((told.code, told.reason), (137, ExitReason::OomKilled));
    assert_eq!(futures_poll(Box::pin(container.out_of_memory())).await, None, "it is told once");
}

#[tokio::test]
async fn a_memory_limit_below_what_one_instance_needs_is_told() {
    let mut spec = Spec::new(image("hello-http").await);
    spec.limits.memory_bytes = 64 << 10;
    let (container, handle) = serve(spec);
    assert_eq!(handle.handle(get("/")).await.status(), 503);
    let told = futures_poll(Box::pin(container.out_of_memory())).await.unwrap();
    assert!(told.message.contains("memory limit of 65536 bytes"), "{told:?}");
}

/// The caller's runtime has one thread here: a guest that held it would let nobody else answer.
#[tokio::test]
async fn loops_leave_the_data_path_and_end_with_504() {
    let mut spec = Spec::new(image("slow-start").await);
    spec.http.timeout = Duration::from_secs(3600);
    let (endless, handle) = serve(spec);
    let (_hello, neighbour) = serve(Spec::new(image("hello-http").await));
    let loops: Vec<_> = (0..4).map(|_| tokio::spawn(handle.handle(get("/spin")))).collect();
    until(|| endless.stats().requests == 4).await;
    for _ in 0..20 {
        assert_eq!(neighbour.handle(get("/healthz")).await.status(), 200);
    }
    assert!(!loops.iter().any(tokio::task::JoinHandle::is_finished), "they loop on");
    endless.kill();

    let mut spec = Spec::new(image("slow-start").await);
    spec.http.timeout = Duration::from_millis(300);
    let mut log = Remembered::of(&mut spec);
    let (limited, handle) = serve(spec);
    let loops: Vec<_> = (0..4).map(|_| tokio::spawn(handle.handle(get("/spin")))).collect();
    for response in loops {
        assert_eq!(response.await.unwrap().status(), 504);
    }
    until(|| limited.stats().timeouts == 4).await;
    log.has("no answer within 300ms").await;
}

#[tokio::test]
async fn more_requests_than_allowed_wait_their_turn() {
    let mut spec = Spec::new(image("slow-start").await);
    spec.http.concurrency = 1;
    let (container, handle) = serve(spec);
    let all = (0..5).map(|_| tokio::spawn(handle.handle(get("/?ms=5"))));
    let all: Vec<_> = all.collect();
    for response in all {
        assert_eq!(response.await.unwrap().status(), 200);
    }
    let one = container.stats().memory_peak_bytes;
    assert!(one < 4 << 20, "never two instances at a time: {one}");
}

#[tokio::test]
async fn a_crowd_that_would_only_time_out_is_refused() {
    let mut spec = Spec::new(image("slow-start").await);
    spec.http.concurrency = 1;
    let (container, handle) = serve(spec);
    let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(handle.handle(get("/?ms=1000000")))).collect();
    while crowd.iter().filter(|request| request.is_finished()).count() < 9 {
        tokio::task::yield_now().await;
    }
    assert_eq!(container.stats().requests, 1, "one runs, ten wait, nine are refused");
    container.kill();
    for response in crowd {
        assert_eq!(response.await.unwrap().status(), 503);
    }
}

#[tokio::test]
async fn requests_beyond_the_pool_are_served_too() {
    let cache = tempfile::tempdir().unwrap();
    let config = Config { http_instances: 1, ..config(cache.path()) };
    let sandbox = Sandbox::new(config).unwrap();
    let path = sample("slow-start");
    let digest = Digest::of(&std::fs::read(&path).unwrap());
    let image = sandbox.prepare(digest, Source::Path(path)).await.unwrap();
    let container = sandbox.start(Spec::new(image)).unwrap();
    let handle = container.http().unwrap();
    let all: Vec<_> = (0..4).map(|_| tokio::spawn(handle.handle(get("/?ms=20")))).collect();
    for response in all {
        assert_eq!(response.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn handlers_of_p3_answer_too() {
    for reuse in [1, 8] {
        let mut spec = Spec::new(image("hello-p3").await);
        spec.env = env(&[("POD_NAME", "p3")]);
        spec.http.reuse = reuse;
        let (container, handle) = serve(spec);
        for _ in 0..3 {
            let response = handle.handle(get("/")).await;
            assert_eq!(response.status(), 200);
            assert_eq!(text(response).await, "Hello from p3, in WASI p3\n");
        }
        assert_eq!(handle.handle(get("/trap")).await.status(), 500);
        assert_eq!(container.stats().traps, 1);
    }
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_takes_no_more() {
    let (container, handle) = serve(Spec::new(image("slow-start").await));
    let mut slow = Box::pin(handle.handle(get("/?ms=100")));
    let begun = futures_poll(slow.as_mut()).await;
    assert!(begun.is_none(), "it sleeps");
    container.stop(Duration::from_secs(60));
    assert_eq!(handle.handle(get("/?ms=0")).await.status(), 503);
    assert_eq!(slow.await.status(), 200);
    assert_eq!(container.exited().await.reason, ExitReason::Completed);
}

#[tokio::test]
async fn killing_ends_requests_at_once() {
    let (container, handle) = serve(Spec::new(image("slow-start").await));
    let sleeping = tokio::spawn(handle.handle(get("/?ms=1000000")));
    let looping = tokio::spawn(handle.handle(get("/spin")));
    while container.stats().requests < 2 {
        tokio::task::yield_now().await;
    }
    container.kill();
    assert_eq!(sleeping.await.unwrap().status(), 503);
    assert_eq!(looping.await.unwrap().status(), 503);
    assert_eq!(container.exited().await.reason, ExitReason::Killed);
    assert_eq!(handle.handle(get("/")).await.status(), 503);
}

#[tokio::test]
async fn outgoing_requests_go_through_the_hook() {
    let mut spec = Spec::new(image("front").await);
    spec.env = env(&[("BACKEND", "http://hello:8080/path?q=1")]);
    let (_hello, backend) = serve(Spec::new(image("hello-http").await));
    spec.network.send = Arc::new(move |request, _| {
        assert_eq!(request.uri().to_string(), "http://hello:8080/path?q=1");
        assert_eq!(request.headers()["host"], "hello:8080");
        let backend = backend.clone();
        Box::pin(async move { Ok(backend.handle(get("/healthz")).await) })
    });
    let (_front, handle) = serve(spec);
    let response = handle.handle(get("/")).await;
    assert_eq!(text(response).await, "http://hello:8080/path?q=1 answered 200: ok\n");
}

#[tokio::test]
async fn a_refused_outgoing_request_is_an_error_code_for_the_guest() {
    let mut spec = Spec::new(image("front").await);
    spec.env = env(&[("BACKEND", "http://nobody/")]);
    let (_front, handle) = serve(spec.clone());
    let denied = handle.handle(get("/")).await;
    assert_eq!(denied.status(), 502);
    assert!(text(denied).await.contains("HttpRequestDenied"));

    spec.network.send = Arc::new(|_, _| Box::pin(async { Err(SendError::NameUnknown("nobody".into())) }));
    let (_front, handle) = serve(spec);
    assert!(text(handle.handle(get("/")).await).await.contains("DnsError"));
}

/// One poll; the result if it was ready.
async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
