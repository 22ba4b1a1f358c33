//! The body of an answer. It keeps its connection busy until it has been sent, since a watch is not idle while nothing
//! changes; and when it has been sent, it reads for a while what the client is still sending, so that the client sees it.

use std::{
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use rpc::connections::Busy;
use tokio::time::Sleep;

use crate::metered::Left;

/// How much of a body that nobody wanted is read and thrown away, in bytes.
const DISCARDED_BYTES_MAX: usize = 4 << 20;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer, what it keeps busy, and what is left of the question.
pub(crate) struct Reply {
    answer: axum::body::Body,
    left: Left<Incoming>,
    discarding: Option<Discarding>,
    _busy: Busy,
}

struct Discarding {
    body: Incoming,
    bytes: usize,
    alarm: Pin<Box<Sleep>>,
}

impl Reply {
    pub(crate) fn new(answer: axum::body::Body, left: Left<Incoming>, busy: Busy) -> Self {
        Self { answer, left, discarding: None, _busy: busy }
    }

    fn rest(&self) -> Option<Incoming> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take_if(|body| !body.is_end_stream())
    }
}

impl Discarding {
    fn new(body: Incoming) -> Self {
        Self { body, bytes: 0, alarm: Box::pin(tokio::time::sleep(DISCARD_TIMEOUT)) }
    }

    /// Reads until the end, or until it is enough.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.bytes < DISCARDED_BYTES_MAX && self.alarm.as_mut().poll(cx).is_pending() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => self.bytes += frame.data_ref().map_or(0, Bytes::len),
                Poll::Ready(Some(Err(_)) | None) => break,
            }
        }
        Poll::Ready(())
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.discarding.is_none() {
            match Pin::new(&mut this.answer).poll_frame(cx) {
                Poll::Ready(None) => this.discarding = this.rest().map(Discarding::new),
                sent => return sent,
            }
        }
        match &mut this.discarding {
            Some(discarding) => discarding.poll(cx).map(|()| None),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        self.answer.is_end_stream() && left.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
