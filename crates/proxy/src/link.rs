//! An HTTP/1 connection to a Pod behind a socket.
//!
//! No task of its own drives it: whoever waits for the answer, and then whoever reads its body, does. So a request passes
//! through without a change of threads, and a connection that waits for the next one costs its socket only.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    BoxError,
    outbound::Outbound,
    peers::Peer,
    replay::Upload,
    trailers::{Marked, Marks},
};

type Driver = http1::Connection<TokioIo<Marked>, Outbound>;

/// A connection that carries one request at a time.
pub(crate) struct Link {
    sender: SendRequest<Outbound>,
    /// `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
    /// The trailers of requests on this connection.
    marks: Arc<Marks>,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// Nothing was sent.
    Unsent,
    /// Some of it may have been sent, and no byte of an answer came.
    Lost(hyper::Error),
}

impl Link {
    pub(crate) async fn open(stream: TcpStream) -> Result<Self, hyper::Error> {
        let marks = Arc::<Marks>::default();
        let (sender, driver) = http1::handshake(TokioIo::new(Marked::new(stream, marks.clone()))).await?;
        Ok(Self { sender, driver: Some(Box::pin(driver)), marks })
    }

    /// Whether the other end still holds it open and the last request is over.
    pub(crate) fn is_open(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(mut self, request: Request<Upload>) -> Result<(Response<Incoming>, Self), Unanswered> {
        let mut answer = pin!(self.sender.try_send_request(Outbound::request(request, &self.marks)));
        let answer = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        });
        match answer.await {
            Ok(response) => Ok((response, self)),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<TrySendError<Request<Outbound>>> for Unanswered {
    fn from(mut error: TrySendError<Request<Outbound>>) -> Self {
        match error.take_message() {
            Some(_) => Self::Unsent,
            None => Self::Lost(error.into_error()),
        }
    }
}

/// The body of an answer. When it has been read, its connection waits for the next request.
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
