//! The Pods that are bound to this node, as events for the brain.

use std::sync::Arc;

use api::core_v1::Pod;
use rpc::Update;

use crate::{Event, driver::memory::Remembered};

/// A watch that may start over, and then says so.
pub(crate) struct PodWatch {
    updates: Remembered,
    /// The Pods seen since the watch started over; `None` while it did not.
    again: Option<Vec<Arc<Pod>>>,
}

impl PodWatch {
    pub(crate) fn new(updates: Remembered) -> Self {
        Self { updates, again: None }
    }

    /// The next event; none when the watch has ended. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.updates.next().await? {
                Ok(Update::Restarted) => self.again = Some(Vec::new()),
                Ok(Update::Changes(changes)) => match &mut self.again {
                    Some(seen) => seen
                        .extend(changes.iter().filter_map(|change| change.object.get::<Pod>().cloned().map(Arc::new))),
                    None => return Some(Event::Pods(changes)),
                },
                Ok(Update::Synced(_)) => {
                    if let Some(seen) = self.again.take() {
                        return Some(Event::AllPods(seen));
                    }
                }
                Err(error) => tracing::error!(%error, "the masters refuse to tell this node its Pods"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{Kind, kinds::Resource as _};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;
    use crate::driver::{
        memory::Memory,
        testing::{added, synced},
    };

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        name.clone_into(&mut pod.metadata_mut().name);
        pod
    }

    #[tokio::test]
    async fn a_watch_that_starts_over_tells_of_all_pods_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path()).unwrap();
        let (masters, updates) = tokio::sync::mpsc::unbounded_channel();
        let mut watch = PodWatch::new(Remembered::new(UnboundedReceiverStream::new(updates), memory, Kind::Pod));
        let updates = [
            added([pod("a")]),
            synced(),
            Update::Restarted,
            added([pod("b")]),
            added([pod("c")]),
            synced(),
            added([pod("d")]),
        ];
        updates.into_iter().for_each(|update| masters.send(Ok(update)).unwrap());
        drop(masters);
        assert!(matches!(watch.next().await, Some(Event::Pods(changes)) if changes.len() == 1), "a");
        let Some(Event::AllPods(pods)) = watch.next().await else { panic!("it started over") };
        assert_eq!(pods.iter().map(|pod| pod.name()).collect::<Vec<_>>(), ["b", "c"]);
        assert!(matches!(watch.next().await, Some(Event::Pods(changes)) if changes.len() == 1), "d");
        assert!(watch.next().await.is_none());
    }
}
