//! What this node tells of itself over HTTP, on the paths on which a kubelet does: how its Pods are, and what they use. Only
//! masters get here, for whoever may ask them.
//!
//! | path | what it tells |
//! |---|---|
//! | `/healthz` | that the agent answers |
//! | `/pods` | the Pods of this node, as masters told of them last |
//! | `/stats/summary` | what their containers use, in JSON |
//! | `/metrics/resource` | the same for Prometheus |

use std::{convert::Infallible, fmt::Write as _, sync::Arc, time::Duration};

use api::{
    Error, Kind, Object, Reason, Timestamp,
    apply::shown::{Speller, Subject},
    core_v1::Pod,
    kinds::Resource as _,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use sandbox::{Container, Stats};
use serde_json::{Value, json};
use tokio::{io::DuplexStream, sync::Semaphore};

use super::runs::Runs;
use crate::{
    brain::Run,
    driver::{clock::now, memory::Memory},
};

/// How much of an answer waits until it is carried away, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

/// How long a request may take to arrive.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// The most answers about all Pods that are made at a time: each looks at every Pod of this node.
const LOOKS_MAX: usize = 2;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is, for whoever asks for something else.
const PATHS: &str = "/healthz, /pods, /stats/summary and /metrics/resource";

/// What answers about this node. Cloning shares the limit.
#[derive(Clone)]
pub(crate) struct NodeHttp {
    node: Arc<str>,
    runs: Arc<Runs<Container>>,
    memory: Memory,
    looks: Arc<Semaphore>,
}

/// What a container of a Pod uses.
struct Use<'a> {
    pod: &'a Pod,
    container: &'a str,
    stats: Stats,
}

/// An answer: its type and its bytes.
type Told = (&'static str, Vec<u8>);

impl NodeHttp {
    pub(crate) fn new(node: &str, runs: Arc<Runs<Container>>, memory: Memory) -> Self {
        Self { node: node.into(), runs, memory, looks: Arc::new(Semaphore::new(LOOKS_MAX)) }
    }

    /// A connection on which one request is answered.
    pub(crate) fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(BUFFER_BYTES);
        let this = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(response(this.answer(request.method(), request.uri().path()).await)) }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(far), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "nobody waits for what this node tells of itself");
            }
        });
        near
    }

    async fn answer(&self, method: &Method, path: &str) -> Result<Told, Error> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Error::method_not_allowed());
        }
        match path {
            "/healthz" => Ok((TEXT, b"ok".to_vec())),
            "/pods" | "/pods/" => Ok((JSON, pods(&self.pods().await?))),
            "/stats/summary" => {
                let (pods, stats) = (self.pods().await?, self.stats());
                Ok((JSON, summary(&self.node, &uses(&pods, &stats), now()).to_string().into_bytes()))
            }
            "/metrics/resource" => {
                let (pods, stats) = (self.pods().await?, self.stats());
                Ok((PROMETHEUS, metrics(&uses(&pods, &stats), now()).into_bytes()))
            }
            other => {
                let message = format!("{other}: node {} tells of itself at {PATHS}", self.node);
                Err(Error::new(Reason::NotFound, message))
            }
        }
    }

    /// The Pods of this node, as they are remembered.
    async fn pods(&self) -> Result<Vec<Arc<Object>>, Error> {
        let busy = |_| {
            let message = format!("{LOOKS_MAX} others ask node {} about all its Pods", self.node);
            Error::new(Reason::TooManyRequests, message)
        };
        let _look = self.looks.clone().try_acquire_owned().map_err(busy)?;
        let memory = self.memory.clone();
        let recalled = tokio::task::spawn_blocking(move || memory.recall(Kind::Pod)).await;
        Ok(recalled.map_err(Error::internal)?.unwrap_or_default())
    }

    fn stats(&self) -> Vec<(Run, Stats)> {
        self.runs.all(|run, running| (run.clone(), running.container.stats()))
    }
}

fn response(told: Result<Told, Error>) -> Response<Full<bytes::Bytes>> {
    let (code, (content_type, body)) = match told {
        Ok(told) => (StatusCode::OK, told),
        Err(error) => {
            let code = error.reason.code();
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": error.message, "reason": error.reason.word(), "code": code,
            });
            let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (code, (JSON, status.to_string().into_bytes()))
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// A list of Pods.
fn pods(pods: &[Arc<Object>]) -> Vec<u8> {
    let mut text = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    let mut speller = Speller::default();
    for (index, pod) in pods.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let (served, bytes) = (Kind::Pod.into(), pod.encode_bytes());
        speller.write_item(Subject { served, bytes: &bytes, revision: pod.revision(), note: None }, &mut text);
    }
    text.extend_from_slice(b"]}");
    text
}

/// What the containers of known Pods use, by Pod.
fn uses<'a>(pods: &'a [Arc<Object>], stats: &'a [(Run, Stats)]) -> Vec<Use<'a>> {
    let pods = pods.iter().filter_map(|object| object.get::<Pod>());
    let of_pod = |pod: &'a Pod| {
        let own = stats.iter().filter(move |(run, _)| *run.pod == *pod.uid());
        own.map(move |(run, stats)| Use { pod, container: &run.container, stats: *stats })
    };
    pods.flat_map(of_pod).collect()
}

fn summary(node: &str, uses: &[Use<'_>], now: Timestamp) -> Value {
    let time = now.to_string();
    let used = |stats: &Stats| {
        let cpu = json!({ "time": time, "usageCoreNanoSeconds": nanoseconds(stats) });
        (cpu, json!({ "time": time, "usageBytes": stats.memory_bytes, "workingSetBytes": stats.memory_bytes }))
    };
    let container = |one: &Use<'_>| {
        let (cpu, memory) = used(&one.stats);
        json!({ "name": one.container, "cpu": cpu, "memory": memory })
    };
    let pod = |own: &[Use<'_>]| {
        let meta = own[0].pod.metadata.clone().unwrap_or_default();
        let (cpu, memory) = used(&total(own));
        json!({
            "podRef": { "name": meta.name, "namespace": meta.namespace, "uid": meta.uid },
            "containers": own.iter().map(container).collect::<Vec<_>>(), "cpu": cpu, "memory": memory,
        })
    };
    let pods: Vec<Value> = by_pod(uses).map(pod).collect();
    json!({ "node": { "nodeName": node }, "pods": pods })
}

fn metrics(uses: &[Use<'_>], now: Timestamp) -> String {
    let mut text = String::new();
    let seconds = |stats: &Stats| stats.cpu.as_secs_f64().to_string();
    let bytes = |stats: &Stats| stats.memory_bytes.to_string();
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Stats) -> String| {
        for (whose, of_pods) in [("container", false), ("pod", true)] {
            _ = writeln!(text, "# HELP {whose}_{name} {help} of the {whose}\n# TYPE {whose}_{name} {kind}");
            let mut line = |container: &str, pod: &Pod, stats: &Stats| {
                let (namespace, pod, value) = (pod.namespace(), pod.name(), value(stats));
                let labels = format!("{container}namespace=\"{namespace}\",pod=\"{pod}\"");
                _ = writeln!(text, "{whose}_{name}{{{labels}}} {value} {}", now.0);
            };
            if of_pods {
                by_pod(uses).for_each(|own| line("", own[0].pod, &total(own)));
            } else {
                uses.iter().for_each(|one| line(&format!("container=\"{}\",", one.container), one.pod, &one.stats));
            }
        }
    };
    family("cpu_usage_seconds_total", "counter", "Cumulative CPU time in core-seconds", &seconds);
    family("memory_working_set_bytes", "gauge", "Current memory in bytes", &bytes);
    text
}

fn by_pod<'a, 'p>(uses: &'a [Use<'p>]) -> impl Iterator<Item = &'a [Use<'p>]> {
    uses.chunk_by(|one, other| one.pod.uid() == other.pod.uid())
}

fn total(uses: &[Use<'_>]) -> Stats {
    let mut total = Stats::default();
    for Use { stats, .. } in uses {
        total.cpu += stats.cpu;
        total.memory_bytes += stats.memory_bytes;
    }
    total
}

fn nanoseconds(stats: &Stats) -> u64 {
    u64::try_from(stats.cpu.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pod(name: &str) -> Arc<Object> {
        let mut pod = Pod::default();
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = (name.to_owned(), "default".to_owned(), format!("uid-{name}"));
        Arc::new(pod.into())
    }

    fn used(pod: &str, container: &str, seconds: u64, memory_bytes: u64) -> (Run, Stats) {
        let run = Run { pod: format!("uid-{pod}").into(), container: container.into(), number: 1 };
        (run, Stats { cpu: Duration::from_secs(seconds), memory_bytes, ..Stats::default() })
    }

    #[test]
    fn what_containers_use_is_told_by_pod_and_together() {
        let pods = [pod("a"), pod("b"), pod("idle")];
        let stats =
            [used("b", "one", 1, 10), used("a", "one", 2, 20), used("a", "two", 3, 30), used("gone", "one", 4, 4)];
        let uses = uses(&pods, &stats);
        let told = summary("n1", &uses, Timestamp(0));
        assert_eq!(told["node"]["nodeName"], "n1");
        let first = &told["pods"][0];
        assert_eq!((&first["podRef"]["name"], &first["containers"][1]["name"]), (&"a".into(), &"two".into()));
        assert_eq!(first["cpu"]["usageCoreNanoSeconds"], 5_000_000_000_u64);
        assert_eq!(first["memory"]["workingSetBytes"], 50);
        assert_eq!(told["pods"].as_array().unwrap().len(), 2, "what uses nothing and what nobody knows is left out");
        let text = metrics(&uses, Timestamp(7));
        for line in [
            r#"container_cpu_usage_seconds_total{container="two",namespace="default",pod="a"} 3 7"#,
            r#"pod_memory_working_set_bytes{namespace="default",pod="a"} 50 7"#,
            "# TYPE pod_cpu_usage_seconds_total counter",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn pods_are_listed_as_kubernetes_lists_them() {
        let list: Value = serde_json::from_slice(&pods(&[pod("a"), pod("b")])).unwrap();
        assert_eq!((&list["kind"], &list["items"][1]["metadata"]["name"]), (&"PodList".into(), &"b".into()));
        assert!(serde_json::from_slice::<Value>(&pods(&[])).is_ok());
    }

    #[tokio::test]
    async fn a_request_is_answered_and_what_there_is_is_told_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let node = NodeHttp::new("n1", Arc::default(), Memory::open(dir.path()).unwrap());
        let ask = async |line: &str| {
            let mut connection = node.connect();
            connection.write_all(format!("{line} HTTP/1.1\r\nHost: n1\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let well = ask("GET /healthz").await;
        assert!(well.starts_with("HTTP/1.1 200") && well.ends_with("ok"), "{well}");
        assert!(ask("GET /pods").await.ends_with(r#""items":[]}"#));
        let unknown = ask("GET /logs/").await;
        assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("/stats/summary"), "{unknown}");
        assert!(ask("POST /pods").await.starts_with("HTTP/1.1 405"));
        let _looks = node.looks.clone().acquire_many_owned(LOOKS_MAX as u32).await.unwrap();
        assert!(ask("GET /pods").await.starts_with("HTTP/1.1 429"));
    }
}
