//! Who asks, and what they may do.
//!
//! The rules follow Kubernetes' built-in ones: `system:masters` may do everything, and a node may do what its Pods need and
//! no more (the node authorizer and the `NodeRestriction` admission plugin), so that a worker that was broken into does not
//! hold the Secrets of its neighbours.

use std::net::IpAddr;

use api::{Error, Kind, Reason, Subresource, Write, core_v1, pod};
use rpc::identity::Subject;
use store::View;

use crate::access::{Access, Asked, Verb};

/// Where nodes have their Leases.
const LEASES: &str = "kube-node-lease";

/// Who sent a request. Doors put it into a request's extensions; without it a request is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// This process: the controllers and the start.
    Cluster,
    /// A master.
    Master {
        /// Its id in the group.
        member: u64,
    },
    /// A master that was let in and has not added itself to the group yet. It may do only that.
    Newcomer {
        /// Its id.
        member: u64,
    },
    /// A user of `system:masters`.
    Admin {
        /// The user's name.
        name: String,
    },
    /// The agent of a node.
    Node {
        /// The node's name.
        name: String,
        /// The uid of its Node object.
        uid: String,
        /// Where it calls from; `None` within one process.
        from: Option<IpAddr>,
    },
    /// Somebody without a certificate of the cluster.
    Nobody,
}

impl Caller {
    /// Whom a certificate names that was shown from an address.
    #[must_use]
    pub fn new(subject: Subject, from: IpAddr) -> Self {
        match subject {
            Subject::Master { member } => Self::Master { member },
            Subject::Node { name, uid } => Self::Node { name, uid, from: Some(from.to_canonical()) },
            Subject::Admin { name } => Self::Admin { name },
        }
    }

    /// The user of whom `kubectl auth whoami` and refusals speak.
    #[must_use]
    pub fn user(&self) -> String {
        match self {
            Self::Cluster => "system:kapelle".to_owned(),
            Self::Master { member } | Self::Newcomer { member } => format!("system:kapelle:master:{member:016x}"),
            Self::Admin { name } => name.clone(),
            Self::Node { name, .. } => format!("system:node:{name}"),
            Self::Nobody => "system:anonymous".to_owned(),
        }
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> &'static [&'static str] {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => &["system:masters", "system:authenticated"],
            Self::Node { .. } => &["system:nodes", "system:authenticated"],
            Self::Newcomer { .. } => &["system:authenticated"],
            Self::Nobody => &["system:unauthenticated"],
        }
    }

    /// Whether nothing is forbidden.
    #[must_use]
    pub fn may_everything(&self) -> bool {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => true,
            Self::Newcomer { .. } | Self::Node { .. } | Self::Nobody => false,
        }
    }

    /// Allows what somebody wants to do, or says why not: the one place where this is decided, whatever language it was
    /// asked in, and before the object, the body or the rest of the state is looked at.
    ///
    /// What a node may do depends on its Pods, so `state` is taken for nodes. The answer never depends on whether an object
    /// exists that the caller may not see.
    pub(crate) fn authorise(&self, access: Access<'_>, state: impl FnOnce() -> View) -> Result<(), Error> {
        match (self, access) {
            (_, Access::Public) => Ok(()),
            (Self::Nobody, _) => Err(unauthorized()),
            // It says where it serves, and is a master from then on.
            (Self::Newcomer { .. }, Access::Admit) => Ok(()),
            (Self::Newcomer { .. }, _) => Err(unauthorized()),
            (_, Access::Impersonate(header)) => {
                let remedy = format!("act as somebody else; send no {header} (kubectl: no --as, no --as-group)");
                Err(self.cannot(&remedy))
            }
            (Self::Master { .. }, Access::Admit) => Ok(()),
            (_, Access::Admit) => Err(forbidden("only a master says where it serves, and only for itself")),
            (Self::Cluster | Self::Master { .. } | Self::Admin { .. }, Access::Renew) => {
                Err(forbidden("only workers renew their certificates here, with the one that they have"))
            }
            (Self::Cluster | Self::Master { .. } | Self::Admin { .. }, _) => Ok(()),
            (Self::Node { name, .. }, access) => self.node(name, access, state),
        }
    }

    /// What a node may do.
    fn node(&self, node: &str, access: Access<'_>, state: impl FnOnce() -> View) -> Result<(), Error> {
        match access {
            Access::Public | Access::Inside | Access::ReadImages | Access::Renew | Access::SeeMasters => Ok(()),
            Access::Heartbeat(of) if of == node => Ok(()),
            Access::Heartbeat(_) => Err(self.cannot("send the heartbeat of another node")),
            Access::WriteImages => Err(self.cannot("write images")),
            Access::Admit => Err(self.cannot("join the group of masters")),
            Access::Administer(what) => Err(self.cannot(what)),
            Access::Impersonate(_) => Err(self.cannot("act as somebody else")),
            Access::Objects(asked) => match asked.verb {
                Verb::Get | Verb::List | Verb::Watch | Verb::Log => self.node_reads(node, asked, state),
                Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
                    self.node_writes(node, asked, state)
                }
            },
        }
    }

    fn node_reads(&self, node: &str, asked: Asked<'_>, state: impl FnOnce() -> View) -> Result<(), Error> {
        let key = asked.key;
        match (key.kind, asked.verb) {
            (Kind::Secret, Verb::Get) => {
                let uses = |pod: &core_v1::Pod| pod::node_name(pod) == Some(node) && uses_secret(pod, &key.name);
                let state = state();
                let mut pods = state.list(Kind::Pod, Some(&key.namespace), None);
                let needed = pods.any(|record| record.object().get().is_some_and(uses));
                if needed { Ok(()) } else { Err(self.forbidden(asked, "no Pod of this node uses it")) }
            }
            (Kind::Secret, _) => Err(self.forbidden(asked, "a node may only get the Secrets that its Pods use")),
            (Kind::ConfigMap, Verb::List | Verb::Watch) => {
                Err(self.forbidden(asked, "a node may only get the ConfigMaps that its Pods use"))
            }
            (Kind::Pod, Verb::List | Verb::Watch) => {
                let own = asked.fields.and_then(|fields| fields.required("spec.nodeName")) == Some(node);
                if own {
                    Ok(())
                } else {
                    Err(self.forbidden(asked, "a node sees its own Pods: select by spec.nodeName"))
                }
            }
            (_, Verb::Log) => Err(self.forbidden(asked, "nodes do not read logs")),
            _ => Ok(()),
        }
    }

    fn node_writes(&self, node: &str, asked: Asked<'_>, state: impl FnOnce() -> View) -> Result<(), Error> {
        let key = asked.key;
        // An object that is to be created may be named later; the write itself is asked about with its name.
        let own = *key.name == *node || (key.name.is_empty() && asked.verb == Verb::Create);
        match (key.kind, asked.verb, asked.part) {
            (Kind::Event, Verb::Create | Verb::Update | Verb::Patch, Subresource::None) => Ok(()),
            (Kind::Node, Verb::Create | Verb::Update | Verb::Patch, Subresource::None | Subresource::Status) => {
                if own {
                    Ok(())
                } else {
                    Err(self.forbidden(asked, "a node may only change itself"))
                }
            }
            (Kind::Lease, Verb::Create | Verb::Update | Verb::Patch, Subresource::None) => {
                let own = own && &*key.namespace == LEASES;
                if own { Ok(()) } else { Err(self.forbidden(asked, "a node may only renew its own Lease")) }
            }
            (Kind::Pod, Verb::Update | Verb::Patch, Subresource::Status)
            | (Kind::Pod, Verb::Delete, Subresource::None) => {
                let state = state();
                let object = state.get(key).map(|record| record.object());
                let bound = object.as_ref().and_then(|object| object.get::<core_v1::Pod>()).and_then(pod::node_name);
                // Another node's Pod is answered like one that is gone, which the agent understands.
                if bound == Some(node) { Ok(()) } else { Err(Error::not_found(key)) }
            }
            _ => Err(self.forbidden(asked, "nodes do not write this")),
        }
    }

    /// Allows what a write holds, whose name [`Self::authorise`] has allowed, or says why not.
    pub(crate) fn admit(&self, write: &Write) -> Result<(), Error> {
        let Self::Node { .. } = self else { return Ok(()) };
        let key = write.key();
        match write {
            Write::Create(_) if key.name.is_empty() && key.kind != Kind::Event => {
                Err(self.forbidden(Asked::of(write, &key), "a node names what it creates"))
            }
            Write::Create(_) | Write::Update(..) | Write::Delete(..) => Ok(()),
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
    let message = "Unauthorized: give a client certificate of this cluster, as the kubeconfig of a master has one";
    Error::new(Reason::Unauthorized, message)
}

/// Whether a Pod reads a Secret: as a volume, as environment, or to pull its images.
fn uses_secret(pod: &core_v1::Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let containers = spec.init_containers.iter().chain(&spec.containers);
    let by_volume = spec.volumes.iter().any(|volume| volume_uses(volume, name));
    let by_pull = spec.image_pull_secrets.iter().any(|reference| reference.name == name);
    by_volume || by_pull || containers.into_iter().any(|container| container_uses(container, name))
}

fn volume_uses(volume: &core_v1::Volume, name: &str) -> bool {
    let Some(source) = &volume.volume_source else { return false };
    let projected = source.projected.iter().flat_map(|projected| &projected.sources);
    let projects = |projection: &core_v1::VolumeProjection| {
        let reference = projection.secret.as_ref().and_then(|secret| secret.local_object_reference.as_ref());
        reference.is_some_and(|reference| reference.name == name)
    };
    source.secret.as_ref().is_some_and(|secret| secret.secret_name == name) || projected.into_iter().any(projects)
}

fn container_uses(container: &core_v1::Container, name: &str) -> bool {
    let names = |reference: &Option<core_v1::LocalObjectReference>| {
        reference.as_ref().is_some_and(|reference| reference.name == name)
    };
    let whole = container.env_from.iter().filter_map(|source| source.secret_ref.as_ref());
    let single = container.env.iter().filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
    whole.map(|source| &source.local_object_reference).any(names)
        || single.map(|selector| &selector.local_object_reference).any(names)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{DeleteOptions, Key, Object, kinds::Resource as _, selector::Fields};
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
        pod.into()
    }

    fn view() -> View {
        let mut state = State::default();
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
        assert_eq!(node.authorise(Access::to(Verb::Get, &secret("needed")), state), Ok(()));
        for name in ["foreign", "early", "unknown"] {
            let error = node.authorise(Access::to(Verb::Get, &secret(name)), state).unwrap_err();
            assert_eq!(error.reason, Reason::Forbidden);
            assert!(error.message.contains("system:node:w1"), "{error}");
        }
        assert!(node.authorise(Access::to(Verb::List, &secret("")), unseen).is_err());
        let pods = Key::namespaced(Kind::Pod, "default", "");
        for (fields, allowed) in [("spec.nodeName=w1", true), ("spec.nodeName=w2", false), ("", false)] {
            let fields = Fields::parse(Kind::Pod, fields).unwrap();
            assert_eq!(node.authorise(Access::to_many(Verb::Watch, &pods, &fields), unseen).is_ok(), allowed);
        }
        let refused = Caller::Nobody.authorise(Access::to(Verb::List, &pods), unseen).unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthorized);
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
            (Write::Create(pod_on("made", "w1", "")), false),
            (Write::Update(pod_on("mine", "w1", ""), Subresource::Binding), false),
        ] {
            let key = write.key();
            let access = Access::Objects(Asked::of(&write, &key));
            assert_eq!(node.authorise(access, || view.clone()).is_ok(), allowed, "{write:?}");
            assert!(Caller::Cluster.authorise(access, unseen).is_ok());
            assert!(Caller::Nobody.authorise(access, unseen).is_err());
        }
    }
}
