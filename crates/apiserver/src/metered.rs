//! Bodies of requests as they come in: every byte counts against the caller's budget before it is handed on, and whoever
//! sends too slowly is given up.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use api::{Error, Reason};
use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use registry::{Caller, budget::Held};
use rpc::status::to_tonic;
use tokio::time::Sleep;

use crate::gate::Language;

/// How long the server waits for a body in any case, however little has come.
const GRACE: Duration = Duration::from_secs(30);

/// The same for somebody without a certificate.
const NOBODY_GRACE: Duration = Duration::from_secs(10);

/// The least speed of a body beyond that, in bytes a second: half a megabit.
const RATE_MIN: u64 = 64 << 10;

/// The longest body without a certificate, in bytes: joining takes about two KiB.
pub(crate) const NOBODY_BODY_BYTES_MAX: usize = 64 << 10;

/// The length of what stands before a gRPC message.
const GRPC_PREFIX_BYTES: usize = 5;

/// A body that is counted and must come in time.
pub(crate) struct Metered<B> {
    /// `None` only while this is dropped.
    body: Option<B>,
    left: Left<B>,
    held: Held,
    rules: Rules,
    read: usize,
    /// How long the server has waited in all, without the present wait.
    waited: Duration,
    /// Since when the server waits for more of the body.
    waits_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// What nobody read of a body. Whoever answers before it has read everything leaves the rest here: a client that is still
/// sending could miss its answer if the server just stopped reading.
pub(crate) type Left<B> = Arc<Mutex<Option<B>>>;

/// What holds for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// In whose words errors are told, and whether messages say how long they are.
    language: Language,
    /// How much of it is in memory at a time, at most.
    held_max: usize,
    bytes_max: usize,
    grace: Duration,
    /// It is a conversation without end, of which each piece counts by itself.
    endless: bool,
    /// It has something to say when it has, and is not waited for.
    silent: bool,
}

impl Rules {
    pub(crate) fn new(caller: &Caller, language: Language, held_max: usize) -> Self {
        let (bytes_max, grace) = match caller {
            Caller::Nobody => (NOBODY_BODY_BYTES_MAX, NOBODY_GRACE),
            Caller::Cluster
            | Caller::Master { .. }
            | Caller::Newcomer { .. }
            | Caller::Admin { .. }
            | Caller::User(_)
            | Caller::Node { .. } => (usize::MAX, GRACE),
        };
        Self { language, held_max, bytes_max, grace, endless: false, silent: false }
    }

    /// The same for a conversation without end, whose messages are small: each piece has its own time, and only the latest is
    /// held.
    pub(crate) fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// The same for one that may say nothing for as long as it likes.
    pub(crate) fn silent(self) -> Self {
        Self { silent: true, ..self.endless() }
    }

    /// How long a body that has brought `read` bytes may have kept the server waiting.
    fn patience(&self, read: usize) -> Duration {
        self.grace + Duration::from_secs(read as u64 / RATE_MIN)
    }

    fn refusal(&self, error: Error) -> BoxError {
        match self.language {
            Language::Grpc => Box::new(to_tonic(&error)),
            Language::Oci | Language::Rest => Box::new(error),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B> Metered<B> {
    pub(crate) fn new(body: B, held: Held, rules: Rules) -> Self {
        let (body, left) = (Some(body), Left::default());
        Self { body, left, held, rules, read: 0, waited: Duration::ZERO, waits_since: None, alarm: None }
    }

    /// Where the rest will be.
    pub(crate) fn left(&self) -> Left<B> {
        self.left.clone()
    }

    /// Counts what came.
    fn count(&mut self, data: &Bytes) -> Result<(), Error> {
        if self.rules.endless {
            (self.read, self.waited) = (0, Duration::ZERO);
        }
        let announced = if self.read == 0 { self.announced(data) } else { 0 };
        self.read = self.read.saturating_add(data.remaining());
        if self.read.max(announced) > self.rules.bytes_max {
            let message = format!("without a certificate or token a body may have {} bytes", self.rules.bytes_max);
            return Err(Error::new(Reason::RequestEntityTooLarge, message));
        }
        self.held.grow(self.read.max(announced).min(self.rules.held_max))
    }

    /// The length of the message that its first bytes announce: that much is counted at once, since it is allocated at once.
    fn announced(&self, data: &Bytes) -> usize {
        if self.rules.language != Language::Grpc || data.len() < GRPC_PREFIX_BYTES {
            return 0;
        }
        let mut length = data.slice(1..GRPC_PREFIX_BYTES);
        GRPC_PREFIX_BYTES.saturating_add(length.get_u32() as usize)
    }

    /// Waits for more, but not for ever.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.rules.silent {
            return Poll::Pending;
        }
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let patience = self.rules.patience(self.read);
        if self.alarm.is_none() {
            let left = patience.saturating_sub(self.waited).saturating_sub(since.elapsed());
            self.alarm = Some(Box::pin(tokio::time::sleep(left)));
        }
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
        }
        let message = format!(
            "the body came too slowly: {} bytes, and {} s of waiting for them; send at least {RATE_MIN} bytes a second",
            self.read,
            patience.as_secs()
        );
        Poll::Ready(Error::bad_request(message))
    }

    fn waited(&mut self) {
        self.alarm = None;
        self.waited += self.waits_since.take().map(|since| since.elapsed()).unwrap_or_default();
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            return this.wait(cx).map(|error| Some(Err(this.rules.refusal(error))));
        };
        this.waited();
        let counted = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(Ok(()), |data| this.count(data)),
            Some(Err(_)) | None => Ok(()),
        };
        Poll::Ready(match counted {
            Ok(()) => frame.map(|frame| frame.map_err(Into::into)),
            Err(error) => Some(Err(this.rules.refusal(error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for Metered<B> {
    fn drop(&mut self) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use registry::budget::{Budget, Permit};

    use super::*;

    fn permit(caller: &Caller) -> Permit {
        Budget::default().account(caller, [127, 0, 0, 1].into()).take().unwrap()
    }

    fn admin() -> Caller {
        Caller::Admin { name: "a".to_owned() }
    }

    async fn read<B>(caller: &Caller, language: Language, body: B) -> Result<usize, BoxError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let rules = Rules::new(caller, language, 16 << 20);
        let metered = Metered::new(body, permit(caller).held(), rules);
        Ok(metered.collect().await?.to_bytes().len())
    }

    /// A body of unknown length.
    fn chunks(count: usize, bytes: usize) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Unpin {
        let chunk = Bytes::from(vec![0; bytes]);
        StreamBody::new(futures::stream::iter((0..count).map(move |_| Ok(Frame::data(chunk.clone())))))
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_counts_as_it_comes() {
        let (budget, caller) = (Budget::default(), admin());
        let account = budget.account(&caller, [127, 0, 0, 1].into());
        let others: Vec<_> = (0..86).map(|_| account.take().unwrap()).collect();
        assert!(others[1..].iter().all(|permit| permit.held().grow(3 << 20).is_ok()));
        let rules = Rules::new(&caller, Language::Rest, 3 << 20);
        let refused = Metered::new(chunks(64, 64 << 10), others[0].held(), rules).collect().await.unwrap_err();
        assert_eq!(refused.downcast::<Error>().unwrap().reason, Reason::TooManyRequests);
        assert_eq!(read(&caller, Language::Rest, chunks(64, 64 << 10)).await.unwrap(), 4 << 20);
    }

    #[tokio::test]
    async fn a_message_counts_as_long_as_it_says_it_is() {
        let nobody = Caller::Nobody;
        let prefix = Full::new(Bytes::from_static(&[0, 0, 16, 0, 0, 1, 2, 3]));
        let refused = read(&nobody, Language::Grpc, prefix.clone()).await.unwrap_err();
        assert!(refused.downcast::<tonic::Status>().unwrap().message().contains("65536 bytes"));
        assert_eq!(read(&admin(), Language::Grpc, prefix).await.unwrap(), 8);
        let long = read(&nobody, Language::Rest, chunks(2, 40 << 10)).await.unwrap_err();
        assert_eq!(long.downcast::<Error>().unwrap().reason, Reason::RequestEntityTooLarge);
    }

    #[test]
    fn patience_grows_with_what_came() {
        let (known, nobody) = (Rules::new(&admin(), Language::Rest, 1), Rules::new(&Caller::Nobody, Language::Rest, 1));
        assert_eq!((known.patience(0), nobody.patience(0)), (GRACE, NOBODY_GRACE));
        assert_eq!(known.patience(3 << 20), Duration::from_secs(30 + 48));
    }

    #[tokio::test]
    async fn of_a_conversation_each_piece_counts_by_itself() {
        let permit = permit(&admin());
        let mut body = Metered::new(
            chunks(1024, 64 << 10),
            permit.held(),
            Rules::new(&admin(), Language::Grpc, 1 << 20).endless(),
        );
        while let Some(piece) = body.frame().await {
            piece.unwrap();
            assert!(body.read <= 64 << 10 && body.waited.is_zero(), "{} bytes", body.read);
        }
    }

    #[tokio::test]
    async fn who_may_be_silent_is_not_waited_for() {
        let silent = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>());
        let rules = Rules { grace: Duration::ZERO, ..Rules::new(&admin(), Language::Grpc, 1) }.silent();
        let mut body = Metered::new(silent, permit(&admin()).held(), rules);
        assert!(futures::FutureExt::now_or_never(body.frame()).is_none());
        assert!(body.alarm.is_none(), "nothing will end it");
    }

    /// Whoever sends nothing is given up; the time is not the machine's but the rule's.
    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let silent = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>());
        let rules = Rules { grace: Duration::from_millis(10), ..Rules::new(&admin(), Language::Rest, 1) };
        let refused = Metered::new(silent, permit(&admin()).held(), rules).collect().await.unwrap_err();
        assert!(refused.to_string().contains("too slowly"), "{refused}");
    }
}
