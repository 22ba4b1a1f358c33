//! Play with a cluster from a seed: users change their minds, nodes and controllers fail, messages are late or lost; and in
//! the end everything has to be as it was wanted.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use api::{Key, Kind, Propagation, apps_v1::Deployment, core_v1::Pod, kinds::Resource};

use crate::{Behaviour, Cluster, Prng, Weather, scenario};

/// How many things happen to a cluster in one trial.
const MISHAPS: u64 = 16;

/// The longest that passes between two of them, in milliseconds of virtual time.
const PAUSE_MS_MAX: u64 = 15_000;

/// How long a cluster may take to come to rest: five minutes of back-off of a crashing container, a lost node's forty
/// seconds, and more.
const PEACE: Duration = Duration::from_secs(600);

const MASTERS: [SocketAddr; 2] = [master(1), master(2)];
const NODES: [&str; 4] = ["n1", "n2", "n3", "n4"];
const DEPLOYMENTS: [&str; 2] = ["web", "shop"];

/// The most Pods that are wanted of a Deployment.
const REPLICAS_MAX: u64 = 5;

/// What may happen in a trial.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Deploy,
    Scale,
    Delete,
    DeletePod,
    CutOff,
    BringBack,
    Cordon,
    Crash,
    RestartControl,
    Pause,
}

const fn master(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)), 6443)
}

/// Plays one trial.
///
/// # Errors
/// What was not as it must be, and when. The same seed gives the same trial.
pub fn play(seed: u64) -> Result<(), String> {
    let mut chance = Prng::new(seed);
    let mut cluster = Cluster::new(chance.bits(), weather(&mut chance));
    cluster.behaviours.insert("slow".to_owned(), Behaviour { start: Duration::from_secs(4), ..Behaviour::default() });
    cluster.find_masters(MASTERS);
    for node in NODES {
        cluster.add_node(node, &[("cpu", "2"), ("memory", "2Gi"), ("pods", "6")]);
    }
    for _ in 0..MISHAPS {
        let mishap = draw(&mut chance);
        happen(&mut cluster, &mut chance, mishap);
        let pause = Duration::from_millis(chance.between(0, PAUSE_MS_MAX));
        cluster.advance(pause).map_err(|broken| format!("{broken}\n{}", tail(&mut cluster)))?;
    }
    make_peace(&mut cluster);
    cluster.advance(PEACE)?;
    cluster.settled().map_err(|unsettled| format!("{unsettled}\n{}", tail(&mut cluster)))
}

fn weather(chance: &mut Prng) -> Weather {
    Weather {
        delay_ms_max: *chance.pick(&[2, 20, 300, 1500]).unwrap_or(&2),
        conflicts: *chance.pick(&[0, 20, 150]).unwrap_or(&0),
        refusals: *chance.pick(&[0, 20, 150]).unwrap_or(&0),
        losses: *chance.pick(&[0, 0, 20]).unwrap_or(&0),
    }
}

fn draw(chance: &mut Prng) -> Mishap {
    let often = [Mishap::Deploy, Mishap::Scale, Mishap::DeletePod, Mishap::Crash, Mishap::BringBack];
    let seldom = [Mishap::Delete, Mishap::CutOff, Mishap::Cordon, Mishap::RestartControl, Mishap::Pause];
    let from = if chance.happens(700) { often } else { seldom };
    *chance.pick(&from).unwrap_or(&Mishap::Deploy)
}

fn happen(cluster: &mut Cluster, chance: &mut Prng, mishap: Mishap) {
    let name = *chance.pick(&DEPLOYMENTS).unwrap_or(&"web");
    let node = *chance.pick(&NODES).unwrap_or(&"n1");
    // What does not exist cannot be changed: such wishes come to nothing, as they do for users.
    match mishap {
        Mishap::Deploy => _ = cluster.apply(&manifest(name, chance)),
        Mishap::Scale => {
            let replicas = i32::try_from(chance.between(0, REPLICAS_MAX)).unwrap_or(1);
            _ = cluster.change(name, |deployment| deployment.spec.get_or_insert_default().replicas = Some(replicas));
        }
        Mishap::Delete => {
            let propagation = [Propagation::Background, Propagation::Foreground];
            let propagation = *chance.pick(&propagation).unwrap_or(&Propagation::Background);
            _ = cluster.delete(Key::namespaced(Kind::Deployment, "default", name), propagation);
        }
        Mishap::DeletePod => {
            if let Some(pod) = some_pod(cluster, chance) {
                _ = cluster.delete(pod, Propagation::Background);
            }
        }
        Mishap::CutOff => cluster.cut_off(node),
        Mishap::BringBack => cluster.bring_back(node),
        Mishap::Cordon => _ = cluster.cordon(node, chance.happens(500)),
        Mishap::Crash => {
            if let Some(pod) = some_pod(cluster, chance) {
                cluster.crash(&pod, 1);
            }
        }
        Mishap::RestartControl => cluster.restart_control(),
        Mishap::Pause => {
            let paused = chance.happens(500);
            _ = cluster.change(name, |deployment| deployment.spec.get_or_insert_default().paused = paused);
        }
    }
}

fn some_pod(cluster: &Cluster, chance: &mut Prng) -> Option<Key> {
    let pods = cluster.all::<Pod>();
    chance.pick(&pods).map(Resource::key)
}

/// Everything that was disturbed is left alone from now on; a few messages may still be late.
fn make_peace(cluster: &mut Cluster) {
    cluster.weather = Weather { delay_ms_max: cluster.weather.delay_ms_max, ..Weather::default() };
    for node in NODES {
        cluster.bring_back(node);
        _ = cluster.cordon(node, false);
    }
    for deployment in cluster.all::<Deployment>() {
        _ = cluster.change(deployment.name(), |deployment| deployment.spec.get_or_insert_default().paused = false);
    }
}

fn manifest(name: &str, chance: &mut Prng) -> String {
    let (version, replicas) = (chance.between(1, 5), chance.between(0, REPLICAS_MAX));
    let image = if chance.happens(200) { "slow".to_owned() } else { format!("{name}:{version}") };
    let limits =
        ["maxSurge: 1, maxUnavailable: 0", "maxSurge: 0, maxUnavailable: 1", "maxSurge: 50%, maxUnavailable: 25%"];
    let rolling = chance.pick(&limits).unwrap_or(&limits[0]);
    let strategy = if chance.happens(150) {
        "{type: Recreate, rollingUpdate: null}".to_owned()
    } else {
        format!("{{type: RollingUpdate, rollingUpdate: {{{rolling}}}}}")
    };
    let cpu = chance.between(50, 400);
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  strategy: {strategy}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: main
        image: {image}
        resources: {{requests: {{cpu: {cpu}m, memory: 64Mi}}}}
        readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 10}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 8080}}]
"
    )
}

/// The end of the story, for whoever has to find out what went wrong.
fn tail(cluster: &mut Cluster) -> String {
    /// More than this nobody reads.
    const LINES: usize = 30;
    let story = cluster.take_story();
    let story = story[story.len().saturating_sub(LINES)..].join("\n");
    format!("{story}\n{}\n{}", scenario::sets(cluster), scenario::pods(cluster))
}
