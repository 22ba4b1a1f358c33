//! Nodes that join.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use api::{
    Error, Key, Kind, Object,
    core_v1::{Node, NodeAddress, NodeSpec, NodeStatus},
    kinds::Resource as _,
    well_known::HOSTNAME_LABEL,
};
use store::{Expect, Record, Txn, View};

use super::{Decider, Decision, Fate, Rules, Stamp, put};

/// Decides what becomes of the Node of a worker that joins: it comes into being, or begins anew.
///
/// # Errors
/// If there can be no Node of that name, or it is being deleted.
pub fn join(view: &View, name: &str, address: Ipv4Addr, stamp: &Stamp, rules: &Rules) -> Result<Decision, Error> {
    let decider = Decider { view, sent: Kind::Node.into(), stamp, rules };
    match view.get(&Key::cluster(Kind::Node, name)) {
        None => decider.create(&node(name, address).into()),
        Some(record) => decider.begin_anew(record, address),
    }
}

impl Decider<'_> {
    /// What administrators and controllers have said of the Node stays: its labels, taints and addresses for Pods. What the
    /// node itself has said goes, and with it its uid. This is one change, not a deletion and a creation: between those the
    /// Pods that are bound to the node would be removed as lost.
    fn begin_anew(&self, record: &Record, address: Ipv4Addr) -> Result<Decision, Error> {
        let key = &record.key;
        let object = record.object();
        let mut anew = object.get::<Node>().cloned().unwrap_or_default();
        let fresh = node(&key.name, address);
        let metadata = anew.metadata_mut();
        if metadata.deletion_timestamp.is_some() {
            return Err(Error::conflict(key, "the node is being deleted; try again when it is gone"));
        }
        metadata.uid.clone_from(&self.stamp.uid);
        metadata.creation_timestamp = Some(self.stamp.now.into());
        metadata.labels.extend(fresh.metadata.unwrap_or_default().labels);
        anew.status = fresh.status;
        let mut object = Object::from(anew);
        let ops = vec![put(key, &mut object, Expect::Revision(record.revision))?];
        Ok(Decision { txn: Txn { ops }, object: Arc::new(object), fate: Fate::Changed, warnings: Vec::new() })
    }
}

/// A node of which only its name and address are known.
fn node(name: &str, address: Ipv4Addr) -> Node {
    let named = |kind: &str, address: String| NodeAddress { r#type: kind.to_owned(), address };
    let addresses = vec![named("InternalIP", address.to_string()), named("Hostname", name.to_owned())];
    let status = NodeStatus { addresses, ..NodeStatus::default() };
    let mut node = Node { spec: Some(NodeSpec::default()), status: Some(status), ..Node::default() };
    let metadata = node.metadata_mut();
    name.clone_into(&mut metadata.name);
    metadata.labels = BTreeMap::from([
        (HOSTNAME_LABEL.to_owned(), name.to_owned()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), "wasm".to_owned()),
    ]);
    node
}
