//! The group of masters changes while processes run: workers learn who belongs to it, and a master that was removed while it
//! was away learns that.

use std::{future::Future, io::ErrorKind, net::SocketAddr, time::Duration};

use registry::{GroupStatus, Masters, Registry};
use rpc::{Client, services::ClusterStatus};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

/// How often a worker asks who the masters are.
const LEARN_EVERY: Duration = Duration::from_secs(15);

/// A master that knows of no leader asks the others this often whether it still belongs to them.
const DOUBT_EVERY: Duration = Duration::from_secs(3);

/// How long another master may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// `https://` URLs of masters that were named as `HOST:PORT`.
pub(crate) fn urls(masters: &[String]) -> Vec<String> {
    let url = |master: &String| {
        if master.contains("://") { master.clone() } else { format!("https://{master}") }
    };
    masters.iter().map(url).collect()
}

/// Keeps a worker's list of masters up to date: those that belong to the group, then those named at its start, which may
/// be other addresses of the same. `keep` stores a new list for the next start.
pub(crate) async fn learn<F: Future>(client: Client, named: Vec<String>, mut keep: impl FnMut(Vec<String>) -> F) {
    let mut known = Vec::new();
    loop {
        if let Ok(status) = client.cluster_status().await {
            let masters = contacts(&status);
            if masters != known && !masters.is_empty() {
                let others = named.iter().filter(|url| !masters.contains(url)).cloned();
                let all: Vec<String> = masters.iter().cloned().chain(others).collect();
                match client.learn(&all) {
                    Ok(()) => drop(keep(masters.clone()).await),
                    Err(error) => tracing::warn!(%error, "the masters' own addresses are of no use"),
                }
                known = masters;
            }
        }
        sleep(LEARN_EVERY).await;
    }
}

/// Where a host passes programs that know one address on to whichever master answers.
pub(crate) const LOCAL: &str = "127.0.0.1:6443";

/// Passes whoever connects on to the masters that a client knows, for ever.
pub(crate) async fn pass_on(address: SocketAddr, client: Client) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        // Perhaps a master of the same host does it.
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            return tracing::info!(%address, "the masters are not passed on here: another process listens on it");
        }
        Err(error) => return tracing::warn!(%address, %error, "the masters are not passed on here"),
    };
    rpc::relay(listener, || client.masters().iter().map(|url| host_and_port(url).to_owned()).collect()).await;
}

fn host_and_port(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
}

fn contacts(status: &ClusterStatus) -> Vec<String> {
    let contacts: Vec<String> = status.members.iter().map(|member| member.contact.clone()).collect();
    let mut urls = urls(&contacts.into_iter().filter(|contact| !contact.is_empty()).collect::<Vec<_>>());
    urls.sort();
    urls
}

/// Ends when this master was removed while it was away. The others do not call it any more, so it asks them.
pub(crate) async fn removed(registry: &Registry, masters: &Masters) {
    loop {
        sleep(DOUBT_EVERY).await;
        let own = registry.group().borrow().clone();
        if own.leader.is_some() || !own.members.contains(own.member) {
            continue;
        }
        for client in masters.clients() {
            let Ok(answer) = timeout(ANSWER_TIMEOUT, client.cluster_status()).await else { continue };
            if answer.map_or_else(|error| is_refused(&own, &error), |theirs| is_out(&own, &theirs)) {
                return;
            }
        }
    }
}

/// Whether the masters of the same cluster have agreed that this one is none of them.
fn is_refused(own: &GroupStatus, error: &api::Error) -> bool {
    rpc::status::revoked_by(error).is_some_and(|cluster| cluster == own.cluster.to_string())
}

/// Whether another master knows more of the same cluster, and this one not among its members.
fn is_out(own: &GroupStatus, theirs: &ClusterStatus) -> bool {
    theirs.cluster_id == own.cluster.to_string()
        && theirs.applied > own.applied
        && !theirs.members.iter().any(|member| member.id == own.member.0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use rpc::services::Member;

    use super::*;

    fn theirs(applied: u64, members: &[u64]) -> ClusterStatus {
        let members = members.iter().map(|id| Member { id: *id, ..Member::default() }).collect();
        let cluster_id = GroupStatus::default().cluster.to_string();
        ClusterStatus { cluster_id, applied, members, ..ClusterStatus::default() }
    }

    #[test]
    fn only_who_knows_more_can_tell_a_master_that_it_was_removed() {
        let own = GroupStatus {
            member: registry::member_id("0000000000000003").unwrap(),
            applied: 7,
            ..GroupStatus::default()
        };
        assert!(is_out(&own, &theirs(8, &[1, 2])));
        assert!(!is_out(&own, &theirs(8, &[1, 2, 3])));
        assert!(!is_out(&own, &theirs(7, &[1, 2])), "it has not heard yet that this one joined");
        assert!(!is_out(&own, &ClusterStatus { cluster_id: "another".to_owned(), ..theirs(8, &[1, 2]) }));
    }

    #[test]
    fn masters_are_named_by_their_contacts() {
        let mut status = theirs(1, &[1, 2, 3]);
        for (member, contact) in status.members.iter_mut().zip(["b:1", "", "a:1"]) {
            contact.clone_into(&mut member.contact);
        }
        assert_eq!(contacts(&status), ["https://a:1", "https://b:1"]);
    }
}
