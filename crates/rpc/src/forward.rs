//! Connections to ports of Pods, carried in streams of messages: bytes both ways, each side ended by itself.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use api::Error;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::Stream as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::PollSender;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    padding,
    services::{ForwardChunk, ForwardRequest},
    status,
};

/// The most bytes in one message.
const CHUNK_BYTES_MAX: usize = 16 << 10;

/// How many messages may wait for a slow connection, beside what HTTP/2 lets wait.
const WAITING_MAX: usize = 4;

/// The requests of a connection, as they are sent.
pub(crate) type Requests = ReceiverStream<ForwardRequest>;

/// One connection to a port of a Pod.
#[derive(Debug)]
pub struct Tunnel {
    incoming: Streaming<ForwardChunk>,
    /// What came and was not read.
    read: Bytes,
    outgoing: PollSender<ForwardRequest>,
}

impl Tunnel {
    /// Asks for a connection; `call` sends the requests.
    pub(crate) async fn open<F>(
        to: ForwardRequest,
        call: impl FnOnce(Request<Requests>) -> F,
    ) -> Result<Response<Self>, Status>
    where
        F: Future<Output = Result<Response<Streaming<ForwardChunk>>, Status>>,
    {
        let (outgoing, requests) = mpsc::channel(WAITING_MAX);
        // There is room in a new channel.
        let _ = outgoing.try_send(to);
        let answer = call(Request::new(ReceiverStream::new(requests))).await?;
        Ok(answer.map(|incoming| Self { incoming, read: Bytes::new(), outgoing: PollSender::new(outgoing) }))
    }
}

fn broken(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error.to_string())
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match ready!(Pin::new(&mut this.incoming).poll_next(cx)) {
                Some(Ok(chunk)) => this.read = chunk.data,
                Some(Err(error)) => return Poll::Ready(Err(broken(status::from_tonic(&error)))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = this.read.len().min(into.remaining());
        into.put_slice(&this.read[..count]);
        this.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outgoing = &mut self.get_mut().outgoing;
        ready!(outgoing.poll_reserve(cx)).map_err(broken)?;
        let bytes = &bytes[..bytes.len().min(CHUNK_BYTES_MAX)];
        let (data, padding) = (Bytes::copy_from_slice(bytes), padding(bytes.len()));
        let request = ForwardRequest { data, padding, ..ForwardRequest::default() };
        outgoing.send_item(request).map_err(broken)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().outgoing.close();
        Poll::Ready(Ok(()))
    }
}

/// The answers to the requests of a connection.
pub type Answers = Pin<Box<dyn futures::Stream<Item = Result<ForwardChunk, Status>> + Send>>;

/// Where a connection is to go: what its first message says.
///
/// # Errors
/// If there is none.
pub async fn wanted(requests: &mut Streaming<ForwardRequest>) -> Result<ForwardRequest, Error> {
    match requests.message().await {
        Ok(Some(first)) => Ok(first),
        Ok(None) => Err(Error::bad_request("the first message must say where to connect to: namespace, pod, port")),
        Err(error) => Err(status::from_tonic(&error)),
    }
}

/// Answers for an open connection, whose bytes are carried until both sides have ended, one of them breaks, or the answers are
/// dropped.
pub fn answers(
    first: Bytes,
    requests: Streaming<ForwardRequest>,
    connection: impl AsyncRead + AsyncWrite + Send + 'static,
) -> Answers {
    let (chunks, answers) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let (from, to) = tokio::io::split(connection);
        // What breaks, breaks for both sides; each hears it by the end of its stream.
        tokio::select! {
            Err(error) = there(first, requests, to) => tracing::debug!(%error, "a forwarded connection broke"),
            Err(error) = back(from, chunks) => tracing::debug!(%error, "a forwarded connection broke"),
            else => {}
        }
    });
    Box::pin(ReceiverStream::new(answers))
}

/// Carries what a client sends.
async fn there(
    first: Bytes,
    mut requests: Streaming<ForwardRequest>,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    to.write_all(&first).await?;
    to.flush().await?;
    while let Some(request) = requests.message().await.map_err(broken)? {
        to.write_all(&request.data).await?;
        to.flush().await?;
    }
    to.shutdown().await
}

/// Carries what a Pod answers.
async fn back(mut from: impl AsyncRead + Unpin, chunks: mpsc::Sender<Result<ForwardChunk, Status>>) -> io::Result<()> {
    loop {
        let mut data = BytesMut::with_capacity(CHUNK_BYTES_MAX);
        let count = tokio::select! {
            count = from.read_buf(&mut data) => count?,
            () = chunks.closed() => return Err(broken("nobody reads it any more")),
        };
        if count == 0 {
            return Ok(());
        }
        chunks.send(Ok(ForwardChunk { data: data.freeze(), padding: padding(count) })).await.map_err(broken)?;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use futures::{StreamExt as _, stream};
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;
    use tonic::transport::{Channel, Endpoint, Server};
    use tower::service_fn;

    use super::*;
    use crate::services::{
        ports_client::PortsClient,
        ports_server::{Ports, PortsServer},
    };

    /// The port on which the Pod of this test listens.
    const PORT: i32 = 7;

    /// The port on which it says single bytes, and how many: far more than h2 lets wait.
    const DROPS: i32 = 9;
    const DROPS_COUNT: usize = 100_000;

    struct Served(mpsc::UnboundedSender<usize>);

    #[tonic::async_trait]
    impl Ports for Served {
        type ForwardStream = Answers;

        async fn forward(&self, request: Request<Streaming<ForwardRequest>>) -> Result<Response<Answers>, Status> {
            let mut requests = request.into_inner();
            let first = wanted(&mut requests).await.map_err(|error| status::to_tonic(&error))?;
            if first.port == DROPS {
                let drops = tokio::io::join(Drops(DROPS_COUNT), tokio::io::sink());
                return Ok(Response::new(answers(first.data, requests, drops)));
            }
            if first.port != PORT {
                return Err(status::to_tonic(&Error::bad_request("nothing listens")));
            }
            let (near, far) = tokio::io::duplex(1024);
            tokio::spawn(pod(far, self.0.clone()));
            Ok(Response::new(answers(first.data, requests, near)))
        }
    }

    /// Says so many single bytes, one a read.
    struct Drops(usize);

    impl AsyncRead for Drops {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let left = &mut self.get_mut().0;
            into.put_slice(&b"x"[..(*left).min(1)]);
            *left = left.saturating_sub(1);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn single_bytes_for_a_slow_reader_break_nothing() {
        let (mut client, _ends) = served().await;
        let answer =
            client.forward(stream::iter([ForwardRequest { port: DROPS, ..Default::default() }])).await.unwrap();
        let mut read = 0;
        let mut incoming = answer.into_inner();
        while let Some(chunk) = incoming.message().await.unwrap() {
            read += chunk.data.len();
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(read, DROPS_COUNT);
    }

    /// Greets, sends back all that it is sent, and says when that was the end.
    async fn pod(mut stream: DuplexStream, ended: mpsc::UnboundedSender<usize>) {
        let mut all = Vec::new();
        stream.write_all(b"hello ").await.unwrap();
        let _ = stream.read_to_end(&mut all).await;
        ended.send(all.len()).unwrap();
        let _ = stream.write_all(&all).await;
    }

    async fn served() -> (PortsClient<Channel>, mpsc::UnboundedReceiver<usize>) {
        let (ended, ends) = mpsc::unbounded_channel();
        let (near, far) = tokio::io::duplex(64 << 10);
        let incoming = stream::iter([Ok::<_, io::Error>(far)]).chain(stream::pending());
        tokio::spawn(Server::builder().add_service(PortsServer::new(Served(ended))).serve_with_incoming(incoming));
        let mut once = Some(TokioIo::new(near));
        let connector = service_fn(move |_: http::Uri| std::future::ready(once.take().ok_or("connected once")));
        let channel = Endpoint::from_static("http://ports").connect_with_connector(connector).await.unwrap();
        (PortsClient::new(channel), ends)
    }

    async fn open(client: &PortsClient<Channel>, port: i32) -> Result<Tunnel, Error> {
        let (mut client, to) = (client.clone(), ForwardRequest { port, data: "so ".into(), ..Default::default() });
        let opened = Tunnel::open(to, |requests| async move { client.forward(requests).await }).await;
        opened.map(Response::into_inner).map_err(|error| status::from_tonic(&error))
    }

    #[tokio::test]
    async fn each_side_is_carried_to_its_end() {
        let (client, _ends) = served().await;
        let mut tunnel = open(&client, PORT).await.unwrap();
        let sent = vec![b'x'; 10 * CHUNK_BYTES_MAX + 1];
        tunnel.write_all(&sent).await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut read = Vec::new();
        tunnel.read_to_end(&mut read).await.unwrap();
        assert!(read == [b"hello so ", sent.as_slice()].concat(), "{} bytes", read.len());
    }

    #[tokio::test]
    async fn what_is_not_opened_is_told_and_harms_no_other() {
        let (client, mut ends) = served().await;
        let mut tunnel = open(&client, PORT).await.unwrap();
        assert_eq!(open(&client, PORT + 1).await.unwrap_err().message, "nothing listens");
        let mut read = [0; 6];
        tunnel.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello ");
        drop(tunnel);
        assert_eq!(ends.recv().await, Some(3), "the Pod sees that its client is gone");
    }
}
