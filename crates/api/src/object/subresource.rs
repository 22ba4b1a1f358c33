//! The parts of objects that have URLs of their own.

use super::verb::Verb;

/// What of an object is meant: itself, or one of the words that can follow its name in a URL. The table of kinds says which
/// kind has which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// The object itself. A write changes everything but `status`.
    #[default]
    None,
    /// Only `status` (and, for Pods, what the node reports).
    Status,
    /// Only `spec.replicas`.
    Scale,
    /// Only `spec.nodeName` of a Pod that has none: what the scheduler writes.
    Binding,
    /// Not a part that could be written: deletes a Pod.
    Eviction,
    /// Only `spec.finalizers` of a Namespace.
    Finalize,
    /// Not a part that could be written: what a Pod's containers print.
    Log,
    /// Only `metadata.ownerReferences` and `metadata.finalizers`: what the garbage collector writes, who does not know the
    /// rest of every object. It has no URL.
    Owners,
    /// Not a part that could be written: connections to a Pod's ports.
    Portforward,
    /// Not a part that could be written: a program beside a Pod's containers.
    Exec,
    /// Not a part that could be written: what a Pod's containers read and print.
    Attach,
    /// Not a part that could be written: what answers HTTP behind the object.
    Proxy,
    /// Not a part that could be written: a token of a ServiceAccount.
    Token,
    /// Only the conditions of a CertificateSigningRequest: what whoever approves or denies it writes.
    Approval,
}

/// A type of what stands under a subresource's URL, for which there is no row in the table of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// The group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The message in `proto/`; empty where nothing of that type is sent or answered: parameters of a connection.
    pub message: &'static str,
}

const SCALE: TypeName =
    TypeName { group: "autoscaling", version: "v1", kind: "Scale", message: "kapelle.autoscaling.v1.Scale" };
const BINDING: TypeName = TypeName { group: "", version: "v1", kind: "Binding", message: "kapelle.core.v1.Binding" };
const EVICTION: TypeName =
    TypeName { group: "policy", version: "v1", kind: "Eviction", message: "kapelle.policy.v1.Eviction" };
const TOKEN: TypeName = TypeName {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenRequest",
    message: "kapelle.authentication.v1.TokenRequest",
};

/// The parameters of a connection.
const fn connection(kind: &'static str) -> TypeName {
    TypeName { group: "", version: "v1", kind, message: "" }
}

impl Subresource {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Status,
        Self::Scale,
        Self::Binding,
        Self::Eviction,
        Self::Finalize,
        Self::Log,
        Self::Owners,
        Self::Portforward,
        Self::Exec,
        Self::Attach,
        Self::Proxy,
        Self::Token,
        Self::Approval,
    ];

    /// The word in URLs and requests; empty for the object itself.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Finalize => "finalize",
            Self::Log => "log",
            Self::Owners => "owners",
            Self::Portforward => "portforward",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::Proxy => "proxy",
            Self::Token => "token",
            Self::Approval => "approval",
        }
    }

    /// What can be done under its URL, by word, as discovery lists it.
    #[must_use]
    pub fn verbs(self) -> &'static [Verb] {
        match self {
            Self::None | Self::Owners => &[],
            Self::Status | Self::Scale | Self::Approval => &[Verb::Get, Verb::Patch, Verb::Update],
            Self::Binding | Self::Eviction | Self::Token => &[Verb::Create],
            Self::Finalize => &[Verb::Update],
            Self::Log => &[Verb::Get],
            Self::Portforward | Self::Exec | Self::Attach => &[Verb::Create, Verb::Get],
            Self::Proxy => &[Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update],
        }
    }

    /// What discovery says of its URL on a kind: the type of what is sent and answered, or of the parameters of a connection;
    /// `None` if it is the object itself.
    #[must_use]
    pub fn type_name(self, kind: &str) -> Option<TypeName> {
        match self {
            Self::None | Self::Status | Self::Finalize | Self::Log | Self::Owners | Self::Approval => None,
            Self::Scale => Some(SCALE),
            Self::Binding => Some(BINDING),
            Self::Eviction => Some(EVICTION),
            Self::Token => Some(TOKEN),
            Self::Portforward => Some(connection("PodPortForwardOptions")),
            Self::Exec => Some(connection("PodExecOptions")),
            Self::Attach => Some(connection("PodAttachOptions")),
            Self::Proxy => Some(connection(match kind {
                "Service" => "ServiceProxyOptions",
                "Node" => "NodeProxyOptions",
                _ => "PodProxyOptions",
            })),
        }
    }

    /// Whether bytes of a protocol of its own flow under its URL, which OpenAPI has no words for.
    #[must_use]
    pub fn is_connection(self) -> bool {
        match self {
            Self::Portforward | Self::Exec | Self::Attach | Self::Proxy => true,
            Self::None
            | Self::Status
            | Self::Scale
            | Self::Binding
            | Self::Eviction
            | Self::Finalize
            | Self::Log
            | Self::Owners
            | Self::Token
            | Self::Approval => false,
        }
    }

    /// Whether an update can change it.
    #[must_use]
    pub fn is_written(self) -> bool {
        match self {
            Self::None
            | Self::Status
            | Self::Scale
            | Self::Binding
            | Self::Finalize
            | Self::Owners
            | Self::Approval => true,
            Self::Eviction | Self::Log | Self::Portforward | Self::Exec | Self::Attach | Self::Proxy | Self::Token => {
                false
            }
        }
    }

    /// Finds one by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }
}
