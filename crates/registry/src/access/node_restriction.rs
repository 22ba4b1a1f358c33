//! What a node may say within the writes that it is allowed: Kubernetes' `NodeRestriction`, and more that Kubernetes does not
//! check.
//!
//! A worker that was broken into must not draw the traffic of others to itself: its Pods have addresses of its own range,
//! and the node is where masters have seen it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use api::{
    Cidr, Error, Key, Kind, Object, Reason, Subresource, Write,
    certificates_v1::{CertificateSigningRequest, PodCertificateRequest},
    core_v1::{Event, Node, NodeAddress, Pod, PodStatus},
    kinds::{
        Resource as _,
        certificates::certificate_signing_request::{KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER},
    },
    users::NODE_PREFIX,
    x509,
};
use store::View;

use super::Caller;
use crate::nodes::{holder, is_bound, source_host};

/// Says that a Pod only shows what its node runs by itself.
const MIRROR_POD_ANNOTATION: &str = "kubernetes.io/config.mirror";

impl Caller {
    /// Allows the content of a write, or says why not. Whether the caller may write this object was decided before.
    ///
    /// # Errors
    /// As [`Writer::admit`].
    pub(crate) fn admit(&self, view: &View, write: &Write) -> Result<(), Error> {
        let Self::Node { name, from, .. } = self else { return Ok(()) };
        Writer { name, from: *from }.admit(view, write)
    }
}

/// A node that writes.
#[derive(Clone, Copy, Debug)]
struct Writer<'a> {
    /// Its name.
    name: &'a str,
    /// Where it calls from, if it does so over a network.
    from: Option<IpAddr>,
}

impl Writer<'_> {
    /// Allows what the node says in a write, or says why not.
    ///
    /// # Errors
    /// If it speaks for others, or of addresses that are not its own.
    fn admit(self, view: &View, write: &Write) -> Result<(), Error> {
        match write {
            Write::Update(Object::Node(node), Subresource::Status) => self.admit_node(view, node),
            Write::Update(Object::Pod(_), Subresource::Status) | Write::Delete(Key { kind: Kind::Pod, .. }, _) => {
                self.admit_pod(view, write)
            }
            Write::Create(Object::PodCertificateRequest(request)) => self.admit_request(view, request),
            Write::Create(Object::CertificateSigningRequest(request)) => self.admit_certificate(request),
            Write::Create(Object::Event(event)) | Write::Update(Object::Event(event), _) => self.admit_event(event),
            Write::Create(_) | Write::Update(..) | Write::Delete(..) => Ok(()),
        }
    }

    /// Its addresses are those that it had, the one that it calls from, and its name.
    fn admit_node(self, view: &View, node: &Node) -> Result<(), Error> {
        let key = Key::cluster(Kind::Node, self.name);
        let known = view.get(&key).map(|record| record.object());
        let known = known.as_deref().and_then(|object| object.get::<Node>()).map_or(&[][..], addresses);
        for said in addresses(node).iter().filter(|said| !known.contains(said)) {
            let is_its_own = match said.r#type.as_str() {
                "InternalIP" => self.from.is_some_and(|from| said.address == from.to_string()),
                "Hostname" => said.address == self.name,
                _ => false,
            };
            let NodeAddress { r#type, address } = said;
            if !is_its_own {
                let why = format!("status.addresses: {type} {address} is not where this node calls from");
                return Err(forbidden(&key, &why));
            }
            if let Some(other) = address.parse().ok().and_then(|address| holder(view, address, self.name)) {
                return Err(forbidden(&key, &format!("status.addresses: {address} is that of the node {other:?}")));
            }
        }
        Ok(())
    }

    /// The Pod must still be the node's own: another one may have its name since that was checked.
    fn admit_pod(self, view: &View, write: &Write) -> Result<(), Error> {
        let key = write.key();
        match write {
            _ if !is_bound(view, &key, self.name) => Err(Error::not_found(&key)),
            Write::Update(Object::Pod(pod), _) => self.admit_status(view, &key, pod),
            Write::Create(_) | Write::Update(..) | Write::Delete(..) => Ok(()),
        }
    }

    /// The addresses of its Pods must lie within its range, and their host must be the node itself. What the status says
    /// already may stay.
    fn admit_status(self, view: &View, key: &Key, pod: &Pod) -> Result<(), Error> {
        let known = view.get(key).map(|record| record.object());
        let known = known.as_deref().and_then(|object| object.get::<Pod>()).and_then(|pod| pod.status.clone());
        let (known, said) = (known.unwrap_or_default(), pod.status.clone().unwrap_or_default());
        let node = view.get(&Key::cluster(Kind::Node, self.name)).map(|record| record.object());
        let node = node.as_deref().and_then(|object| object.get::<Node>());
        let range: Option<Cidr> = node.and_then(|node| node.spec.as_ref()?.pod_cidr.parse().ok());
        let inside = |address: &str| {
            address.parse::<Ipv4Addr>().is_ok_and(|address| range.is_some_and(|range| range.contains(address)))
        };
        let hosts = node.map_or(&[][..], addresses);
        // A node that has moved may say so of its Pods before it has said so of itself.
        let from = self.from.map(|from| from.to_string());
        let is_host =
            |address: &str| from.as_deref() == Some(address) || hosts.iter().any(|known| known.address == address);
        let ours = pod_addresses(&known);
        for (field, address) in pod_addresses(&said).into_iter().filter(|said| !ours.contains(said)) {
            let fits = if field.starts_with("status.host") { is_host(&address) } else { inside(&address) };
            if !fits {
                let whose =
                    if field.starts_with("status.host") { "this node's address" } else { "within this node's range" };
                return Err(forbidden(key, &format!("{field}: {address} is not {whose}")));
            }
        }
        Ok(())
    }

    /// A node asks for certificates of its own Pods, as what they are, from signers that they name.
    fn admit_request(self, view: &View, request: &PodCertificateRequest) -> Result<(), Error> {
        let (key, spec) = (request.key(), request.spec.clone().unwrap_or_default());
        let no = |why: &str| Err(forbidden(&key, why));
        if spec.node_name != self.name {
            return no(&format!(
                "PodCertificateRequest.Spec.NodeName={:?}, which is not the requesting node {:?}",
                spec.node_name, self.name
            ));
        }
        same(view, &key, &Key::cluster(Kind::Node, self.name), &spec.node_uid)?;
        let beside = |kind, name: &str| Key::namespaced(kind, key.namespace.clone(), name);
        let pod = same(view, &key, &beside(Kind::Pod, &spec.pod_name), &spec.pod_uid)?;
        let named = format!("pod {:?}", format!("{}/{}", key.namespace, spec.pod_name));
        let Some(pod) = pod.get::<Pod>() else { return no(&format!("{named} is no pod")) };
        let runs = pod.spec.clone().unwrap_or_default();
        if runs.node_name != self.name {
            return no(&format!("{named} is not running on node {:?} named in the PodCertificateRequest", self.name));
        }
        if pod.metadata().is_some_and(|meta| meta.annotations.contains_key(MIRROR_POD_ANNOTATION)) {
            return no(&format!("{named} is a mirror pod"));
        }
        if runs.service_account_name != spec.service_account_name {
            return no(&format!(
                "PodCertificateRequest for {named} contains serviceAccountName ({:?}) that differs from running pod ({:?})",
                spec.service_account_name, runs.service_account_name
            ));
        }
        let account = beside(Kind::ServiceAccount, &spec.service_account_name);
        same(view, &key, &account, &spec.service_account_uid)?;
        let volumes = runs.volumes.iter().filter_map(|volume| volume.volume_source.as_ref()?.projected.as_ref());
        let mut wanted =
            volumes.flat_map(|projected| &projected.sources).filter_map(|source| source.pod_certificate.as_ref());
        if !wanted.any(|wanted| wanted.signer_name == spec.signer_name) {
            let signer = &spec.signer_name;
            return no(&format!("{named} does not mount a podCertificate projected volume for signer {signer:?}"));
        }
        Ok(())
    }

    /// A node asks for certificates of its own alone: nobody who approves what nodes ask for needs to look whose it is.
    fn admit_certificate(self, request: &CertificateSigningRequest) -> Result<(), Error> {
        let (key, spec) = (request.key(), request.spec.clone().unwrap_or_default());
        if ![KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER].contains(&spec.signer_name.as_str()) {
            let why = format!("a node asks only the signers {KUBELET_CLIENT_SIGNER} and {KUBELET_SERVING_SIGNER}");
            return Err(forbidden(&key, &why));
        }
        let asked = x509::Request::read(&spec.request);
        let asked = asked.map_err(|why| forbidden(&key, &format!("unable to parse csr: {why}")))?;
        let own = format!("{NODE_PREFIX}{}", self.name);
        if asked.subject.common_name != own {
            return Err(forbidden(&key, &format!("can only create a node CSR with CN={own}")));
        }
        Ok(())
    }

    /// An Event of a node must name that node as its source.
    fn admit_event(self, event: &Event) -> Result<(), Error> {
        if source_host(event) == self.name {
            return Ok(());
        }
        let key = Object::from(event.clone()).key();
        Err(forbidden(&key, &format!("source.host: a node tells events as itself, {:?}", self.name)))
    }
}

fn addresses(node: &Node) -> &[NodeAddress] {
    node.status.as_ref().map_or(&[], |status| &status.addresses)
}

/// Every address in the status of a Pod, with the field in which it stands.
fn pod_addresses(status: &PodStatus) -> Vec<(&'static str, String)> {
    let one = [("status.podIP", &status.pod_ip), ("status.hostIP", &status.host_ip)];
    let pods = status.pod_ips.iter().map(|known| ("status.podIPs", &known.ip));
    let hosts = status.host_ips.iter().map(|known| ("status.hostIPs", &known.ip));
    let all = one.into_iter().chain(pods).chain(hosts).filter(|(_, address)| !address.is_empty());
    all.map(|(field, address)| (field, address.clone())).collect()
}

/// An object that a request speaks of, if it is the one that is meant. That this master does not know it, or knows another one
/// under its name, may mean that it has not heard of it yet: the same request may succeed later.
fn same(view: &View, request: &Key, of: &Key, uid: &str) -> Result<Arc<Object>, Error> {
    let found = view.get(of).map(|record| record.object());
    match found {
        Some(object) if !uid.is_empty() && object.metadata().is_some_and(|meta| meta.uid == uid) => Ok(object),
        Some(_) => Err(Error::conflict(
            request,
            format!(
                "PodCertificateRequest names {} {:?} with uid {uid:?}, which is not that of the one that is there",
                of.kind, of.name
            ),
        )),
        None => Err(Error::conflict(
            request,
            format!("there is no {} {:?} as the PodCertificateRequest names it", of.kind, of.name),
        )),
    }
}

fn forbidden(key: &Key, why: &str) -> Error {
    let message = format!("{} \"{}\" is forbidden: {why}", key.kind.resource_name(), key.name);
    Error::new(Reason::Forbidden, message).about(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{EventSource, HostIp, NodeSpec, NodeStatus, PodIp, PodSpec};
    use store::{Expect, Op, State, Txn};

    use super::*;

    const W1: Writer<'_> = Writer { name: "w1", from: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))) };

    fn node(name: &str, range: &str, addresses: &[(&str, &str)]) -> Node {
        let address =
            |(kind, address): &(&str, &str)| NodeAddress { r#type: (*kind).to_owned(), address: (*address).to_owned() };
        let addresses = addresses.iter().map(address).collect();
        let mut node = Node {
            spec: Some(NodeSpec { pod_cidr: range.to_owned(), ..NodeSpec::default() }),
            status: Some(NodeStatus { addresses, ..NodeStatus::default() }),
            ..Node::default()
        };
        name.clone_into(&mut node.metadata_mut().name);
        node
    }

    fn pod(status: PodStatus) -> Pod {
        let spec = PodSpec { node_name: "w1".to_owned(), ..PodSpec::default() };
        let mut pod = Pod { status: Some(status), spec: Some(spec), ..Pod::default() };
        (pod.metadata_mut().name, pod.metadata_mut().namespace) = ("p".to_owned(), "default".to_owned());
        pod
    }

    fn view(stored: PodStatus) -> View {
        let mut state = State::default();
        let named = node("w1", "10.244.3.0/24", &[("InternalIP", "10.0.0.7"), ("Hostname", "w1")]);
        let other = node("w2", "10.244.4.0/24", &[("InternalIP", "10.0.0.2")]);
        for object in [named.into(), other.into(), Object::from(pod(stored))] {
            let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Absent };
            state.apply(&Txn { ops: vec![op] }).unwrap();
        }
        state.view()
    }

    fn said(writer: Writer<'_>, view: &View, object: impl Into<Object>) -> Result<(), String> {
        let refused = writer.admit(view, &Write::Update(object.into(), Subresource::Status));
        refused.map_err(|error| error.message)
    }

    #[test]
    fn a_nodes_addresses_are_what_masters_know() {
        let view = view(PodStatus::default());
        let says = |kind: &str, address: &str| said(W1, &view, node("w1", "", &[(kind, address)]));
        assert_eq!(says("InternalIP", "10.0.0.7"), Ok(()), "what it was let in with");
        assert_eq!(says("InternalIP", "10.0.0.1"), Ok(()), "it has moved");
        assert_eq!(says("Hostname", "w1"), Ok(()));
        for (kind, address) in [
            ("InternalIP", "10.0.0.2"),
            ("InternalIP", "127.0.0.1"),
            ("ExternalIP", "10.0.0.1"),
            ("Hostname", "m1"),
            ("InternalDNS", "w1"),
        ] {
            assert!(says(kind, address).unwrap_err().contains("status.addresses"), "{kind} {address}");
        }
        let neighbour = Writer { from: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))), ..W1 };
        let taken = said(neighbour, &view, node("w1", "", &[("InternalIP", "10.0.0.2")])).unwrap_err();
        assert!(taken.contains("that of the node \"w2\""), "{taken}");
    }

    #[test]
    fn the_addresses_of_its_pods_lie_within_its_range() {
        let view = view(PodStatus { pod_ip: "10.244.9.9".to_owned(), ..PodStatus::default() });
        let ips = |ip: &str| vec![PodIp { ip: ip.to_owned() }];
        let hosts = |ip: &str| vec![HostIp { ip: ip.to_owned() }];
        let good = PodStatus {
            pod_ip: "10.244.3.5".to_owned(),
            pod_ips: ips("10.244.3.5"),
            host_ip: "10.0.0.7".to_owned(),
            host_ips: hosts("10.0.0.7"),
            ..PodStatus::default()
        };
        assert_eq!(said(W1, &view, pod(good.clone())), Ok(()));
        assert_eq!(said(W1, &view, pod(PodStatus::default())), Ok(()));
        let old = PodStatus { pod_ip: "10.244.9.9".to_owned(), ..PodStatus::default() };
        assert_eq!(said(W1, &view, pod(old)), Ok(()), "what stands there may stay");
        for bad in ["127.0.0.1", "10.244.4.1", "10.0.0.7", "fd00::1", "nonsense"] {
            for status in
                [PodStatus { pod_ip: bad.to_owned(), ..good.clone() }, PodStatus { pod_ips: ips(bad), ..good.clone() }]
            {
                assert!(said(W1, &view, pod(status)).unwrap_err().contains("within this node's range"), "{bad}");
            }
        }
        for bad in ["127.0.0.1", "10.0.0.2"] {
            for status in [
                PodStatus { host_ip: bad.to_owned(), ..good.clone() },
                PodStatus { host_ips: hosts(bad), ..good.clone() },
            ] {
                assert!(said(W1, &view, pod(status)).unwrap_err().contains("this node's address"), "{bad}");
            }
        }
    }

    #[test]
    fn events_are_told_in_its_own_name() {
        let view = view(PodStatus::default());
        let event = |host: &str| {
            let source = EventSource { component: "kapelle-agent".to_owned(), host: host.to_owned() };
            Write::Create(Event { source: Some(source), ..Event::default() }.into())
        };
        assert!(W1.admit(&view, &event("w1")).is_ok());
        assert!(W1.admit(&view, &event("w2")).unwrap_err().message.contains("source.host"));
        assert!(W1.admit(&view, &event("")).is_err());
    }
}
