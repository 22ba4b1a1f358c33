//! Answers that go on only as long as their reader is somebody: to callers whose token may lose what it speaks of.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body as Answer;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use registry::{Authenticated, Registry};

/// How many frames of an answer are sent without another look at its reader, as long as none is waited for: who it is was found
/// out a moment ago. The answer to a call of gRPC has two.
const FRAMES_AT_ONCE: usize = 2;

/// An answer that ends when somebody is nobody any more.
struct Revocable {
    answer: Answer,
    /// How many frames have been sent.
    sent: usize,
    registry: Registry,
    reader: Authenticated,
    /// Empty until the answer takes its time.
    revoked: Option<BoxFuture<'static, ()>>,
}

/// The same answer, that ends when its reader's token counts no more. What is sent as a whole is sent anyhow.
pub(crate) fn revocable(answer: Answer, registry: &Registry, reader: &Authenticated) -> Answer {
    if answer.size_hint().exact().is_some() {
        return answer;
    }
    let (registry, reader) = (registry.clone(), reader.clone());
    Answer::new(Revocable { answer, sent: 0, registry, reader, revoked: None })
}

impl Revocable {
    /// Waits until the reader is nobody any more.
    fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<axum::Error> {
        let revoked = self.revoked.get_or_insert_with(|| {
            let (registry, reader) = (self.registry.clone(), self.reader.clone());
            Box::pin(async move { registry.until_revoked(&reader).await })
        });
        ready!(revoked.as_mut().poll(cx));
        Poll::Ready(axum::Error::new("the reader's token counts no more"))
    }
}

impl Body for Revocable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.sent >= FRAMES_AT_ONCE
            && let Poll::Ready(error) = this.poll_revoked(cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut this.answer).poll_frame(cx) {
            Poll::Ready(frame) => {
                this.sent += 1;
                Poll::Ready(frame)
            }
            Poll::Pending => this.poll_revoked(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
