//! What the brain wants done with Pods: images, volumes, sandboxes, probes, logs.
//!
//! [`images`] makes ready what [`containers`] start, with the variables and [`volumes`] that [`sources`] fill; [`probing`] asks
//! them how they are, and [`agent_server`] reads what they wrote and connects masters to their [`ports`] and to what the node tells of itself ([`node_http`]). What is under way stands in [`runs`].

pub(crate) mod agent_server;
mod authority;
mod beneath;
mod certificates;
pub(crate) mod containers;
pub(crate) mod dirs;
mod environment;
pub(crate) mod following;
mod generations;
pub(crate) mod images;
mod keyed;
mod log_choice;
mod logs;
mod manifest;
pub(crate) mod node_http;
pub(crate) mod ports;
pub(crate) mod probing;
pub(crate) mod runs;
pub(crate) mod sources;
mod tokens;
mod upkeep;
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{net::Ipv4Addr, path::Path, time::Duration};

    use api::{
        core_v1::{Container, Pod, PodSpec},
        kinds::Resource as _,
    };
    use proxy::Proxy;
    use sandbox::Sandbox;
    use tokio::sync::mpsc::Receiver;

    use super::{dirs::PodDirs, following::Follower, runs::Runs, sources::Sources, *};
    use crate::{
        Event,
        brain::{Note, ProbeKind, Run},
        driver::{inbox::Inbox, memory::Memory, node::health::Health, serving::network::Networks, testing},
    };

    /// The Pods of a node that no master answers, below a directory, and what their brain hears.
    fn pods(dir: &Path) -> (Pods, Receiver<Event>) {
        let (inbox, events) = Inbox::new();
        let (client, health) = (testing::client(), Arc::new(Health::new()));
        let sandbox = Sandbox::new(sandbox::Config::new(dir.join("compiled"))).unwrap();
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external: false });
        let images = Images::new(dir, false, client.clone(), sandbox.clone(), health, inbox.clone());
        let (images, runs) = (Arc::new(images), Arc::<Runs<_>>::default());
        let containers = Containers {
            runs: runs.clone(),
            images: images.clone(),
            sandbox,
            sources: Sources::new(client, Memory::open(dir).unwrap(), Ipv4Addr::LOCALHOST, Reports::new("n1")),
            follower: Follower::default(),
            dirs: PodDirs::below(dir),
            networks: Networks::new(proxy.clone(), false),
            proxy,
            inbox: inbox.clone(),
            services: "10.96.0.0/12".parse().unwrap(),
        };
        let prober = Arc::new(Prober { runs, inbox });
        (Pods { images, containers: Arc::new(containers), prober, reports: Reports::new("n1") }, events)
    }

    fn pod() -> Arc<Pod> {
        let (image, image_pull_policy) = ("hello:v1".to_owned(), "Never".to_owned());
        let container = Container { name: "main".to_owned(), image, image_pull_policy, ..Container::default() };
        let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = ("web".to_owned(), "default".to_owned(), "u1".to_owned());
        Arc::new(pod)
    }

    #[tokio::test]
    async fn every_effect_leads_to_what_the_brain_waits_for() {
        let dir = tempfile::tempdir().unwrap();
        let (pods, mut events) = pods(dir.path());
        let (run, address) = (Run { pod: "u1".into(), container: "main".into(), number: 1 }, Ipv4Addr::LOCALHOST);

        pods.carry_out(Effect::Prepare(run.clone(), pod()));
        let prepared = events.recv().await;
        assert!(
            matches!(&prepared, Some(Event::NotPrepared(_, why)) if why.reason == "ErrImageNeverPull"),
            "{prepared:?}"
        );

        pods.carry_out(Effect::Start(run.clone(), pod(), address));
        let started = events.recv().await;
        assert!(
            matches!(&started, Some(Event::NotStarted(_, why)) if why.message.contains("no longer ready")),
            "{started:?}"
        );

        pods.carry_out(Effect::Probe(run.clone(), ProbeKind::Settling, pod(), address));
        assert!(matches!(events.recv().await, Some(Event::Probed(_, ProbeKind::Settling, Err(_)))), "nothing runs");
        pods.carry_out(Effect::Stop(run, Duration::ZERO));

        pods.carry_out(Effect::Drain("u1".into(), vec![address]));
        assert!(matches!(events.recv().await, Some(Event::Drained(uid)) if &*uid == "u1"));

        std::fs::create_dir_all(PodDirs::below(dir.path()).volumes("u1")).unwrap();
        pods.carry_out(Effect::Clean("u1".into()));
        assert!(matches!(events.recv().await, Some(Event::Cleaned(uid)) if &*uid == "u1"));
        assert!(!PodDirs::below(dir.path()).of("u1").exists());
    }

    #[tokio::test]
    async fn what_is_told_goes_to_the_masters() {
        let dir = tempfile::tempdir().unwrap();
        let note = Note { warning: false, reason: "Started", message: "it runs".to_owned() };
        for effect in [Effect::Report(pod()), Effect::Remove(pod().key(), "u1".into()), Effect::Tell(pod(), note)] {
            let (pods, _events) = pods(dir.path());
            assert!(pods.reports.is_empty());
            pods.carry_out(effect);
            assert!(!pods.reports.is_empty());
        }
    }
}
