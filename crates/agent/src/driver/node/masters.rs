//! Who the masters are: only they may ask this node for anything.
//!
//! Certificates of masters are good for years, and a master that was removed keeps its certificate. So masters tell nodes who belongs to
//! the group, in their answers to heartbeats, and whoever has applied more of the log knows better.

use std::time::Duration;

use api::{Error, Reason};
use rpc::services::MasterGroup;
use tokio::{sync::watch, time::timeout};

/// How long news of the group are waited for before a master is refused that this node does not know: they come with the
/// answer to the next heartbeat.
const NEWS_WITHIN: Duration = Duration::from_millis(750);

const _: () = assert!(NEWS_WITHIN.as_millis() > rpc::BEAT_EVERY.as_millis(), "no heartbeat is answered in that time");

/// What this node was told of the group.
#[derive(Default)]
pub(crate) struct Masters {
    known: watch::Sender<Option<MasterGroup>>,
}

impl Masters {
    /// A master tells who belongs to the group. Another group than before is one that was restored from a backup.
    pub(crate) fn hear(&self, told: MasterGroup) {
        self.known.send_if_modified(|known| {
            let is_news = |known: &MasterGroup| known.cluster_id != told.cluster_id || known.applied < told.applied;
            let is_news = known.as_ref().is_none_or(is_news);
            if is_news {
                *known = Some(told);
            }
            is_news
        });
    }

    /// Lets a master ask, or says why not.
    ///
    /// # Errors
    /// If it does not belong to the group, or nobody has told who does.
    pub(crate) async fn admit(&self, member: u64) -> Result<(), Error> {
        let mut known = self.known.subscribe();
        if timeout(NEWS_WITHIN, known.wait_for(|known| belongs(known.as_ref(), member))).await.is_ok() {
            return Ok(());
        }
        Err(if self.known.borrow().is_some() {
            let message = format!("the master {member:016x} does not belong to the group: this node tells it nothing");
            Error::new(Reason::Forbidden, message)
        } else {
            let message = "this node has not heard yet who the masters are; ask again";
            Error::new(Reason::ServiceUnavailable, message)
        })
    }

    /// Ends when a master does not belong to the group any more.
    pub(crate) async fn until_gone(&self, member: u64) {
        // The sender lives as long as this does.
        let _ = self.known.subscribe().wait_for(|known| !belongs(known.as_ref(), member)).await;
    }
}

fn belongs(known: Option<&MasterGroup>, member: u64) -> bool {
    known.is_some_and(|group| group.members.contains(&member))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn group(cluster: &str, applied: u64, members: &[u64]) -> MasterGroup {
        MasterGroup { cluster_id: cluster.to_owned(), applied, members: members.to_vec() }
    }

    #[tokio::test]
    async fn only_members_may_ask_and_only_for_as_long_as_they_are() {
        let masters = Masters::default();
        assert_eq!(masters.admit(1).await.unwrap_err().reason, Reason::ServiceUnavailable);
        masters.hear(group("a", 7, &[1, 2, 3]));
        masters.admit(3).await.unwrap();
        let gone = masters.until_gone(3);
        tokio::pin!(gone);
        assert!(futures::poll!(gone.as_mut()).is_pending());

        masters.hear(group("a", 9, &[1, 2]));

        gone.await;
        let refused = masters.admit(3).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Forbidden);
        assert!(refused.message.contains("0000000000000003 does not belong"), "{refused}");
        // A master that was away tells what was so once.
        masters.hear(group("a", 8, &[1, 2, 3]));
        masters.admit(3).await.unwrap_err();
        masters.admit(2).await.unwrap();
        // A cluster that was restored begins with another group, and perhaps further back.
        masters.hear(group("b", 3, &[5]));
        masters.admit(5).await.unwrap();
        masters.admit(2).await.unwrap_err();
    }

    #[tokio::test]
    async fn who_has_just_joined_is_waited_for() {
        let masters = Masters::default();
        masters.hear(group("a", 7, &[1]));
        let admitted = masters.admit(2);
        tokio::pin!(admitted);
        assert!(futures::poll!(admitted.as_mut()).is_pending());
        masters.hear(group("a", 8, &[1, 2]));
        admitted.await.unwrap();
    }
}
