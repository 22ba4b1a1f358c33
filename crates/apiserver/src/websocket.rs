//! WebSocket (RFC 6455) for whatever streams: the handshake, what is only sent, channels both ways, and bytes.
//!
//! A client that neither reads nor answers is given up after a while, and what it may send at a time is bounded.

pub(crate) mod bytes;
pub(crate) mod channels;
pub(crate) mod feed;
pub(crate) mod handshake;
#[cfg(test)]
mod tests;

use std::{io, time::Duration};

use ::bytes::Bytes;
use futures::{Sink, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding::CloseCode},
    },
};

/// How often a quiet client is asked whether it is still there. Twice unanswered is gone.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(30);

/// How long one message may take to be written: the longest object at half a megabit a second.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to answer that a conversation is over.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest message of a client that has nothing to say, in bytes.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// The longest message of a client that has something to say, in bytes.
const SPOKEN_BYTES_MAX: usize = 1 << 20;

/// How much is read at a time of what a client sends that has something to say, in bytes.
const READ_BYTES: usize = 16 << 10;

/// The same of one that has nothing to say: each connection holds as much.
const HEARD_READ_BYTES: usize = 1 << 10;

/// How much of what is sent to a client is put together before it is written, in bytes.
const WRITE_BYTES: usize = 16 << 10;

/// The bytes of a connection after its handshake.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carrier for S {}

/// How much a client has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// It only listens.
    Listens,
    /// It speaks as well.
    Speaks,
}

/// A connection after its handshake.
async fn open<S: Carrier>(bytes: S, client: Client) -> WebSocketStream<S> {
    WebSocketStream::from_raw_socket(bytes, Role::Server, Some(config(client))).await
}

fn config(client: Client) -> WebSocketConfig {
    let (read, message) = match client {
        Client::Listens => (HEARD_READ_BYTES, HEARD_BYTES_MAX),
        Client::Speaks => (READ_BYTES, SPOKEN_BYTES_MAX),
    };
    WebSocketConfig::default()
        .read_buffer_size(read)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(message))
        .max_frame_size(Some(message))
}

/// Reads all messages that a client has sent; whether they end as they should.
pub(crate) fn read_all(bytes: &[u8], mut read: impl FnMut(Message)) -> bool {
    let mut context = WebSocketContext::new(Role::Server, Some(config(Client::Listens)));
    let mut stream = Sent(bytes);
    loop {
        match context.read(&mut stream) {
            Ok(message) => read(message),
            Err(Error::ConnectionClosed) => return true,
            Err(_) => return false,
        }
    }
}

/// What a client has sent, to which nothing can be answered.
struct Sent<'a>(&'a [u8]);

impl io::Read for Sent<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl io::Write for Sent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All was said.
    Over,
    /// The client has closed it.
    Closed,
    /// The client is gone.
    Gone,
    /// The client breaks the protocol.
    Broken(CloseCode),
}

/// What a broken protocol is called.
fn broken(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Broken(CloseCode::Size),
        Error::Protocol(_) | Error::Utf8(_) => End::Broken(CloseCode::Protocol),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_) => End::Gone,
    }
}

/// Sends a message, if the client reads it in time.
async fn send(socket: &mut (impl Sink<Message> + Unpin), message: Message) -> Result<(), End> {
    match tokio::time::timeout(WRITE_TIMEOUT, socket.feed(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// Sends what is left to be sent.
async fn flush(socket: &mut (impl Sink<Message> + Unpin)) -> Result<(), End> {
    match tokio::time::timeout(WRITE_TIMEOUT, socket.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}

/// Says why a conversation ends, or that it was heard, and lets the client say the same.
async fn farewell(mut socket: WebSocketStream<impl Carrier>, end: End, why: &str) {
    let code = match end {
        End::Over => Some(CloseCode::Normal),
        End::Broken(code) => Some(code),
        End::Closed => None,
        End::Gone => return,
    };
    let said = async {
        if let Some(code) = code {
            socket.close(Some(CloseFrame { code, reason: why.into() })).await?;
        }
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, Error>(socket.get_mut().shutdown().await?)
    };
    // Who does not answer is not waited for.
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, said).await;
}

/// An empty ping.
fn ping() -> Message {
    Message::Ping(Bytes::new())
}
