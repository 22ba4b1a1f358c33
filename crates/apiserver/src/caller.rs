//! Who asks, and what they may do.
//!
//! The rules follow Kubernetes' built-in ones: `system:masters` may do everything, and a node may do what its Pods need and
//! no more (the node authorizer and the `NodeRestriction` admission plugin), so that a worker that was broken into does not
//! hold the Secrets of its neighbours.

use api::{Error, Key, Kind, Reason, Subresource, Write, core_v1, pod};
use rpc::identity::Subject;
use store::View;

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
    /// A user of `system:masters`.
    Admin {
        /// The user's name.
        name: String,
    },
    /// The agent of a node.
    Node {
        /// The node's name.
        name: String,
    },
    /// Somebody without a certificate of the cluster.
    Nobody,
}

impl From<Subject> for Caller {
    fn from(subject: Subject) -> Self {
        match subject {
            Subject::Master { member } => Self::Master { member },
            Subject::Node { name } => Self::Node { name },
            Subject::Admin { name } => Self::Admin { name },
        }
    }
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading<'a> {
    /// One object.
    One(&'a Key),
    /// Many of a kind, now or as they change.
    Many(Kind),
    /// The log of a container.
    Log(&'a Key),
}

impl Caller {
    /// The user of whom `kubectl auth whoami` and refusals speak.
    #[must_use]
    pub fn user(&self) -> String {
        match self {
            Self::Cluster => "system:kapelle".to_owned(),
            Self::Master { member } => format!("system:kapelle:master:{member:016x}"),
            Self::Admin { name } => name.clone(),
            Self::Node { name } => format!("system:node:{name}"),
            Self::Nobody => "system:anonymous".to_owned(),
        }
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> &'static [&'static str] {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => &["system:masters", "system:authenticated"],
            Self::Node { .. } => &["system:nodes", "system:authenticated"],
            Self::Nobody => &["system:unauthenticated"],
        }
    }

    /// Whether nothing is forbidden.
    #[must_use]
    pub fn may_everything(&self) -> bool {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => true,
            Self::Node { .. } | Self::Nobody => false,
        }
    }

    /// Allows a read or says why not.
    pub(crate) fn may_read(&self, view: &View, reading: Reading<'_>) -> Result<(), Error> {
        let node = match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => return Ok(()),
            Self::Nobody => return Err(unauthorized()),
            Self::Node { name } => name,
        };
        match reading {
            Reading::One(key) if key.kind == Kind::Secret => {
                let uses = |pod: &core_v1::Pod| pod::node_name(pod) == Some(node) && uses_secret(pod, &key.name);
                let mut pods = view.list(Kind::Pod, Some(&key.namespace), None);
                let needed = pods.any(|record| record.object().get().is_some_and(uses));
                if needed { Ok(()) } else { Err(self.forbidden("get", key, "no Pod of this node uses it")) }
            }
            Reading::Many(Kind::Secret) => {
                let key = Key::namespaced(Kind::Secret, "", "");
                Err(self.forbidden("list", &key, "a node may only get the Secrets that its Pods use"))
            }
            Reading::Log(key) => Err(self.forbidden("get the log of", key, "nodes do not read logs")),
            Reading::One(_) | Reading::Many(_) => Ok(()),
        }
    }

    /// Allows a write or says why not.
    pub(crate) fn may_write(&self, view: &View, write: &Write) -> Result<(), Error> {
        let node = match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => return Ok(()),
            Self::Nobody => return Err(unauthorized()),
            Self::Node { name } => name,
        };
        let key = write.key();
        let verb = match write {
            Write::Create(_) => "create",
            Write::Update(..) => "update",
            Write::Delete(..) => "delete",
        };
        let refusal = |why: &str| Err(self.forbidden(verb, &key, why));
        match (key.kind, write) {
            (Kind::Event, Write::Create(_) | Write::Update(_, Subresource::None)) => Ok(()),
            (Kind::Node, Write::Create(_) | Write::Update(_, Subresource::None | Subresource::Status)) => {
                if *key.name == **node { Ok(()) } else { refusal("a node may only change itself") }
            }
            (Kind::Lease, Write::Create(_) | Write::Update(_, Subresource::None)) => {
                let own = *key.name == **node && &*key.namespace == LEASES;
                if own { Ok(()) } else { refusal("a node may only renew its own Lease") }
            }
            (Kind::Pod, Write::Update(_, Subresource::Status) | Write::Delete(..)) => {
                // A Pod that is gone is nobody's: the answer is "not found", which the agent understands.
                let known = view.get(&key).map(|record| record.object());
                let bound = known.as_ref().and_then(|object| object.get::<core_v1::Pod>()).map(pod::node_name);
                match bound {
                    Some(Some(bound)) if bound != node => refusal("the Pod runs on another node"),
                    Some(None) => refusal("the Pod is not bound to a node yet"),
                    Some(Some(_)) | None => Ok(()),
                }
            }
            _ => refusal("nodes do not write this"),
        }
    }

    /// Allows what only administrators and masters do.
    ///
    /// # Errors
    /// For everybody else.
    pub(crate) fn must_be_admin(&self, what: &str) -> Result<(), Error> {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => Ok(()),
            Self::Nobody => Err(unauthorized()),
            Self::Node { .. } => Err(Error::new(Reason::Forbidden, format!("User \"{}\" cannot {what}", self.user()))),
        }
    }

    fn forbidden(&self, verb: &str, key: &Key, why: &str) -> Error {
        let info = key.kind.info();
        let name = if key.name.is_empty() { String::new() } else { format!(" \"{}\"", key.name) };
        let message = format!(
            "{}{name} is forbidden: User \"{}\" cannot {verb} resource \"{}\" in API group \"{}\": {why}",
            key.kind.resource_name(),
            self.user(),
            info.plural,
            info.group
        );
        Error::new(Reason::Forbidden, message).about(key)
    }
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
    use api::{DeleteOptions, Object, kinds::Resource as _};
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

    #[test]
    fn a_node_reads_only_the_secrets_that_its_pods_use() {
        let (view, node) = (view(), Caller::Node { name: "w1".to_owned() });
        let secret = |name: &str| Key::namespaced(Kind::Secret, "default", name);
        assert_eq!(node.may_read(&view, Reading::One(&secret("needed"))), Ok(()));
        for name in ["foreign", "early", "unknown"] {
            let error = node.may_read(&view, Reading::One(&secret(name))).unwrap_err();
            assert_eq!(error.reason, Reason::Forbidden);
            assert!(error.message.contains("system:node:w1"), "{error}");
        }
        assert!(node.may_read(&view, Reading::Many(Kind::Secret)).is_err());
        assert!(node.may_read(&view, Reading::Many(Kind::Pod)).is_ok());
        assert_eq!(Caller::Nobody.may_read(&view, Reading::Many(Kind::Pod)).unwrap_err().reason, Reason::Unauthorized);
    }

    #[test]
    fn a_node_writes_only_what_is_its_own() {
        let (view, node) = (view(), Caller::Node { name: "w1".to_owned() });
        let status = |name: &str| Write::Update(pod_on(name, "w1", ""), Subresource::Status);
        let node_object = |name: &str| {
            let mut node = core_v1::Node::default();
            node.metadata_mut().name = name.to_owned();
            Write::Update(node.into(), Subresource::Status)
        };
        let delete = |name: &str| Write::Delete(Key::namespaced(Kind::Pod, "default", name), DeleteOptions::default());
        for (write, allowed) in [
            (status("mine"), true),
            (status("gone"), true),
            (status("other"), false),
            (status("new"), false),
            (delete("mine"), true),
            (delete("other"), false),
            (node_object("w1"), true),
            (node_object("w2"), false),
            (Write::Create(pod_on("made", "w1", "")), false),
            (Write::Update(pod_on("mine", "w1", ""), Subresource::Binding), false),
        ] {
            assert_eq!(node.may_write(&view, &write).is_ok(), allowed, "{write:?}");
            assert!(Caller::Cluster.may_write(&view, &write).is_ok());
            assert!(Caller::Nobody.may_write(&view, &write).is_err());
        }
    }
}
