//! How a node says that it is alive.
//!
//! It says so to every master, each over a connection of its own: no large answer delays it, the death of a master costs
//! nothing, and a connection that breaks tells that master at once that something has happened to the node.

use std::time::Duration;

use api::{Error, Reason};
use futures::{StreamExt as _, stream};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    Client,
    client::endpoint,
    services::{HeartbeatRequest, HeartbeatResponse, nodes_client::NodesClient},
    status,
};

/// How often a node says that it is alive.
pub const BEAT_EVERY: Duration = Duration::from_millis(500);

/// How long a connection may take to be made. The kernel asks again after a second: a host that is reached again is met
/// within a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a master may be silent before the connection counts as broken: what a dead link swallowed is sent again later
/// and later, so a new connection is sooner there than an old one.
const SILENCE_MAX: Duration = Duration::from_secs(2);

const _: () = assert!(BEAT_EVERY.as_millis() * 3 < SILENCE_MAX.as_millis(), "a master may miss some beats");

impl Client {
    /// Says to the master at a URL that a node is alive, until the connection breaks, the master is silent, or it refuses:
    /// answers why. `say` makes each message, `heard` is called with each answer.
    pub async fn heartbeats(
        &self,
        url: &str,
        say: impl Fn() -> HeartbeatRequest + Send + 'static,
        mut heard: impl FnMut(HeartbeatResponse),
    ) -> Error {
        // What is sent is not sent by whoever waits here: it has to be told when nobody does any more.
        let (_speaking, silence) = oneshot::channel();
        let mut answers = match timeout(CONNECT_TIMEOUT, self.open_heartbeats(url, say, silence)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return error,
            Err(_) => return silent(url),
        };
        loop {
            match timeout(SILENCE_MAX, answers.message()).await {
                Ok(Ok(Some(answer))) => heard(answer),
                Ok(Ok(None)) => return Error::new(Reason::ServiceUnavailable, format!("{url} stops")),
                Ok(Err(refused)) => return status::from_tonic(&refused),
                Err(_) => return silent(url),
            }
        }
    }

    async fn open_heartbeats(
        &self,
        url: &str,
        say: impl Fn() -> HeartbeatRequest + Send + 'static,
        silence: oneshot::Receiver<()>,
    ) -> Result<tonic::Streaming<HeartbeatResponse>, Error> {
        let security = self.security();
        let channel = security.channel(endpoint(url)?);
        let mut beat = interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beats = stream::unfold((beat, say), |(mut beat, say)| async move {
            beat.tick().await;
            Some((say(), (beat, say)))
        });
        let beats = beats.take_until(silence);
        let opened = NodesClient::new(channel).heartbeat(beats).await;
        Ok(opened.map_err(|refused| status::from_tonic(&refused))?.into_inner())
    }
}

fn silent(url: &str) -> Error {
    Error::new(Reason::ServiceUnavailable, format!("{url} does not answer"))
}
