//! Why it is not known where a cluster is, or how to prove who asks.

use std::{io, path::PathBuf};

use rpc::identity::IdentityError;

/// Why there is no usable [`Config`](crate::Config).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing says where the cluster is.
    #[error(
        "no cluster is known: {} does not exist; start one with `kapelle dev`, or name a kubeconfig with --kubeconfig or KUBECONFIG",
        .0.display()
    )]
    NoCluster(PathBuf),
    /// A file cannot be read.
    #[error("{field}: cannot read {}", path.display())]
    Unreadable {
        /// What names the file.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is missing, is not what it should be, or is not supported: the text names the field and the remedy.
    #[error("{0}")]
    Malformed(String),
    /// A certificate, key or token cannot be used.
    #[error("{field}")]
    Identity {
        /// Which one.
        field: &'static str,
        /// Why not.
        source: IdentityError,
    },
    /// The same, and in which file.
    #[error("in {}", path.display())]
    Within {
        /// The kubeconfig.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<ConfigError>,
    },
}

impl ConfigError {
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}
