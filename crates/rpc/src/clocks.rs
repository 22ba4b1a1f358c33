//! What a wrong clock does to connections, in words that help: certificates that are valid look as if they had ended, or had
//! not begun, and whoever shows one hears no more than an alert.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{AlertDescription, CertificateError, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The same error; where a clock may be its cause, it says so.
#[must_use]
pub fn explained(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let advice = match cause {
        Some(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => "its certificate is not valid at this host's time",
        Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => {
            "the other side finds that this process's certificate is not valid at its time"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{advice} ({error}); compare the clocks of both hosts"))
}

/// A stream whose errors are [`explained`]: with TLS 1.3 a caller hears what is wrong with its certificate only when it
/// reads.
#[derive(Debug)]
pub struct Explained<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll_read(cx, into)).map_err(explained))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_body_are_still_written_at_once() {
        let (stream, _other) = tokio::io::duplex(64);
        assert!(stream.is_write_vectored() && Explained(stream).is_write_vectored());
    }
}
