//! Answers that go on only as long as their reader is somebody: to callers whose token may lose what it speaks of.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body as Answer;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};
use registry::{Authenticated, Registry};

/// An answer that ends when somebody is nobody any more.
struct Revocable {
    answer: Answer,
    revoked: BoxFuture<'static, ()>,
}

/// The same answer, that ends when its reader's token counts no more. What is sent as a whole is sent anyhow.
pub(crate) fn revocable(answer: Answer, registry: &Registry, reader: &Authenticated) -> Answer {
    if answer.size_hint().exact().is_some() {
        return answer;
    }
    let (registry, reader) = (registry.clone(), reader.clone());
    Answer::new(Revocable { answer, revoked: Box::pin(async move { registry.until_revoked(&reader).await }) })
}

impl Body for Revocable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match this.revoked.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new("the reader's token counts no more")))),
            Poll::Pending => Pin::new(&mut this.answer).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
