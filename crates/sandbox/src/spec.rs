//! What a caller says about one container: the image, and everything that is granted to it.

use std::fmt;
use std::sync::Arc;

use crate::grants::{HttpOptions, Limits, LogSink, Mount, Network, Stdin};
use crate::guest::Allowed;
use crate::image::Image;

/// Everything that one container needs to run.
#[derive(Clone)]
pub struct Spec {
    /// What to run.
    pub image: Arc<Image>,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment, in order; nothing is inherited from the host.
    pub env: Vec<(String, String)>,
    /// Directories of the host that the guest may open.
    pub mounts: Vec<Mount>,
    /// What the guest may use.
    pub limits: Limits,
    /// How requests are served; meaningless for commands.
    pub http: HttpOptions,
    /// What a command reads from its standard input.
    pub stdin: Stdin,
    /// Where output of the guest goes, and what the sandbox has to say about it.
    pub log: LogSink,
    /// What the guest can reach.
    pub network: Network,
}

impl Spec {
    /// A workload without arguments, files, network and log, under the default limits.
    pub fn new(image: Arc<Image>) -> Self {
        Self {
            image,
            args: Vec::new(),
            env: Vec::new(),
            mounts: Vec::new(),
            limits: Limits::default(),
            http: HttpOptions::default(),
            stdin: Stdin::Empty,
            log: Arc::new(|_, _| {}),
            network: Network::denied(),
        }
    }

    /// What an instance gets to see.
    pub(crate) fn allowed(&self) -> Allowed<'_> {
        Allowed { args: &self.args, env: &self.env, mounts: &self.mounts, stdin: self.stdin, network: &self.network }
    }
}

impl fmt::Debug for Spec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Spec")
            .field("image", &self.image)
            .field("args", &self.args)
            .field("mounts", &self.mounts)
            .field("limits", &self.limits)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}
