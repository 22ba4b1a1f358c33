//! Drives the guest's work on one request: on the caller's thread as long as it is quick, on the guests' threads from then on.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::books::Books;
use crate::cpu::Metered;
use crate::grants::{Body, BoxError, BoxFuture};

/// How long a guest may work on after its response is complete or its reader has gone: logs, caches, goodbyes.
const AFTERWORK: Duration = Duration::from_secs(10);

/// Why a request got no response from the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The container stops or has ended.
    Gone,
    /// No answer in time.
    Timeout,
    /// The guest trapped or was refused memory; the container's log has it already.
    Guest(String),
    /// The guest chose to answer with an error code of `wasi:http`.
    Code(String),
    /// The guest ended without an answer.
    Silent,
    /// The host could not make an instance.
    Host(String),
}

type Work = BoxFuture<Result<(), Failure>>;

/// The guest's work on one request, wherever it runs.
pub(crate) struct Driver {
    at: At,
    runtime: Handle,
    books: Arc<Books>,
}

enum At {
    /// With whoever polls.
    Here(Metered<Work>),
    /// On the guests' threads; aborted when dropped.
    There(Task),
    Done,
}

struct Task(JoinHandle<Result<(), Failure>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Driver {
    pub(crate) fn new(work: Metered<Work>, runtime: Handle, books: &Arc<Books>) -> Self {
        let mut driver = Self { at: At::Here(work), runtime, books: Arc::clone(books) };
        if books.meter.pause().is_some() {
            driver.carry_over();
        }
        driver
    }

    /// Ready once the guest has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let result = match &mut self.at {
            At::Done => return Poll::Ready(Ok(())),
            At::Here(work) => match work.poll_inline(cx) {
                (Poll::Ready(result), _) => result,
                (Poll::Pending, false) => return Poll::Pending,
                (Poll::Pending, true) => {
                    self.carry_over();
                    return self.poll(cx);
                }
            },
            At::There(task) => match std::task::ready!(Pin::new(&mut task.0).poll(cx)) {
                Ok(result) => result,
                Err(error) => Err(Failure::Guest(format!("the host failed: {error}"))),
            },
        };
        self.at = At::Done;
        Poll::Ready(result)
    }

    fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Moves the work to the guests' threads.
    fn carry_over(&mut self) {
        if let At::Here(work) = std::mem::replace(&mut self.at, At::Done) {
            self.at = At::There(Task(self.runtime.spawn(work)));
        }
    }

    /// Lets the guest finish without anybody waiting, for a while.
    fn let_go(mut self) {
        if self.is_done() {
            return;
        }
        let runtime = self.runtime.clone();
        self.carry_over();
        runtime.spawn(async move {
            let books = Arc::clone(&self.books);
            tokio::select! {
                _ = std::future::poll_fn(|cx| self.poll(cx)) => {}
                () = books.killed() => {}
                () = tokio::time::sleep(AFTERWORK) => {}
            }
        });
    }
}

/// The body of a response whose guest may still be at work: reading it drives the guest.
pub(crate) struct GuestBody {
    early: VecDeque<Result<Frame<Bytes>, Error>>,
    rest: Option<WasiBody>,
    driver: Option<Driver>,
    ended: BoxFuture<&'static str>,
}

impl GuestBody {
    /// The body for the caller: a plain one if the guest has ended and everything it wrote is there.
    pub(crate) fn deliver(mut body: WasiBody, driver: Driver, books: &Arc<Books>) -> Body {
        let early = if driver.is_done() { take_ready(&mut body) } else { Ready::Some(VecDeque::new()) };
        let early = match early {
            Ready::All(bytes) => return Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            Ready::Some(frames) => frames,
        };
        let books = Arc::clone(books);
        let ended: BoxFuture<&'static str> = Box::pin(async move {
            books.killed().await;
            "the container was ended"
        });
        Self { early, rest: Some(body), driver: Some(driver), ended }.boxed_unsync()
    }

    fn finish(&mut self) {
        self.rest = None;
        if let Some(driver) = self.driver.take() {
            driver.let_go();
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Option<Failure> {
        let driver = self.driver.as_mut()?;
        match driver.poll(cx) {
            Poll::Ready(result) => {
                self.driver = None;
                result.err()
            }
            Poll::Pending => None,
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.early.pop_front() {
            return Poll::Ready(Some(frame.map_err(Into::into)));
        }
        let mut frame = self.poll_rest(cx);
        if frame.is_pending() {
            if let Some(failure) = self.drive(cx) {
                self.finish();
                return Poll::Ready(Some(Err(
                    format!("the guest failed in the middle of its answer: {failure:?}").into()
                )));
            }
            frame = self.poll_rest(cx);
        }
        match frame {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.finish();
                Poll::Ready(Some(Err(Box::new(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let why = std::task::ready!(self.ended.as_mut().poll(cx));
                self.rest = None;
                self.driver = None;
                Poll::Ready(Some(Err(why.into())))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(rest) if self.early.is_empty() => rest.size_hint(),
            Some(_) | None => SizeHint::default(),
        }
    }
}

impl Drop for GuestBody {
    /// A reader that knows the length stops before the guest has said its last word; so the guest is not cut off here.
    fn drop(&mut self) {
        self.finish();
    }
}

/// What of a body is there without waiting.
enum Ready {
    /// All of it, without trailers.
    All(Bytes),
    /// Some frames, and more may come.
    Some(VecDeque<Result<Frame<Bytes>, Error>>),
}

fn take_ready(body: &mut WasiBody) -> Ready {
    let mut frames = VecDeque::new();
    let whole = {
        let gather = std::future::poll_fn(|cx| gather(body, &mut frames, cx));
        let mut gather = std::pin::pin!(unconstrained(gather));
        gather.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    };
    if whole { Ready::All(join(frames)) } else { Ready::Some(frames) }
}

/// Ready at the end of a body that consists of data only.
fn gather(body: &mut WasiBody, frames: &mut VecDeque<Result<Frame<Bytes>, Error>>, cx: &mut Context<'_>) -> Poll<()> {
    while let Some(frame) = std::task::ready!(Pin::new(&mut *body).poll_frame(cx)) {
        let goes_on = frame.as_ref().is_ok_and(Frame::is_data);
        frames.push_back(frame);
        if !goes_on {
            return Poll::Pending;
        }
    }
    Poll::Ready(())
}

fn join(frames: VecDeque<Result<Frame<Bytes>, Error>>) -> Bytes {
    let mut pieces = frames.into_iter().flatten().filter_map(|frame| frame.into_data().ok());
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else { return first };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    pieces.for_each(|piece| whole.extend_from_slice(&piece));
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http_body_util::BodyExt as _;

    use super::{Bytes, Context, Error, Frame, Pin, Poll, Ready, VecDeque, take_ready};

    /// A body of some frames, and whether it ends behind them.
    struct Frames(VecDeque<Frame<Bytes>>, bool);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                None if !self.1 => Poll::Pending,
                frame => Poll::Ready(frame.map(Ok)),
            }
        }
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    /// The whole body if it is there, or how many frames are.
    fn ready(frames: Vec<Frame<Bytes>>, is_whole: bool) -> Result<Bytes, usize> {
        match take_ready(&mut Frames(frames.into(), is_whole).boxed_unsync()) {
            Ready::All(bytes) => Ok(bytes),
            Ready::Some(frames) => Err(frames.len()),
        }
    }

    #[test]
    fn a_body_is_taken_whole_only_if_it_has_ended_and_is_data_alone() {
        assert_eq!(ready(vec![], true), Ok(Bytes::new()));
        assert_eq!(ready(vec![data("one ")], true), Ok(Bytes::from_static(b"one ")));
        assert_eq!(
            ready(vec![data("one "), data("two "), data("three")], true),
            Ok(Bytes::from_static(b"one two three"))
        );
        assert_eq!(ready(vec![data("one"), Frame::trailers(HeaderMap::new())], true), Err(2));
        assert_eq!(ready(vec![data("one")], false), Err(1), "its guest is still at work");
    }
}
