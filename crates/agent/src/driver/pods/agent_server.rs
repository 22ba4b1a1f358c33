//! What masters ask of this node: the logs of its containers, and connections.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use api::{Error, Key, Kind, ReadAt, Reason, core_v1::Pod, kinds::Resource as _};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use rpc::{
    Calling, Client, Incoming, forward,
    services::{
        ForwardRequest, LogChunk, LogRequest,
        node_agent_server::{NodeAgent, NodeAgentServer},
    },
    status,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    dirs::PodDirs,
    log_choice::{Choice, want},
    logs::Reader,
    ports::Ports,
};
use crate::driver::{clock::now, node::masters::Masters};

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The largest piece of a log in one message, in bytes.
const CHUNK_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(CHUNK_BYTES_MAX < rpc::MESSAGE_BYTES_MAX, "masters take no larger message");

/// How often a quiet connection is tried, so that those of dead masters end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The most logs that are read, and connections that are carried, over one connection at a time.
const STREAMS_MAX: u32 = 256;

/// How much a master may send that nobody has read yet, on a connection, in bytes.
const WINDOW_BYTES: u32 = 1 << 20;

const _: () =
    assert!(WINDOW_BYTES >= rpc::window_for(STREAMS_MAX), "short requests on all streams at once are no attack");

/// How many pieces may wait for a slow reader.
const CHUNKS_WAITING: usize = 4;

/// The id of no master.
const NOBODY: u64 = 0;

/// A piece of a log, or why there is none.
type Chunk = Result<LogChunk, Status>;

/// What answers masters. Cloning shares it.
#[derive(Clone)]
pub(crate) struct AgentServer {
    pub(crate) client: Client,
    /// Who may ask.
    pub(crate) masters: Arc<Masters>,
    pub(crate) dirs: PodDirs,
    pub(crate) ports: Ports,
    /// The node's name.
    pub(crate) node: Arc<str>,
}

impl AgentServer {
    /// Serves until `shutdown`.
    pub(crate) async fn serve(
        self,
        incoming: impl Stream<Item = io::Result<Incoming>> + Send + 'static,
        shutdown: CancellationToken,
    ) {
        let server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .max_concurrent_streams(STREAMS_MAX)
            .initial_connection_window_size(WINDOW_BYTES)
            // A master may give up all that it has asked for.
            .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX as usize))
            .add_service(NodeAgentServer::new(self));
        if let Err(error) = server.serve_with_incoming_shutdown(incoming, shutdown.cancelled()).await {
            tracing::error!(%error, "the agent's server ended");
        }
    }

    async fn open(&self, request: &LogRequest) -> Result<Log, Error> {
        let key = Key::namespaced(Kind::Pod, request.namespace.as_str(), request.pod.as_str());
        let object = self.client.get(&key).await?;
        let pod = object.get::<Pod>().ok_or_else(|| Error::internal("not a Pod"))?;
        let choice = Choice::of(pod, request)?;
        let reader = Reader::new(self.dirs.logs(pod.uid(), &choice.container), choice.run, want(request, now()));
        Ok(Log { reader, key, choice, node: self.node.clone() })
    }

    /// Sends what there is, and with `follow` what comes, until the run ends, nobody reads, or the log cannot be read.
    async fn send(self, mut log: Log, first: Vec<u8>, request: LogRequest, chunks: mpsc::Sender<Chunk>) {
        let mut left = request.limit_bytes.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let mut text = first;
        loop {
            text.truncate(left);
            left -= text.len();
            if !pass_on(text.into(), &chunks).await || !request.follow || left == 0 {
                return;
            }
            let over = self.has_ended(&log).await;
            if !over {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            match log.reader.more() {
                Ok(more) if over && more.is_empty() => return,
                Ok(more) => text = more,
                Err(error) => {
                    let error = log.unreadable(&error);
                    // Whoever does not read any more needs no answer either.
                    return drop(chunks.send(Err(status::to_tonic(&error))).await);
                }
            }
        }
    }

    /// Whether the run that is followed has ended.
    async fn has_ended(&self, log: &Log) -> bool {
        match self.client.get_at(&log.key, ReadAt::Any).await {
            Ok(object) => object.get::<Pod>().is_none_or(|pod| log.choice.has_ended(pod)),
            Err(error) => error.reason == Reason::NotFound,
        }
    }
}

#[tonic::async_trait]
impl NodeAgent for AgentServer {
    type ReadLogStream = Pin<Box<dyn Stream<Item = Chunk> + Send>>;

    async fn read_log(&self, request: Request<LogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let member = request.extensions().get().map_or(NOBODY, |calling: &Calling| calling.member);
        let request = request.into_inner();
        let opened = async {
            self.masters.admit(member).await?;
            let mut log = self.open(&request).await?;
            let first = log.reader.first().map_err(|error| log.unreadable(&error))?;
            Ok::<_, Error>((log, first))
        };
        let (log, first) = opened.await.map_err(|error| status::to_tonic(&error))?;
        let (chunks, stream) = mpsc::channel(CHUNKS_WAITING);
        tokio::spawn(self.clone().send(log, first, request, chunks));
        let masters = self.masters.clone();
        let gone = async move { masters.until_gone(member).await };
        let stream = ReceiverStream::new(stream).take_until(gone);
        Ok(Response::new(Box::pin(stream)))
    }

    type ForwardStream = forward::Answers;

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let member = request.extensions().get().map_or(NOBODY, |calling: &Calling| calling.member);
        let mut requests = request.into_inner();
        let opened = async {
            self.masters.admit(member).await?;
            let first = forward::wanted(&mut requests).await?;
            Ok::<_, Error>((self.ports.open(&first).await?, first.data))
        };
        let (open, first) = opened.await.map_err(|error| status::to_tonic(&error))?;
        let masters = self.masters.clone();
        let gone = async move {
            // The connection counts until its answers have ended.
            let _counted = open.permit;
            masters.until_gone(member).await;
        };
        Ok(Response::new(Box::pin(forward::answers(first, requests, open.stream).take_until(gone))))
    }
}

/// A log that was found.
struct Log {
    reader: Reader,
    /// The Pod.
    key: Key,
    choice: Choice,
    /// The node's name.
    node: Arc<str>,
}

impl Log {
    fn unreadable(&self, error: &io::Error) -> Error {
        let (container, node) = (&self.choice.container, &self.node);
        tracing::warn!(%error, pod = %self.key, container, "a log cannot be read");
        let message = format!("the log of container {container:?} cannot be read on node {node}: {error}");
        Error::internal(message).about(&self.key)
    }
}

/// Sends a text in pieces. Returns whether anybody reads.
async fn pass_on(text: Bytes, chunks: &mpsc::Sender<Chunk>) -> bool {
    for at in (0..text.len()).step_by(CHUNK_BYTES_MAX) {
        let data = text.slice(at..text.len().min(at + CHUNK_BYTES_MAX));
        let padding = rpc::padding(data.len());
        if chunks.send(Ok(LogChunk { data, padding })).await.is_err() {
            return false;
        }
    }
    !chunks.is_closed()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::driver::{memory::Memory, pods::node_http::NodeHttp, testing};

    #[tokio::test]
    async fn a_long_text_is_cut_and_nobody_is_sent_what_nobody_reads() {
        let (chunks, mut read) = mpsc::channel(CHUNKS_WAITING);
        let text = Bytes::from(vec![b'x'; 2 * CHUNK_BYTES_MAX + 1]);
        assert!(pass_on(text.clone(), &chunks).await);
        let mut lengths = Vec::new();
        while let Ok(chunk) = read.try_recv() {
            lengths.push(chunk.unwrap().data.len());
        }
        assert_eq!(lengths, [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 1]);
        drop(read);
        assert!(!pass_on(text, &chunks).await && !pass_on(Bytes::new(), &chunks).await);
    }

    #[tokio::test]
    async fn who_is_no_master_reads_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let masters = Arc::new(Masters::default());
        masters.hear(rpc::services::MasterGroup { members: vec![1], ..Default::default() });
        let dirs = PodDirs::below(dir.path());
        let (proxy, _news) = proxy::Proxy::new(proxy::Config { allow_external: false });
        let about = NodeHttp::new("n1", Arc::default(), Memory::open(dir.path()).unwrap());
        let ports = Ports::new(testing::client(), proxy, about);
        let server = AgentServer { client: testing::client(), masters, dirs, ports, node: "n1".into() };
        let refused = server.read_log(Request::new(LogRequest::default())).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
    }
}
