//! What the brain wants done with Pods: images, volumes, sandboxes, probes, logs.
//!
//! [`images`] makes ready what [`containers`] start, with the variables and [`volumes`] that [`sources`] fill; [`probing`] asks
//! them how they are, and [`log_server`] reads what they wrote. What is under way stands in [`runs`].

mod beneath;
pub(crate) mod containers;
pub(crate) mod dirs;
mod environment;
pub(crate) mod images;
mod log_choice;
pub(crate) mod log_server;
mod logs;
mod manifest;
pub(crate) mod probing;
pub(crate) mod runs;
pub(crate) mod sources;
mod volumes;
pub(crate) mod watch;

use std::sync::Arc;

use crate::{
    Effect,
    driver::{clock::now, reports::Reports},
};
use containers::Containers;
use images::Images;
use probing::Prober;

/// What carries the brain's effects out.
pub(crate) struct Pods {
    pub(crate) images: Arc<Images>,
    pub(crate) containers: Arc<Containers>,
    pub(crate) prober: Arc<Prober>,
    pub(crate) reports: Reports,
}

impl Pods {
    /// Begins to carry an effect out; what becomes of it is told to the brain.
    pub(crate) fn carry_out(&self, effect: Effect) {
        let (containers, prober) = (self.containers.clone(), self.prober.clone());
        match effect {
            Effect::Prepare(run, pod) => self.images.begin(run, pod),
            Effect::Start(run, pod, address) => drop(tokio::spawn(containers.start(run, pod, address))),
            Effect::Stop(run, grace) => containers.stop(&run, grace),
            Effect::Probe(run, kind, pod, address) => {
                drop(tokio::spawn(async move { prober.probe(run, kind, &pod, address).await }))
            }
            Effect::Drain(uid, ips) => drop(tokio::spawn(async move { containers.drain(uid, &ips).await })),
            Effect::Clean(uid) => {
                self.images.forget(&uid);
                drop(tokio::spawn(async move { containers.clean(uid).await }));
            }
            Effect::Report(pod) => self.reports.status(pod),
            Effect::Remove(key, uid) => self.reports.remove(key, &uid),
            Effect::Tell(pod, note) => self.reports.tell(&pod, &note, now()),
            // The loop that asks the brain has set its alarm.
            Effect::WakeAt(_) => {}
        }
    }
}
