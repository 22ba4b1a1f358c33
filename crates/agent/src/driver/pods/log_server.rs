//! What masters ask of this node: the logs of its containers.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use api::{Error, Key, Kind, Reason, Timestamp, core_v1::Pod, kinds::Resource as _};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use rpc::{
    Calling, Incoming,
    services::{
        LogChunk, LogRequest,
        node_agent_server::{NodeAgent, NodeAgentServer},
    },
    status,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    World,
    logs::{Reader, Want},
    now,
};

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The largest piece of a log in one message, in bytes.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// How often a quiet connection is tried, so that those of dead masters end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The most logs that are read over one connection at a time.
const STREAMS_MAX: u32 = 256;

/// The most streams that a master may have reset before they were looked at; one more ends the connection.
const RESETS_MAX: usize = 20;

/// How many pieces may wait for a slow reader.
const CHUNKS_WAITING: usize = 4;

/// The id of no master.
const NOBODY: u64 = 0;

/// A piece of a log, or why there is none.
type Chunk = Result<LogChunk, Status>;

/// Serves until `shutdown`.
pub(crate) async fn serve(
    incoming: impl Stream<Item = std::io::Result<Incoming>> + Send + 'static,
    world: Arc<World>,
    shutdown: CancellationToken,
) {
    let service = NodeAgentServer::new(Agent(world));
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
        .add_service(service);
    if let Err(error) = server.serve_with_incoming_shutdown(incoming, shutdown.cancelled()).await {
        tracing::error!(%error, "the agent's server ended");
    }
}

struct Agent(Arc<World>);

#[tonic::async_trait]
impl NodeAgent for Agent {
    type ReadLogStream = Pin<Box<dyn Stream<Item = Result<LogChunk, Status>> + Send>>;

    async fn read_log(&self, request: Request<LogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let world = self.0.clone();
        let member = request.extensions().get().map_or(NOBODY, |calling: &Calling| calling.member);
        let request = request.into_inner();
        let opened = async {
            world.masters.admit(member).await?;
            let mut log = open(&world, &request).await?;
            let first = log.reader.first().map_err(|error| log.unreadable(&world, &error))?;
            Ok::<_, Error>((log, first))
        };
        let (log, first) = opened.await.map_err(|error| status::to_tonic(&error))?;
        let (chunks, stream) = mpsc::channel(CHUNKS_WAITING);
        tokio::spawn(send(world.clone(), log, first, request, chunks));
        let gone = async move { world.masters.until_gone(member).await };
        let stream = ReceiverStream::new(stream).take_until(gone);
        Ok(Response::new(Box::pin(stream)))
    }
}

/// A log that was found.
struct Log {
    reader: Reader,
    key: Key,
    container: String,
    id: String,
}

impl Log {
    fn unreadable(&self, world: &World, error: &io::Error) -> Error {
        let (container, node) = (&self.container, &world.config.name);
        tracing::warn!(%error, pod = %self.key, container, "a log cannot be read");
        let message = format!("the log of container {container:?} cannot be read on node {node}: {error}");
        Error::internal(message).about(&self.key)
    }
}

async fn open(world: &World, request: &LogRequest) -> Result<Log, Error> {
    let key = Key::namespaced(Kind::Pod, request.namespace.as_str(), request.pod.as_str());
    let object = world.client.get(&key).await?;
    let pod = object.get::<Pod>().ok_or_else(|| Error::internal("not a Pod"))?;
    let container = choose(pod, &request.container)?;
    let id = container_id(pod, &container);
    // What waits to be started again has no run of its own: the one before is the latest.
    let current = run(&id).filter(|_| !request.previous);
    let run = current.or_else(|| previous(pod, &container)).ok_or_else(|| {
        Error::bad_request(if request.previous {
            format!("previous terminated container {container:?} in pod {:?} not found", request.pod)
        } else {
            format!("container {container:?} in pod {:?} is waiting to start", request.pod)
        })
    })?;
    let want = Want {
        tail_lines: request.tail_lines.and_then(|lines| usize::try_from(lines).ok()),
        since: since(request),
        timestamps: request.timestamps,
    };
    Ok(Log { reader: Reader::new(&world.pod_dir(pod.uid()), &container, run, want), key, container, id })
}

fn since(request: &LogRequest) -> Option<Timestamp> {
    let seconds = request.since_seconds.map(|seconds| Timestamp(now().0 - seconds.saturating_mul(1000)));
    seconds.or_else(|| request.since_time.as_ref().map(Timestamp::from))
}

/// The container that is meant; a Pod with several must be asked for one by name.
fn choose(pod: &Pod, asked: &str) -> Result<String, Error> {
    let spec = pod.spec.clone().unwrap_or_default();
    let names: Vec<String> = spec.containers.iter().map(|container| container.name.clone()).collect();
    if asked.is_empty() {
        return match names.as_slice() {
            [only] => Ok(only.clone()),
            _ => {
                let message = format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    pod.name(),
                    names.join(" ")
                );
                Err(Error::bad_request(message))
            }
        };
    }
    let known =
        spec.init_containers.iter().any(|container| container.name == asked) || names.iter().any(|name| name == asked);
    if known {
        Ok(asked.to_owned())
    } else {
        Err(Error::bad_request(format!("container {asked} is not valid for pod {}", pod.name())))
    }
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a api::core_v1::ContainerStatus> {
    let status = pod.status.as_ref()?;
    status.init_container_statuses.iter().chain(&status.container_statuses).find(|status| status.name == container)
}

fn container_id(pod: &Pod, container: &str) -> String {
    status_of(pod, container).map(|status| status.container_id.clone()).unwrap_or_default()
}

/// The number of the run, which ends a container's id.
fn run(id: &str) -> Option<u32> {
    id.rsplit('/').next()?.parse().ok()
}

/// The number of the run before the present one.
fn previous(pod: &Pod, container: &str) -> Option<u32> {
    let last = status_of(pod, container)?.last_state.as_ref()?;
    run(&last.terminated.as_ref()?.container_id)
}

/// Sends what there is, and with `follow` what comes, until the run ends, nobody reads, or the log cannot be read.
async fn send(world: Arc<World>, mut log: Log, first: Vec<u8>, request: LogRequest, chunks: mpsc::Sender<Chunk>) {
    let mut left = request.limit_bytes.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut text = first;
    loop {
        text.truncate(left);
        left -= text.len();
        if !pass_on(text.into(), &chunks).await || !request.follow || left == 0 {
            return;
        }
        let over = ended(&world, &log).await;
        if !over {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match log.reader.more() {
            Ok(more) if over && more.is_empty() => return,
            Ok(more) => text = more,
            Err(error) => {
                let error = log.unreadable(&world, &error);
                // Whoever does not read any more needs no answer either.
                return drop(chunks.send(Err(status::to_tonic(&error))).await);
            }
        }
    }
}

/// Sends a text in pieces. Answers whether anybody reads.
async fn pass_on(text: Bytes, chunks: &mpsc::Sender<Chunk>) -> bool {
    for at in (0..text.len()).step_by(CHUNK_BYTES_MAX) {
        let data = text.slice(at..text.len().min(at + CHUNK_BYTES_MAX));
        if chunks.send(Ok(LogChunk { data })).await.is_err() {
            return false;
        }
    }
    !chunks.is_closed()
}

/// Whether the run that is followed has ended.
async fn ended(world: &World, log: &Log) -> bool {
    match world.client.get_at(&log.key, api::ReadAt::Any).await {
        Ok(object) => {
            object.get::<Pod>().and_then(|pod| status_of(pod, &log.container).cloned()).is_none_or(|status| {
                let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
                status.container_id != log.id || !running
            })
        }
        Err(error) => error.reason == Reason::NotFound,
    }
}
