//! The body of an answer that comes over the network: when it has been read, its connection waits for the next request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::{body::BoxError, link::Link, peers::Peer};

/// The body, and the connection that is given back.
pub(crate) struct Download {
    body: Incoming,
    link: Option<(Link, Arc<Peer>)>,
}

impl Download {
    pub(crate) fn new(body: Incoming, link: Link, peer: Arc<Peer>) -> Self {
        let mut download = Self { body, link: Some((link, peer)) };
        if download.body.is_end_stream() {
            download.give_back(&mut Context::from_waker(Waker::noop()));
        }
        download
    }

    fn give_back(&mut self, cx: &mut Context<'_>) {
        if let Some((mut link, peer)) = self.link.take() {
            link.drive(cx);
            if link.is_open() {
                peer.put(link);
            }
        }
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some((link, _)) = &mut self.link {
            link.drive(cx);
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let is_over = matches!(frame, Poll::Ready(None)) || frame.is_ready() && self.body.is_end_stream();
        if is_over {
            self.give_back(cx);
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
