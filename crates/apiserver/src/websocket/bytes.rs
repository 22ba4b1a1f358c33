//! Bytes both ways, as binary messages of any length: what is spoken within them is somebody else's protocol.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::bytes::{Buf as _, Bytes};
use futures::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{Client, open};

/// The longest message to a client, in bytes.
const WRITTEN_BYTES_MAX: usize = 16 << 10;

/// A stream of bytes within a WebSocket.
pub(crate) struct Within<S> {
    socket: WebSocketStream<S>,
    /// What came and was not read.
    read: Bytes,
}

/// Looks into a WebSocket.
pub(crate) async fn within<S: super::Carrier>(bytes: S) -> Within<S> {
    Within { socket: open(bytes, Client::Speaks).await, read: Bytes::new() }
}

fn broken(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl<S: super::Carrier> AsyncRead for Within<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => this.read = bytes,
                // The end comes once it was answered.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Some(Ok(Message::Text(_) | Message::Frame(_))) => return Poll::Ready(Err(broken("text among bytes"))),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = this.read.len().min(into.remaining());
        into.put_slice(&this.read[..count]);
        this.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: super::Carrier> AsyncWrite for Within<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(broken)?;
        let bytes = &bytes[..bytes.len().min(WRITTEN_BYTES_MAX)];
        socket.start_send(Message::Binary(Bytes::copy_from_slice(bytes))).map_err(broken)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(broken)
    }
}
