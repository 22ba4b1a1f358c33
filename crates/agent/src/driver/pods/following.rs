//! Keeps what volumes show of ConfigMaps and Secrets as these are: each object of which a running container sees something is
//! asked for once a minute, however many Pods show it, and the volumes are written anew that show another state of it.
//!
//! As with a kubelet, an object that says that it is `immutable` is not asked for again, one that may be missing shows up when it
//! comes and goes when it goes, and what is shown of one that is needed stays when it goes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Key, Object, Revision,
    core_v1::{ConfigMap, Secret},
};
use futures::StreamExt as _;
use tokio::{sync::Notify, time::Instant};

use super::{
    generations,
    keyed::{Files, Keyed, Shown},
    sources::Sources,
};
use crate::brain::Failure;

/// How often an object is asked for: as often as a kubelet looks at a Pod.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many objects are asked for at a time. Pods that start have the rest of the node's turns.
const ASKED_AT_A_TIME: usize = 4;

/// The volumes that are followed. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Follower(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is to be asked for earlier than was known.
    news: Notify,
}

#[derive(Default)]
struct State {
    /// By their directories.
    volumes: HashMap<Arc<Path>, Volume>,
    objects: HashMap<Key, Followed>,
    /// When to ask for what.
    due: BTreeSet<(Instant, Key)>,
}

struct Volume {
    keyed: Arc<Keyed>,
    /// Whoever writes into it has it.
    writing: Arc<Mutex<()>>,
    /// How many containers that run mount it.
    mounted: usize,
    /// How often somebody began to show it anew for a container that starts.
    begun: u64,
    shown: Shown,
}

#[derive(Default)]
struct Followed {
    volumes: HashSet<Arc<Path>>,
    /// When it is asked for next; never if it cannot change, and nobody knows yet while it is being asked for.
    due: Option<Instant>,
}

/// A volume is kept fresh as long as this lives.
pub(crate) struct Following {
    dir: Arc<Path>,
    of: Follower,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.of.state().end(&self.dir);
    }
}

impl Follower {
    /// Shows in a volume what is there now, and from now on what comes.
    pub(crate) async fn show(&self, sources: &Sources, dir: &Path, keyed: Keyed) -> Result<Following, Failure> {
        let keyed = Arc::new(keyed);
        let following = Following { dir: self.state().begin(dir, &keyed), of: self.clone() };
        self.0.news.notify_one();
        let (files, shown) = keyed.read(sources).await?;
        self.write(&following.dir, None, &keyed, files, shown).await?;
        Ok(following)
    }

    /// Looks again and again.
    pub(crate) async fn keep(&self, sources: &Sources) -> Infallible {
        loop {
            let next = self.state().due.first().map(|(at, _)| *at);
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.0.news.notified() => continue,
            }
            let due = self.state().take_due(Instant::now());
            let look = |key| async move { self.look(sources, &key).await };
            futures::stream::iter(due).for_each_concurrent(ASKED_AT_A_TIME, look).await;
        }
    }

    /// Asks for an object, and writes the volumes anew that show another state of it.
    async fn look(&self, sources: &Sources, key: &Key) {
        match sources.present(key).await {
            Ok(found) => self.found(sources, key, found).await,
            Err(error) => {
                tracing::debug!(%error, %key, "what Pods show of it may be old");
                self.state().asked(key, false);
            }
        }
    }

    async fn found(&self, sources: &Sources, key: &Key, found: Option<Object>) {
        let revision = found.as_ref().and_then(|object| object.metadata()?.resource_version.parse().ok());
        let stale = self.state().stale(key, revision);
        let mut is_shown = true;
        for (dir, keyed, begun) in stale {
            if let Err(why) = self.refresh(sources, &dir, &keyed, begun).await {
                is_shown = false;
                tracing::warn!(why = why.message, %key, volume = %dir.display(), "a volume could not be written anew");
            }
        }
        let immutable = is_shown && found.as_ref().is_some_and(is_immutable);
        self.state().asked(key, immutable);
    }

    async fn refresh(&self, sources: &Sources, dir: &Arc<Path>, keyed: &Arc<Keyed>, begun: u64) -> Result<(), Failure> {
        let (files, shown) = keyed.read(sources).await?;
        self.write(dir, Some(begun), keyed, files, shown).await
    }

    /// Writes a volume; one that a container which starts has begun to write since is left alone.
    async fn write(
        &self,
        dir: &Arc<Path>,
        begun: Option<u64>,
        keyed: &Arc<Keyed>,
        files: Files,
        shown: Shown,
    ) -> Result<(), Failure> {
        let Some(writing) = self.state().volumes.get(dir).map(|volume| volume.writing.clone()) else { return Ok(()) };
        let (this, dir, keyed, volume) = (self.clone(), dir.clone(), keyed.clone(), dir.clone());
        let write = move || {
            let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
            if begun.is_some_and(|begun| !this.state().is_as_begun(&dir, begun)) {
                return Ok(());
            }
            std::fs::create_dir_all(&dir)?;
            generations::show(&dir, &keyed.written(&files))?;
            this.state().shows(&dir, shown);
            Ok(())
        };
        let written =
            tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| {
            let name = volume.file_name().unwrap_or_default().display();
            Failure { reason: "CreateContainerConfigError", message: format!("volume {name}: {error}") }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_immutable(object: &Object) -> bool {
    let of_map = object.get::<ConfigMap>().and_then(|map| map.immutable);
    of_map.or_else(|| object.get::<Secret>().and_then(|secret| secret.immutable)).unwrap_or_default()
}

impl State {
    /// A container mounts a volume.
    fn begin(&mut self, dir: &Path, keyed: &Arc<Keyed>) -> Arc<Path> {
        let dir = self.volumes.get_key_value(dir).map_or_else(|| Arc::from(dir), |(known, _)| known.clone());
        let new =
            || Volume { keyed: keyed.clone(), writing: Arc::default(), mounted: 0, begun: 0, shown: Shown::new() };
        let volume = self.volumes.entry(dir.clone()).or_insert_with(new);
        (volume.mounted, volume.begun) = (volume.mounted + 1, volume.begun + 1);
        for key in keyed.keys() {
            let is_new = !self.objects.contains_key(key);
            let object = self.objects.entry(key.clone()).or_default();
            object.volumes.insert(dir.clone());
            if is_new {
                // Not all objects of all nodes are asked for at once.
                let within = u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(u64::MAX);
                self.ask_in(key, Duration::from_millis(RandomState::new().hash_one(key) % within));
            }
        }
        dir
    }

    /// A container that mounted a volume has ended.
    fn end(&mut self, dir: &Arc<Path>) {
        let Some(volume) = self.volumes.get_mut(dir) else { return };
        volume.mounted -= 1;
        if volume.mounted > 0 {
            return;
        }
        let Some(volume) = self.volumes.remove(dir) else { return };
        for key in volume.keyed.keys() {
            let Some(object) = self.objects.get_mut(key) else { continue };
            object.volumes.remove(dir);
            if object.volumes.is_empty() {
                let due = object.due;
                self.objects.remove(key);
                due.map(|at| self.due.remove(&(at, key.clone())));
            }
        }
    }

    fn ask_in(&mut self, key: &Key, wait: Duration) {
        let Some(object) = self.objects.get_mut(key).filter(|object| object.due.is_none()) else { return };
        let at = Instant::now() + wait;
        object.due = Some(at);
        self.due.insert((at, key.clone()));
    }

    /// What is to be asked for by now.
    fn take_due(&mut self, now: Instant) -> Vec<Key> {
        let mut keys = Vec::new();
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.due.pop_first() else { break };
            if let Some(object) = self.objects.get_mut(&key) {
                object.due = None;
            }
            keys.push(key);
        }
        keys
    }

    /// An object was asked for.
    fn asked(&mut self, key: &Key, immutable: bool) {
        if !immutable {
            self.ask_in(key, LOOK_EVERY);
        }
    }

    /// The volumes that show another state of an object than this, unless it is needed and gone.
    fn stale(&self, key: &Key, revision: Option<Revision>) -> Vec<(Arc<Path>, Arc<Keyed>, u64)> {
        let dirs = self.objects.get(key).into_iter().flat_map(|object| &object.volumes);
        let volumes = dirs.filter_map(|dir| Some((dir, self.volumes.get(dir)?)));
        // Of one that is being shown for the first time nothing is known yet.
        let is_stale = |volume: &Volume| volume.shown.get(key).is_some_and(|shown| *shown != revision);
        let stale =
            volumes.filter(|(_, volume)| is_stale(volume) && (revision.is_some() || volume.keyed.does_without(key)));
        stale.map(|(dir, volume)| (dir.clone(), volume.keyed.clone(), volume.begun)).collect()
    }

    fn is_as_begun(&self, dir: &Arc<Path>, begun: u64) -> bool {
        self.volumes.get(dir).is_some_and(|volume| volume.begun == begun)
    }

    fn shows(&mut self, dir: &Arc<Path>, shown: Shown) {
        if let Some(volume) = self.volumes.get_mut(dir) {
            volume.shown = shown;
        }
    }
}

#[cfg(test)]
mod tests;
