//! Who still belongs to the cluster: a certificate counts only as long as the node or master exists that it was made for.
//!
//! Each request is checked against what this master knows, without waiting. Only before a caller is refused does this master
//! catch up with the others, so that it does not turn away a newcomer of which it has not heard yet. When a caller leaves, its
//! open connections end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{ChangeType, Error, Key, Kind, Object, ReadAt, Reason, error::Cause};
use consensus::{MemberId, Members};
use rpc::{services::MasterGroup, status::REVOKED};
use store::{Event, Watch};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{interval, timeout},
};
use tracing::warn;

use super::{joining::is_expected, masters::Heard};
use crate::{Registry, access::Caller};

/// How often the group of masters is looked at: who was removed is cut off well within a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Registry {
    /// The caller, if it still belongs to the cluster.
    ///
    /// # Errors
    /// 401 if it does not, with a [`REVOKED`] cause; 503 if the masters cannot agree on that at the moment.
    pub async fn present(&self, caller: Arc<Caller>) -> Result<Arc<Caller>, Error> {
        if self.knows(&caller) {
            return Ok(caller);
        }
        let view = self.view(ReadAt::Latest).await?;
        if self.knows(&caller) {
            return Ok(caller);
        }
        if let Caller::Master { member } = *caller
            && is_expected(&view, member, self.now())
        {
            return Ok(Arc::new(Caller::Newcomer { member }));
        }
        Err(self.revoked(&caller))
    }

    /// Waits until a caller that belongs to the cluster does so no more.
    pub async fn until_gone(&self, caller: &Caller) {
        if !matches!(caller, Caller::Node { .. } | Caller::Master { .. }) {
            return std::future::pending().await;
        }
        let mut news = self.inner.presence.subscribe();
        let mut belonged = false;
        loop {
            match self.knows(caller) {
                true => belonged = true,
                false if belonged => return,
                false => {}
            }
            // The sender lives as long as this Registry.
            let _ = news.changed().await;
        }
    }

    /// Who the masters are, for nodes: whoever is none of them may ask nothing of a node.
    #[must_use]
    pub fn told_to_nodes(&self) -> MasterGroup {
        let group = self.group();
        let group = group.borrow();
        let members: BTreeSet<u64> = group.members.all().map(|member| member.0).collect();
        MasterGroup {
            cluster_id: group.cluster.to_string(),
            applied: group.applied,
            members: members.into_iter().collect(),
        }
    }

    /// Hears what another master says, until it is removed.
    pub fn hear(&self, member: u64, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let member = MemberId(member);
        if !self.may_speak(member) {
            return warn!(%member, "a master that does not belong to the group was not heard");
        }
        let registry = self.clone();
        let silenced = async move {
            let mut news = registry.inner.presence.subscribe();
            while registry.may_speak(member) {
                // The sender lives as long as this Registry. Who came and went between two looks at the group is no news.
                let _ = timeout(LOOK_EVERY, news.changed()).await;
            }
        };
        self.inner.consensus.accept(member, Box::new(Heard::new(stream, Box::pin(silenced))));
    }

    /// Whether another master is listened to: if it belongs to the group, or if this one knows of no leader. Then it may have
    /// been away while the group changed, and the caller may be the one from whom it learns that.
    #[must_use]
    pub fn may_speak(&self, member: MemberId) -> bool {
        let group = self.group();
        let group = group.borrow();
        let members = &group.members;
        members.contains(member) || !group.leader.is_some_and(|leader| members.contains(leader))
    }

    /// Tells open connections whenever somebody joins or leaves, or may have lost what its token speaks of, until the process stops.
    pub async fn watch_presence(&self) {
        let (mut whom, mut group) = (self.somebodies(), None);
        let mut look = interval(LOOK_EVERY);
        loop {
            let is_news = tokio::select! {
                () = self.inner.closing.cancelled() => return,
                events = whom.next() => match events {
                    Ok(events) => events.iter().any(|event| is_other(event)),
                    Err(_) => {
                        whom = self.somebodies();
                        true
                    }
                },
                _ = look.tick() => {
                    let now = self.group_now();
                    std::mem::replace(&mut group, now.clone()) != now
                }
            };
            if is_news {
                self.inner.presence.send_modify(|news| *news = news.wrapping_add(1));
            }
        }
    }

    fn group_now(&self) -> Option<(Members, Option<MemberId>)> {
        let group = self.group();
        let group = group.borrow();
        Some((group.members.clone(), group.leader))
    }

    /// The changes, from now on, of what certificates and tokens speak of. History always reaches back to the present.
    fn somebodies(&self) -> Watch {
        let kinds = [Kind::Node, Kind::ServiceAccount, Kind::User, Kind::Pod, Kind::Secret];
        loop {
            if let Ok(watch) = self.inner.store.watch(&kinds, self.inner.store.view().revision()) {
                return watch;
            }
        }
    }

    /// Whether somebody belongs to the cluster, as far as this master knows.
    fn knows(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Cluster | Caller::Admin { .. } | Caller::User(_) | Caller::Nobody => true,
            Caller::Node { name, uid, .. } => {
                let view = self.inner.store.view();
                let node = view.get(&Key::cluster(Kind::Node, name.as_str())).map(|record| record.object());
                node.is_some_and(|node| identity(&node) == Some(uid))
            }
            Caller::Master { member } => self.group().borrow().members.contains(MemberId(*member)),
            // Nobody's certificate says so; see `present`.
            Caller::Newcomer { .. } => false,
        }
    }

    fn revoked(&self, caller: &Caller) -> Error {
        let message = match caller {
            Caller::Node { name, .. } => format!(
                "the node {name:?} was deleted or has joined anew since this certificate was made; to come back it must join \
                 anew, with a token of `kapelle token create --role worker --node-name {name}`"
            ),
            Caller::Cluster
            | Caller::Master { .. }
            | Caller::Newcomer { .. }
            | Caller::Admin { .. }
            | Caller::User(_)
            | Caller::Nobody => format!("{} does not belong to the group of masters any more", caller.user()),
        };
        let cluster = self.status().cluster.to_string();
        let cause = Cause { reason: REVOKED, field: String::new(), message: cluster };
        Error { causes: vec![cause], ..Error::new(Reason::Unauthorized, message) }
    }
}

/// What a Node's certificate must say; nothing fits one that is being deleted.
fn identity(node: &Object) -> Option<&str> {
    let metadata = node.metadata().filter(|meta| meta.deletion_timestamp.is_none() && !meta.uid.is_empty())?;
    Some(&metadata.uid)
}

/// Whether after a change somebody may not be any more, or somebody else. Pods and Secrets change often, and keep their uid until
/// they are gone; any change of a User may take a group from it.
fn is_other(event: &Event) -> bool {
    let is_somebody = matches!(event.record.key.kind, Kind::Node | Kind::ServiceAccount);
    match event.change {
        ChangeType::Deleted => true,
        ChangeType::Modified if event.record.key.kind == Kind::User => true,
        ChangeType::Added => is_somebody,
        ChangeType::Modified if !is_somebody => false,
        ChangeType::Modified => {
            let before = event.before.as_ref().map(|before| before.object());
            before.is_none_or(|before| identity(&before) != identity(&event.record.object()))
        }
    }
}
