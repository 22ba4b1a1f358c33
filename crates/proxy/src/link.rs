//! An HTTP/1 connection to a Pod behind a socket.
//!
//! No task of its own drives it: whoever waits for the answer, and then whoever reads its body (`download`), does. So a
//! request passes through without a change of threads, and a connection that waits for the next one costs its socket only.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    outbound::Outbound,
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

    /// Lets the connection go on with what it has to do.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
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
