//! Who answers on the cluster's addresses of this node: the packet filter that keeps others away, and what is said of
//! addresses on which the proxy cannot listen.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::{Cidr, event::EventType, kinds::core::service::is_kubernetes};
use proxy::{News, Problem, Proxy, Shield, Way};
use rpc::Client;
use tokio::sync::mpsc;

use crate::driver::{
    clock::now,
    node::health::{Health, Trouble},
    reports::Reports,
};

/// How many problems the condition names; the Events of the Services have them all.
const NAMED_MAX: usize = 5;

/// The packet filter, and for which ranges it was set.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    ranges: Vec<Cidr>,
    shield: Option<Shield>,
}

impl Keeper {
    /// Keeps the ranges of this node to those who listen on their addresses, and tells the proxy who its fellows are.
    pub(crate) fn follow(&mut self, proxy: &Proxy, own: Option<Cidr>, ways: &BTreeMap<Cidr, Way>) {
        let (source, others) = sources(own, ways);
        proxy.set_nodes(source, others);
        proxy.listen_again();
        let ranges: Vec<Cidr> = ways.iter().filter(|(_, way)| **way == Way::Here).map(|(range, _)| *range).collect();
        if self.ranges == ranges {
            return;
        }
        match Shield::new(&ranges) {
            // The new rules stand before the old ones go.
            Ok(shield) => self.shield = Some(shield),
            Err(error) => tracing::warn!(%error, "the addresses of Services and Pods are not kept from other daemons"),
        }
        self.ranges = ranges;
    }
}

/// The addresses from which proxies pass requests on: the first one of each node's range, which no Pod gets. Ranges within
/// 127.0.0.0/8 have no other node behind them.
fn sources(own: Option<Cidr>, ways: &BTreeMap<Cidr, Way>) -> (Option<IpAddr>, HashSet<IpAddr>) {
    let source = |range: &Cidr| Some(IpAddr::V4(range.base())).filter(|base| !base.is_loopback());
    let others = ways.iter().filter(|(_, way)| matches!(way, Way::Via(_)));
    (own.as_ref().and_then(source), others.filter_map(|(range, _)| source(range)).collect())
}

/// What tells users on which addresses the proxy cannot listen: by an Event at the Service or Pod, and a condition of the Node.
pub(crate) struct Listening {
    pub(crate) client: Client,
    pub(crate) reports: Reports,
    pub(crate) health: Arc<Health>,
}

impl Listening {
    /// Passes the proxy's news on, for ever.
    pub(crate) async fn report(self, mut news: mpsc::UnboundedReceiver<News>) {
        let mut problems = Problems::default();
        while let Some(first) = news.recv().await {
            let more = std::iter::from_fn(|| news.try_recv().ok());
            for one in std::iter::once(first).chain(more).filter(|one| !is_excused(one)).collect::<Vec<_>>() {
                if let News::Failed(problem) = &one {
                    tracing::warn!(about = %problem.about, "{}", problem.message);
                    if let Ok(object) = self.client.get(&problem.about).await {
                        self.reports.event(&object, EventType::Warning, "ListenFailed", &problem.message, now());
                    }
                }
                problems.take(one);
            }
            self.health.listening(problems.trouble());
        }
    }
}

/// Whether a process without privileges could not open the port of the Service `kubernetes`. Nobody chose that port, and
/// programs of such a host reach the API by a kubeconfig.
fn is_excused(news: &News) -> bool {
    match news {
        News::Failed(Problem { about, kind, address, .. }) => {
            let is_excused = is_kubernetes(about) && *kind == io::ErrorKind::PermissionDenied;
            if is_excused {
                tracing::info!(%address, "the Service kubernetes is not served here: its port needs a privilege");
            }
            is_excused
        }
        News::Mended(_) => false,
    }
}

/// The addresses on which the proxy cannot listen, and why.
#[derive(Default)]
struct Problems(BTreeMap<SocketAddr, String>);

impl Problems {
    fn take(&mut self, news: News) {
        match news {
            News::Failed(problem) => {
                drop(self.0.insert(problem.address, format!("{}: {}", problem.about, problem.message)))
            }
            News::Mended(address) => drop(self.0.remove(&address)),
        }
    }

    /// What the condition says: some by name, and how many more.
    fn trouble(&self) -> Option<Trouble> {
        let mut named: Vec<&str> = self.0.values().take(NAMED_MAX).map(String::as_str).collect();
        let more = format!("and {} more", self.0.len().saturating_sub(NAMED_MAX));
        if self.0.len() > NAMED_MAX {
            named.push(&more);
        }
        (!named.is_empty()).then(|| Trouble { reason: "ListenFailed", message: named.join("; ") })
    }
}

#[cfg(test)]
mod tests {
    use api::{Key, Kind, kinds::core::service::kubernetes_key};

    use super::*;

    #[test]
    fn a_port_without_privilege_is_excused_of_the_service_kubernetes_alone() {
        let failed = |about: Key, kind: io::ErrorKind| {
            let address = SocketAddr::from(([127, 128, 0, 1], 443));
            is_excused(&News::Failed(Problem { about, address, kind, message: String::new() }))
        };
        let web = Key::namespaced(Kind::Service, "default", "web");
        let elsewhere = Key::namespaced(Kind::Service, "shop", "kubernetes");
        assert!(failed(kubernetes_key(), io::ErrorKind::PermissionDenied));
        assert!(!failed(kubernetes_key(), io::ErrorKind::AddrInUse));
        assert!(!failed(web, io::ErrorKind::PermissionDenied) && !failed(elsewhere, io::ErrorKind::PermissionDenied));
    }

    #[test]
    fn the_condition_names_some_problems_and_counts_the_rest() {
        let address = |port: u16| SocketAddr::from(([10, 0, 0, 1], port));
        let failed = |port: u16| {
            let (about, message) = (Key::namespaced(Kind::Service, "default", "web"), format!("problem {port}"));
            News::Failed(Problem { about, address: address(port), kind: io::ErrorKind::AddrInUse, message })
        };
        let mut problems = Problems::default();
        assert_eq!(problems.trouble(), None);
        (1..=7).for_each(|port| problems.take(failed(port)));
        let some = problems.trouble().map(|trouble| trouble.message).unwrap_or_default();
        assert!(some.ends_with("problem 4; Service default/web: problem 5; and 2 more"), "{some}");
        (1..=6).for_each(|port| problems.take(News::Mended(address(port))));
        let last = problems.trouble().map(|trouble| trouble.message).unwrap_or_default();
        assert!(last.ends_with("problem 7") && !last.contains(';'), "{last}");
    }

    #[test]
    fn requests_are_passed_on_from_addresses_that_no_pod_has() {
        let range = |text: &str| text.parse::<Cidr>().expect("a range");
        let via = Way::Via([192, 168, 0, 2].into());
        let ways = BTreeMap::from([
            (range("10.43.0.0/16"), Way::Here),
            (range("10.42.0.0/24"), Way::Here),
            (range("10.42.1.0/24"), via),
        ]);
        let (own, others) = sources(Some(range("10.42.0.0/24")), &ways);
        assert_eq!((own, others), (Some([10, 42, 0, 0].into()), [[10, 42, 1, 0].into()].into()));
        assert_eq!(sources(Some(range("127.64.0.0/18")), &BTreeMap::new()), (None, HashSet::new()));
    }
}
