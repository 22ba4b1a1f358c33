//! The body of a message on its way out, trailers included: of an answer to a client, or of a request to a Pod.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    body::{Body, BoxError},
    replay::Upload,
    trailers::Marks,
};

/// A body for a connection that puts trailers in.
pub(crate) struct Outbound {
    payload: Payload,
    /// Present if the message comes in chunks, behind which trailers may stand.
    marks: Option<Arc<Marks>>,
}

enum Payload {
    Answer(Body),
    Request(Upload),
}

impl Outbound {
    /// The answer to a request of a version.
    pub(crate) fn answer(response: Response<Body>, asked: Version, marks: &Arc<Marks>) -> Response<Self> {
        let is_chunked = asked == Version::HTTP_11 && !has_length(response.headers(), response.body());
        let marks = is_chunked.then(|| marks.clone());
        response.map(|body| Self { payload: Payload::Answer(body), marks })
    }

    /// A request of HTTP/1.1. That its body comes in chunks is said whatever it asks: the library believes that a GET has none.
    pub(crate) fn request(mut request: Request<Upload>, marks: &Arc<Marks>) -> Request<Self> {
        let is_chunked = !has_length(request.headers(), request.body());
        if is_chunked {
            request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let marks = is_chunked.then(|| marks.clone());
        request.map(|upload| Self { payload: Payload::Request(upload), marks })
    }
}

fn has_length(headers: &HeaderMap, body: &impl HttpBody) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || body.size_hint().exact().is_some()
}

impl HttpBody for Outbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.payload {
            Payload::Answer(body) => Pin::new(body).poll_frame(cx),
            Payload::Request(upload) => Pin::new(upload).poll_frame(cx),
        };
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame };
        Poll::Ready(match (frame.into_trailers(), &self.marks) {
            (Ok(trailers), Some(marks)) => Some(Ok(Frame::data(marks.end_with(&trailers)))),
            // A body of a known length ends without them.
            (Ok(_), None) => None,
            (Err(frame), _) => Some(Ok(frame)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Answer(body) => body.is_end_stream(),
            Payload::Request(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Answer(body) => body.size_hint(),
            Payload::Request(upload) => upload.size_hint(),
        }
    }
}
