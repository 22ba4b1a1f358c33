//! Over SPDY each forwarded connection has two streams, one for its bytes and one for what went wrong, which say by a request's id
//! that they belong together.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::stream;
use registry::Reach;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
};

use super::{carry, complaint, port};
use crate::spdy::{
    self,
    connection::{STREAMS_MAX, Stream},
};

/// How long one stream of a pair waits for the other. Upstream's time.
const PAIR_TIMEOUT: Duration = Duration::from_secs(30);

/// The most streams that wait for their other half.
const WAITING_MAX: usize = 64;

const _: () = assert!(WAITING_MAX < STREAMS_MAX, "so many streams are never open");

/// Which of the two a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Data,
    Error,
}

/// Forwards connections until the client is gone.
pub(super) async fn serve(bytes: impl AsyncRead + AsyncWrite + Send, reach: Reach) {
    let (mut pairs, mut tasks) = (Pairs::default(), JoinSet::new());
    spdy::connection::serve(bytes, |stream| {
        while tasks.try_join_next().is_some() {}
        match pairs.take(stream, Instant::now()) {
            Taken::Refused => return false,
            Taken::Waits => {}
            Taken::Pair(port, data, error) => drop(tasks.spawn(forward(reach.clone(), port, data, error))),
        }
        true
    })
    .await;
}

async fn forward(reach: Reach, port: u16, data: Stream, error: Stream) {
    let ((said, mut say), (_, mut complain)) = (data.split(), error.split());
    match reach.open(port).await {
        Err(error) => {
            // Who is gone hears nothing.
            let _ = complain.write(complaint(&reach, port, &error)).await;
            complain.finish().await;
            say.reset().await;
        }
        Ok(tunnel) => {
            let said = stream::unfold(said, |mut said| async move { Some((said.next().await?, said)) });
            let carried = carry(tunnel, said, &mut say).await;
            match carried {
                Ok(()) => say.finish().await,
                Err(_) => say.reset().await,
            }
            complain.finish().await;
        }
    }
}

/// Streams that wait for their other half.
#[derive(Default)]
struct Pairs(HashMap<String, Waiting>);

struct Waiting {
    half: Half,
    stream: Stream,
    since: Instant,
}

/// What became of a stream.
enum Taken {
    /// It is none of a pair that is of use.
    Refused,
    Waits,
    /// Both are there: the port, the stream with its bytes, and the one for what goes wrong.
    Pair(u16, Stream, Stream),
}

impl Pairs {
    fn take(&mut self, stream: Stream, now: Instant) -> Taken {
        self.0.retain(|_, waiting| now.duration_since(waiting.since) < PAIR_TIMEOUT);
        let half = match stream.headers.get("streamType") {
            "data" => Half::Data,
            "error" => Half::Error,
            _ => return Taken::Refused,
        };
        let Ok(port) = port(stream.headers.get("port")) else { return Taken::Refused };
        let request = request(&stream, half);
        match self.0.remove(&request) {
            None if self.0.len() >= WAITING_MAX => Taken::Refused,
            None => {
                self.0.insert(request, Waiting { half, stream, since: now });
                Taken::Waits
            }
            Some(waiting) if waiting.half == half => Taken::Refused,
            Some(waiting) => match half {
                Half::Data => Taken::Pair(port, stream, waiting.stream),
                Half::Error => Taken::Pair(port, waiting.stream, stream),
            },
        }
    }
}

/// By what a stream is known. Very old clients give no ids, but open the stream for errors right before the other.
fn request(stream: &Stream, half: Half) -> String {
    match (stream.headers.get("requestID"), half) {
        ("", Half::Error) => stream.id.to_string(),
        ("", Half::Data) => stream.id.saturating_sub(2).to_string(),
        (id, _) => id.to_owned(),
    }
}
