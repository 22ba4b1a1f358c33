//! Who sends a request: a process or person that a certificate or token names, or nobody that is known.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use api::{
    users::{
        ANONYMOUS, AUTHENTICATED, MASTERS, NODE_PREFIX, NODES, UNAUTHENTICATED, service_account, service_account_groups,
    },
    x509::PodIdentity,
};
use rpc::identity::Subject;

/// Who sent a request.
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
    /// Somebody who has what rights roles give: a ServiceAccount, a person or another program.
    User(Arc<User>),
    /// Somebody who shows neither a certificate of the cluster nor a token.
    Nobody,
}

/// Who a token or certificate says that its owner is, in Kubernetes' words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name of which bindings speak.
    pub name: String,
    /// Tells apart who had the same name at different times; may be empty.
    pub uid: String,
    /// The groups that the user is in, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// What else was said of the user, such as of which Pod it is; tells something to who is asked about writes.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The user as whom a Pod is known by its certificate: its ServiceAccount, in the words of a token that is bound to the Pod.
fn certified(pod: PodIdentity, fingerprint: &str) -> User {
    let said = [
        ("credential-id", format!("X509SHA256={fingerprint}")),
        ("node-name", pod.node_name),
        ("node-uid", pod.node_uid),
        ("pod-name", pod.pod_name),
        ("pod-uid", pod.pod_uid),
    ];
    let extra = said.into_iter().map(|(what, is)| (format!("authentication.kubernetes.io/{what}"), vec![is])).collect();
    let groups = service_account_groups(&pod.namespace).into_iter().chain([AUTHENTICATED.to_owned()]).collect();
    let name = service_account(&pod.namespace, &pod.service_account_name);
    User { name, uid: pod.service_account_uid, groups, extra }
}

impl Caller {
    /// The caller that a certificate or token names, shown by a connection from an address.
    #[must_use]
    pub fn new(subject: Subject, from: IpAddr) -> Self {
        match subject {
            Subject::Master { member } => Self::Master { member },
            Subject::Node { name, uid } => Self::Node { name, uid, from: Some(from.to_canonical()) },
            Subject::Admin { name } => Self::Admin { name },
            Subject::User { name, uid, mut groups } => {
                groups.push(AUTHENTICATED.to_owned());
                Self::User(Arc::new(User { name, uid, groups, extra: BTreeMap::new() }))
            }
            Subject::Pod { pod, fingerprint } => Self::User(Arc::new(certified(*pod, &fingerprint))),
        }
    }

    /// The caller as a user, with all that is known of it.
    #[must_use]
    pub fn described(&self) -> User {
        match self {
            Self::User(user) => User::clone(user),
            Self::Cluster
            | Self::Master { .. }
            | Self::Newcomer { .. }
            | Self::Admin { .. }
            | Self::Node { .. }
            | Self::Nobody => User {
                name: self.user(),
                uid: String::new(),
                groups: self.groups().into_iter().map(str::to_owned).collect(),
                extra: BTreeMap::new(),
            },
        }
    }

    /// The user of whom `kubectl auth whoami` and refusals speak.
    #[must_use]
    pub fn user(&self) -> String {
        match self {
            Self::Cluster => "system:kapelle".to_owned(),
            Self::Master { member } | Self::Newcomer { member } => format!("system:kapelle:master:{member:016x}"),
            Self::Admin { name } => name.clone(),
            Self::Node { name, .. } => format!("{NODE_PREFIX}{name}"),
            Self::User(user) => user.name.clone(),
            Self::Nobody => ANONYMOUS.to_owned(),
        }
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        match self {
            Self::Cluster | Self::Master { .. } | Self::Admin { .. } => vec![MASTERS, AUTHENTICATED],
            Self::Node { .. } => vec![NODES, AUTHENTICATED],
            Self::Newcomer { .. } => vec![AUTHENTICATED],
            Self::User(user) => user.groups.iter().map(String::as_str).collect(),
            Self::Nobody => vec![UNAUTHENTICATED],
        }
    }
}
