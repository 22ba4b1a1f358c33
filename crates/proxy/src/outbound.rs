//! The body of an answer on its way to a client, trailers included.
//!
//! The server behind this writes only trailers that the head of the answer has named, and no guest names them: they are
//! handed to the connection, which writes them itself.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, Version, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::{Body, BoxError, strict::Notes};

/// A body for a client.
pub(crate) struct Outbound {
    body: Body,
    /// Present if the answer comes in chunks, behind which trailers may stand.
    notes: Option<Arc<Notes>>,
}

impl Outbound {
    /// The answer to a request of a version.
    pub(crate) fn of(response: Response<Body>, asked: Version, notes: &Arc<Notes>) -> Response<Self> {
        let has_length =
            response.headers().contains_key(header::CONTENT_LENGTH) || response.body().size_hint().exact().is_some();
        let is_chunked = asked == Version::HTTP_11 && !has_length;
        response.map(|body| Self { body, notes: is_chunked.then(|| notes.clone()) })
    }
}

impl HttpBody for Outbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame };
        Poll::Ready(match (frame.into_trailers(), &self.notes) {
            (Ok(trailers), Some(notes)) => Some(Ok(Frame::data(notes.end_with(&trailers)))),
            // There is no place for them.
            (Ok(_), None) => None,
            (Err(frame), _) => Some(Ok(frame)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
