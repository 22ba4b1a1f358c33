//! What happens on this node, on its way to the brain.

use tokio::sync::mpsc;

use crate::Event;

/// How many events may wait before whoever sends more has to wait as well.
const EVENTS_MAX: usize = 4096;

/// The sending end. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Inbox(mpsc::Sender<Event>);

impl Inbox {
    /// An empty inbox, and the end at which the brain reads it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, inbox) = mpsc::channel(EVENTS_MAX);
        (Self(events), inbox)
    }

    /// Tells the brain.
    pub(crate) async fn say(&self, event: Event) {
        // The brain stops listening only when the process ends.
        let _ = self.0.send(event).await;
    }
}
