//! What the proxy routes by: the cluster's Services and EndpointSlices, without what this node does not believe.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use api::{Key, Object, core_v1::Service, discovery_v1::EndpointSlice, event::EventType, kinds::Resource as _};
use proxy::{Proxy, Table};
use rpc::Mirror;
use tokio::sync::watch;

use super::surroundings::Surroundings;
use crate::driver::{clock::now, memory::Remembered, reports::Reports};

/// What keeps the proxy's table equal to what masters tell.
pub(crate) struct Tables {
    /// The node's name.
    pub(crate) node: String,
    pub(crate) proxy: Proxy,
    pub(crate) reports: Reports,
    pub(crate) surroundings: watch::Receiver<Surroundings>,
    /// Where this node reaches masters.
    pub(crate) masters: watch::Receiver<BTreeSet<SocketAddr>>,
}

impl Tables {
    /// Follows Services and EndpointSlices for ever.
    pub(crate) async fn follow(mut self, mut services: Remembered, mut slices: Remembered) {
        let (mut known_services, mut known_slices) = (Mirror::default(), Mirror::default());
        let mut doubted = BTreeMap::new();
        loop {
            let is_news = tokio::select! {
                Some(update) = services.next() => known_services.take(update),
                Some(update) = slices.next() => known_slices.take(update),
                Ok(()) = self.surroundings.changed() => true,
                Ok(()) = self.masters.changed() => true,
                else => return,
            };
            if is_news {
                let believed = {
                    let (known, masters) = (self.surroundings.borrow_and_update(), self.masters.borrow_and_update());
                    Believed::of(&known, &masters, &known_slices)
                };
                self.proxy.update(believed.table(&self.node, &known_services));
                tell_doubts(&self.reports, &known_slices, &believed.doubted, &doubted);
                doubted = believed.doubted;
            }
        }
    }
}

/// Tells users which endpoints get nothing, at the slice that names them, when that changes.
fn tell_doubts(reports: &Reports, slices: &Mirror, doubted: &BTreeMap<Key, String>, before: &BTreeMap<Key, String>) {
    for (key, message) in doubted.iter().filter(|(key, message)| before.get(key) != Some(message)) {
        tracing::warn!(slice = %key, "{message}");
        if let Some(slice) = slices.get(key) {
            reports.event(slice, EventType::Warning, "EndpointRefused", message, now());
        }
    }
}

/// What this node believes of the EndpointSlices.
struct Believed<'a> {
    slices: Vec<Cow<'a, EndpointSlice>>,
    /// What users are told of slices of which endpoints are left out.
    doubted: BTreeMap<Key, String>,
}

impl<'a> Believed<'a> {
    fn of(known: &Surroundings, masters: &BTreeSet<SocketAddr>, slices: &'a Mirror) -> Self {
        let mut all = Self { slices: Vec::new(), doubted: BTreeMap::new() };
        for slice in slices.objects().filter_map(Object::get::<EndpointSlice>) {
            let (believed, doubted) = known.believed(masters, slice);
            all.slices.push(believed);
            if let [first, more @ ..] = &doubted[..] {
                let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                let why = "it is this host's own, a Service's, or one that leads to no other host";
                all.doubted.insert(slice.key(), format!("nothing is sent to {first}{more}: {why}"));
            }
        }
        all
    }

    fn table(&self, node: &str, services: &Mirror) -> Table {
        let services = services.objects().filter_map(Object::get::<Service>);
        Table::build(node, services, self.slices.iter().map(|slice| &**slice))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::{ServicePort, ServiceSpec},
        discovery_v1::{Endpoint, EndpointPort},
        well_known::SERVICE_NAME_LABEL,
    };

    use super::*;
    use crate::driver::testing;

    fn mirror(object: impl Into<Object>) -> Mirror {
        let mut mirror = Mirror::default();
        mirror.take(Ok(testing::added([object])));
        mirror.take(Ok(testing::synced()));
        mirror
    }

    #[test]
    fn what_leads_to_no_other_host_stands_in_no_table() {
        let mut service = Service::default();
        service.metadata_mut().name = "web".to_owned();
        let ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
        service.spec = Some(ServiceSpec { cluster_ip: "10.96.0.7".to_owned(), ports, ..ServiceSpec::default() });
        let endpoint = |ip: &str| Endpoint { addresses: vec![ip.to_owned()], ..Endpoint::default() };
        let mut slice = EndpointSlice {
            endpoints: ["127.0.0.1", "10.244.1.7", "192.168.0.2", "10.96.0.7"].map(endpoint).to_vec(),
            ports: vec![EndpointPort { port: Some(8080), ..EndpointPort::default() }],
            ..EndpointSlice::default()
        };
        slice.metadata_mut().name = "web-1".to_owned();
        slice.metadata_mut().labels = BTreeMap::from([(SERVICE_NAME_LABEL.to_owned(), "web".to_owned())]);
        let known = Surroundings::new(
            Some("10.244.0.0/16".parse().unwrap()),
            "10.96.0.0/12".parse().unwrap(),
            [192, 168, 0, 2].into(),
        );
        let slices = mirror(slice);

        let believed = Believed::of(&known, &BTreeSet::new(), &slices);

        let table = believed.table("n1", &mirror(service));
        let route = table.route(([10, 96, 0, 7], 80).into()).unwrap();
        let leads_to: Vec<String> = route.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
        assert_eq!(leads_to, ["10.244.1.7:8080"]);
        let told: Vec<&String> = believed.doubted.values().collect();
        assert!(matches!(told[..], [told] if told.contains("127.0.0.1 and 2 more")), "{told:?}");

        let reports = Reports::new("n1");
        tell_doubts(&reports, &slices, &believed.doubted, &believed.doubted);
        assert!(reports.is_empty(), "that was told before");
        tell_doubts(&reports, &slices, &believed.doubted, &BTreeMap::new());
        assert!(!reports.is_empty());
    }
}
