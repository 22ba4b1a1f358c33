//! What a caller may do.
//!
//! The rules follow Kubernetes' built-in ones: `system:masters` may do everything, and a node may do what its Pods need and
//! no more (the node authorizer), so that a worker that was broken into does not hold the Secrets of its neighbours.

use std::sync::Arc;

use api::{
    Error, Key, Kind, Reason, Subresource,
    certificates_v1::{CertificateSigningRequest, PodCertificateRequest},
};
use store::View;

use super::{Access, Asked, Caller, NodeUses, Verb, rbac::Roles};
use crate::nodes::{is_bound, source_host};

impl Caller {
    /// Allows what somebody wants to do, or says why not. Nothing else decides this, whatever language the request came in, and
    /// it is decided before the object, the body or the rest of the state is looked at.
    ///
    /// What a node may do depends on its Pods, so `state` is taken for nodes. The answer never depends on whether an object
    /// exists that the caller may not see.
    pub(crate) fn authorise(
        &self,
        access: Access<'_>,
        state: impl FnOnce() -> View,
        uses: &NodeUses,
    ) -> Result<(), Error> {
        match (self, access) {
            (_, Access::Public) => Ok(()),
            (Self::Nobody, _) => Err(unauthorized()),
            // With this a newcomer says where it serves, and becomes a master.
            (Self::Newcomer { .. }, Access::Admit) => Ok(()),
            (Self::Newcomer { .. }, _) => Err(unauthorized()),
            (Self::Master { .. }, Access::Admit) => Ok(()),
            (_, Access::Admit) => Err(forbidden("only a master says where it serves, and only for itself")),
            (Self::Cluster | Self::Master { .. } | Self::Admin { .. }, Access::Renew) => {
                Err(forbidden("only workers renew their certificates here, with the one that they have"))
            }
            (Self::Cluster | Self::Master { .. } | Self::Admin { .. }, _) => Ok(()),
            (Self::Node { name, .. }, access) => self.node(name, access, state, uses),
            // The Registry has the roles at hand and does not come here for them.
            (Self::User(user), access) => user.authorise(access, || Arc::new(Roles::new(&state()))),
        }
    }

    /// What a node may do.
    fn node(&self, node: &str, access: Access<'_>, state: impl FnOnce() -> View, uses: &NodeUses) -> Result<(), Error> {
        match access {
            Access::Public | Access::Inside | Access::Renew | Access::SeeMasters => Ok(()),
            Access::Images(verb, _) | Access::SomeImages(verb) if !verb.writes() => Ok(()),
            Access::Images(..) | Access::SomeImages(_) => Err(self.cannot("write images")),
            Access::Heartbeat(of) if of == node => Ok(()),
            Access::Heartbeat(_) => Err(self.cannot("send the heartbeat of another node")),
            Access::Resource(asked) => {
                let (verb, what, group) = (asked.verb, asked.resource, asked.group);
                let why = "nodes do not need it";
                Err(self.cannot(&format!("{verb} resource \"{what}\" in API group \"{group}\": {why}")))
            }
            Access::Admit => Err(self.cannot("join the group of masters")),
            Access::Administer(what) => Err(self.cannot(what)),
            Access::Objects(asked) => match asked.verb {
                Verb::Get | Verb::List | Verb::Watch | Verb::Log => self.node_reads(node, asked, state, uses),
                Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
                    self.node_writes(node, asked, state)
                }
            },
        }
    }

    /// Where traffic goes every node may know, and whom to believe; otherwise a node reads what its own Pods use. What is another node's is answered
    /// as if it did not exist.
    fn node_reads(
        &self,
        node: &str,
        asked: Asked<'_>,
        state: impl FnOnce() -> View,
        uses: &NodeUses,
    ) -> Result<(), Error> {
        let key = asked.key;
        let no = |why: &str| Err(self.forbidden(asked, why));
        match (key.kind, asked.verb) {
            (_, Verb::Log) => no("nodes do not read logs"),
            (..) if asked.subresource.is_connection() => no("nodes open no connections through masters"),
            (Kind::Node | Kind::Service | Kind::EndpointSlice | Kind::ClusterTrustBundle, _) => Ok(()),
            (Kind::Secret | Kind::ConfigMap | Kind::ServiceAccount, Verb::Get) => {
                let needed = uses.of(&state()).has(node, key.kind, &key.namespace, &key.name);
                if needed { Ok(()) } else { no("no Pod of this node uses it") }
            }
            (Kind::Secret | Kind::ConfigMap, _) => no("a node may only get what its Pods use, by name"),
            (Kind::Pod, Verb::List | Verb::Watch) => {
                let own = asked.fields.and_then(|fields| fields.required("spec.nodeName")) == Some(node);
                if own { Ok(()) } else { no("a node sees its own Pods: select by spec.nodeName") }
            }
            (Kind::Pod, _) => own(key, is_bound(&state(), key, node)),
            (Kind::PodCertificateRequest, Verb::List | Verb::Watch) => {
                let own = asked.fields.and_then(|fields| fields.required("spec.nodeName")) == Some(node);
                if own { Ok(()) } else { no("can only list/watch podcertificaterequests with nodeName field selector") }
            }
            (Kind::PodCertificateRequest, Verb::Get) => own(key, asked_by(&state(), key, node)),
            (Kind::CertificateSigningRequest, _) => {
                let selected = asked.fields.and_then(|fields| fields.required("metadata.name")).unwrap_or_default();
                let name = if key.name.is_empty() { selected } else { &*key.name };
                let one = Key::cluster(key.kind, name);
                own(&one, signed_for(&state(), &one, &self.user()))
            }
            (Kind::Event, Verb::Get) => own(key, told_by(&state(), key, node)),
            _ => no("nodes do not need this"),
        }
    }

    /// A node writes its own status, that of its Pods, and Events; and it deletes its Pods when they have ended.
    fn node_writes(&self, node: &str, asked: Asked<'_>, state: impl FnOnce() -> View) -> Result<(), Error> {
        let key = asked.key;
        let no = |why: &str| Err(self.forbidden(asked, why));
        match (key.kind, asked.verb, asked.subresource) {
            (Kind::Event, Verb::Create, Subresource::None) => Ok(()),
            (Kind::Event, Verb::Update | Verb::Patch, Subresource::None) => own(key, told_by(&state(), key, node)),
            (Kind::Node, Verb::Update | Verb::Patch, Subresource::Status) if *key.name == *node => Ok(()),
            (Kind::Node, _, Subresource::Status) => no("a node may only change its own status"),
            (Kind::Node, Verb::Create, _) => no("masters make the Node of a worker when it joins"),
            (Kind::Node, ..) => no("a node may only change its status: labels, taints and ranges are administrators'"),
            // Only for its Pods and itself, which is looked at with what is asked for.
            (Kind::ServiceAccount, Verb::Create, Subresource::Token)
            | (Kind::CertificateSigningRequest, Verb::Create, Subresource::None)
            | (Kind::PodCertificateRequest, Verb::Create, Subresource::None) => Ok(()),
            (Kind::Pod, Verb::Update | Verb::Patch, Subresource::Status)
            | (Kind::Pod, Verb::Delete, Subresource::None)
            | (Kind::Pod, Verb::Create, Subresource::Eviction) => own(key, is_bound(&state(), key, node)),
            _ => no("nodes do not write this"),
        }
    }

    fn forbidden(&self, asked: Asked<'_>, why: &str) -> Error {
        let Asked { verb, key, .. } = asked;
        let info = key.kind.info();
        let name = if key.name.is_empty() { String::new() } else { format!(" \"{}\"", key.name) };
        let message = format!(
            "{}{name} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\": {why}",
            key.kind.resource_name(),
            self.user(),
            verb.word(),
            info.plural,
            info.group
        );
        forbidden(message).about(key)
    }

    fn cannot(&self, what: &str) -> Error {
        forbidden(format!("User \"{}\" cannot {what}", self.user()))
    }
}

fn forbidden(message: impl std::fmt::Display) -> Error {
    Error::new(Reason::Forbidden, message)
}

fn unauthorized() -> Error {
    let message = "Unauthorized: show a client certificate or a token of this cluster, as its kubeconfig has";
    Error::new(Reason::Unauthorized, message)
}

/// Allows a caller what is its own. For what is not it is told that nothing is there, which agents understand.
fn own(key: &Key, is_own: bool) -> Result<(), Error> {
    if is_own { Ok(()) } else { Err(Error::not_found(key)) }
}

fn asked_by(view: &View, key: &Key, node: &str) -> bool {
    let is_own = |request: &PodCertificateRequest| request.spec.as_ref().is_some_and(|spec| spec.node_name == node);
    view.get(key).is_some_and(|record| record.object().get().is_some_and(is_own))
}

fn signed_for(view: &View, key: &Key, user: &str) -> bool {
    let is_own = |request: &CertificateSigningRequest| request.spec.as_ref().is_some_and(|spec| spec.username == user);
    view.get(key).is_some_and(|record| record.object().get().is_some_and(is_own))
}

fn told_by(view: &View, key: &Key, node: &str) -> bool {
    view.get(key).is_some_and(|record| record.object().get().is_some_and(|event| source_host(event) == node))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{DeleteOptions, Object, Write, core_v1, kinds::Resource as _, selector::Fields};
    use store::{Expect, Op, State, Txn};

    use super::*;

    fn pod_on(name: &str, node: &str, secret: &str) -> Object {
        let mut pod = core_v1::Pod::default();
        (pod.metadata_mut().name, pod.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
        let spec = pod.spec.get_or_insert_default();
        node.clone_into(&mut spec.node_name);
        let reference = core_v1::LocalObjectReference { name: secret.to_owned() };
        let source = core_v1::SecretEnvSource { local_object_reference: Some(reference), ..Default::default() };
        let env_from = vec![core_v1::EnvFromSource { secret_ref: Some(source), ..Default::default() }];
        spec.containers.push(core_v1::Container { env_from, ..Default::default() });
        let map = core_v1::ConfigMapVolumeSource { local_object_reference: Some(map(secret)), ..Default::default() };
        let volume_source = Some(core_v1::VolumeSource { config_map: Some(map.into()), ..Default::default() });
        spec.volumes.push(core_v1::Volume { volume_source, ..Default::default() });
        pod.into()
    }

    /// The reference to the ConfigMap that goes with a Secret.
    fn map(secret: &str) -> core_v1::LocalObjectReference {
        core_v1::LocalObjectReference { name: format!("{secret}-map") }
    }

    fn event(name: &str, host: &str) -> Object {
        let source = core_v1::EventSource { component: "kapelle-agent".to_owned(), host: host.to_owned() };
        let mut event = core_v1::Event { source: Some(source), ..Default::default() };
        (event.metadata_mut().name, event.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
        event.into()
    }

    fn view() -> View {
        let mut state = State::default();
        for object in [event("told", "w1"), event("heard", "w2")] {
            let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Absent };
            state.apply(&Txn { ops: vec![op] }).unwrap();
        }
        for (name, node, secret) in [("mine", "w1", "needed"), ("other", "w2", "foreign"), ("new", "", "early")] {
            let object = pod_on(name, node, secret);
            let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Absent };
            state.apply(&Txn { ops: vec![op] }).unwrap();
        }
        state.view()
    }

    /// A state that must not be needed.
    fn unseen() -> View {
        panic!("the state was looked at")
    }

    #[test]
    fn a_node_reads_only_the_secrets_that_its_pods_use() {
        let (view, node) = (view(), Caller::Node { name: "w1".to_owned(), uid: "u1".to_owned(), from: None });
        let state = || view.clone();
        let secret = |name: &str| Key::namespaced(Kind::Secret, "default", name);
        assert_eq!(node.authorise(Access::to(Verb::Get, &secret("needed")), state, &NodeUses::default()), Ok(()));
        for name in ["foreign", "early", "unknown"] {
            let error = node.authorise(Access::to(Verb::Get, &secret(name)), state, &NodeUses::default()).unwrap_err();
            assert_eq!(error.reason, Reason::Forbidden);
            assert!(error.message.contains("system:node:w1"), "{error}");
        }
        let map = |name: &str| Key::namespaced(Kind::ConfigMap, "default", format!("{name}-map"));
        assert_eq!(node.authorise(Access::to(Verb::Get, &map("needed")), state, &NodeUses::default()), Ok(()));
        assert!(node.authorise(Access::to(Verb::Get, &map("foreign")), state, &NodeUses::default()).is_err());
        assert!(
            node.authorise(Access::to(Verb::Get, &secret("needed-map")), state, &NodeUses::default()).is_err(),
            "a Secret is no ConfigMap"
        );
        for many in [Verb::List, Verb::Watch] {
            assert!(node.authorise(Access::to(many, &secret("")), unseen, &NodeUses::default()).is_err());
            assert!(node.authorise(Access::to(many, &map("")), unseen, &NodeUses::default()).is_err());
        }
        let pods = Key::namespaced(Kind::Pod, "default", "");
        for (fields, allowed) in [("spec.nodeName=w1", true), ("spec.nodeName=w2", false), ("", false)] {
            let fields = Fields::parse(Kind::Pod, fields).unwrap();
            assert_eq!(
                node.authorise(Access::to_many(Verb::Watch, &pods, &fields), unseen, &NodeUses::default()).is_ok(),
                allowed
            );
        }
        let refused =
            Caller::Nobody.authorise(Access::to(Verb::List, &pods), unseen, &NodeUses::default()).unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthorized);
    }

    #[test]
    fn a_node_reads_where_traffic_goes_and_what_is_its_own() {
        let (view, node) = (view(), Caller::Node { name: "w1".to_owned(), uid: "u1".to_owned(), from: None });
        let reads = |verb: Verb, kind: Kind, name: &str| {
            let namespace = if kind.info().namespaced { "default" } else { "" };
            node.authorise(
                Access::to(verb, &Key::namespaced(kind, namespace, name)),
                || view.clone(),
                &NodeUses::default(),
            )
        };
        for kind in [Kind::Node, Kind::Service, Kind::EndpointSlice] {
            for verb in [Verb::Get, Verb::List, Verb::Watch] {
                assert_eq!(reads(verb, kind, ""), Ok(()), "{kind}");
            }
        }
        for (kind, own, others) in
            [(Kind::Pod, "mine", ["other", "new", "gone"]), (Kind::Event, "told", ["heard", "a", "b"])]
        {
            assert_eq!(reads(Verb::Get, kind, own), Ok(()));
            for other in others {
                assert_eq!(reads(Verb::Get, kind, other).unwrap_err().reason, Reason::NotFound, "{kind} {other}");
            }
            assert_eq!(reads(Verb::List, kind, "").unwrap_err().reason, Reason::Forbidden);
        }
        for kind in [Kind::Namespace, Kind::Lease, Kind::Deployment, Kind::ReplicaSet] {
            for verb in [Verb::Get, Verb::List, Verb::Watch] {
                assert_eq!(reads(verb, kind, "").unwrap_err().reason, Reason::Forbidden, "{kind}");
            }
        }
    }

    #[test]
    fn a_node_writes_only_what_is_its_own() {
        let (view, node) = (view(), Caller::Node { name: "w1".to_owned(), uid: "u1".to_owned(), from: None });
        let status = |name: &str| Write::Update(pod_on(name, "w1", ""), Subresource::Status);
        let node_object = |name: &str| {
            let mut node = core_v1::Node::default();
            node.metadata_mut().name = name.to_owned();
            Write::Update(node.into(), Subresource::Status)
        };
        let own = |name: &str| {
            let Write::Update(object, _) = node_object(name) else { panic!("an update") };
            object
        };
        let (whole, made) =
            (|name: &str| Write::Update(own(name), Subresource::None), |name: &str| Write::Create(own(name)));
        let lease = |name: &str| {
            let mut lease = api::coordination_v1::Lease::default();
            (lease.metadata_mut().name, lease.metadata_mut().namespace) =
                (name.to_owned(), "kube-node-lease".to_owned());
            Object::from(lease)
        };
        let delete = |name: &str| Write::Delete(Key::namespaced(Kind::Pod, "default", name), DeleteOptions::default());
        for (write, allowed) in [
            (status("mine"), true),
            (status("gone"), false),
            (status("other"), false),
            (status("new"), false),
            (delete("mine"), true),
            (delete("other"), false),
            (node_object("w1"), true),
            (node_object("w2"), false),
            (whole("w1"), false),
            (made("w1"), false),
            (Write::Create(event("new", "w1")), true),
            (Write::Update(event("told", "w1"), Subresource::None), true),
            (Write::Update(event("heard", "w1"), Subresource::None), false),
            (Write::Create(lease("w1")), false),
            (Write::Create(pod_on("made", "w1", "")), false),
            (Write::Update(pod_on("mine", "w1", ""), Subresource::Binding), false),
        ] {
            let key = write.key();
            let access = Access::Objects(Asked::of(&write, &key));
            assert_eq!(node.authorise(access, || view.clone(), &NodeUses::default()).is_ok(), allowed, "{write:?}");
            assert!(Caller::Cluster.authorise(access, unseen, &NodeUses::default()).is_ok());
            assert!(Caller::Nobody.authorise(access, unseen, &NodeUses::default()).is_err());
        }
    }
}
