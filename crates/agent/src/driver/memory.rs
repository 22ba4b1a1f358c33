//! What this node knew when it last heard of the masters, kept on disk, so that a worker that starts while none answers
//! goes on with it.
//!
//! ```text
//! DIR/Pod, DIR/Service, …      what a watch showed, one file a kind
//! DIR/used/KIND.NAMESPACE.NAME  a ConfigMap or Secret that a Pod of this node uses
//! ```
//!
//! Files are for their owner only, are there whole or not at all, and begin with the digest of what follows: one that was
//! damaged is as good as none.

mod files;
mod remembered;
mod uses;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use api::{Key, Kind, Object};
use rpc::{Client, Query};

use remembered::Kept;
pub(crate) use remembered::Remembered;
pub(crate) use uses::uses;

/// The folder of the ConfigMaps and Secrets.
const USED: &str = "used";

/// What this node last knew. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    dir: Arc<Path>,
    /// No master has answered since this process started, and what is used is from before.
    old: Arc<AtomicBool>,
}

/// Whether a node that keeps its state in a directory knows anything of the cluster.
#[must_use]
pub fn remembers(dir: &Path) -> bool {
    below(dir).join(Kind::Node.to_string()).exists()
}

/// Where a node that keeps its state in a directory remembers what it knew.
fn below(dir: &Path) -> PathBuf {
    dir.join("memory")
}

/// Watches of the cluster, each of which begins with what was last known if no master answers. Cloning shares the memory.
#[derive(Clone, Debug)]
pub(crate) struct Watches {
    client: Client,
    memory: Memory,
}

impl Watches {
    pub(crate) fn new(client: Client, memory: Memory) -> Self {
        Self { client, memory }
    }

    /// A watch of what a query selects.
    pub(crate) fn of(&self, query: Query) -> Remembered {
        let kind = query.kind;
        Remembered::new(self.client.watch(query, None), self.memory.clone(), kind)
    }
}

impl Memory {
    /// Opens what a node that keeps its state in a directory remembers.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = below(dir);
        files::make_dir(&dir.join(USED))?;
        Ok(Self { dir: dir.into(), old: Arc::default() })
    }

    /// Whether no master has answered since this process started, so that what is used is from before.
    pub(crate) fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    /// Says whether what is used is from before; returns whether that is news.
    pub(crate) fn set_old(&self, old: bool) -> bool {
        self.old.swap(old, Ordering::Relaxed) != old
    }

    /// The objects of a kind that a watch showed last.
    pub(crate) fn recall(&self, kind: Kind) -> Option<Vec<Arc<Object>>> {
        let path = self.dir.join(kind.to_string());
        let objects = files::read(&path)?;
        Some(objects.into_iter().filter(|object| object.kind() == kind).map(Arc::new).collect())
    }

    /// Keeps the objects of a kind as they were at a time. Of the ConfigMaps and Secrets that were kept before it only those
    /// stay that the Pods use.
    fn keep(&self, kind: Kind, objects: &[Kept], at: SystemTime) -> io::Result<()> {
        files::write(&self.dir.join(kind.to_string()), objects.iter().map(|object| &object.encoded))?;
        if kind == Kind::Pod {
            let used = objects.iter().flat_map(|object| &*object.uses);
            self.forget_but(&used.map(file_name).collect(), at)?;
        }
        Ok(())
    }

    fn forget_but(&self, used: &BTreeSet<String>, at: SystemTime) -> io::Result<()> {
        for entry in std::fs::read_dir(self.dir.join(USED))? {
            let entry = entry?;
            let is_used = entry.file_name().to_str().is_some_and(|name| used.contains(name));
            if !is_used && entry.metadata()?.modified()? < at {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// A ConfigMap or Secret that a Pod of this node uses, as it was when it was read last.
    pub(crate) fn recall_used(&self, key: &Key) -> Option<Object> {
        files::read(&self.used(key))?.into_iter().find(|object| object.key() == *key)
    }

    /// Keeps a ConfigMap or Secret that a Pod of this node uses.
    pub(crate) async fn keep_used(&self, object: &Object) {
        let (path, encoded) = (self.used(&object.key()), files::Encoded::from(object));
        let kept = tokio::task::spawn_blocking(move || files::write(&path, [&encoded]));
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(%error, "what a Pod uses cannot be remembered");
        }
    }

    /// A ConfigMap or Secret does not exist any more.
    pub(crate) fn forget_used(&self, key: &Key) {
        // One that was never kept is forgotten either way.
        let _ = std::fs::remove_file(self.used(key));
    }

    fn used(&self, key: &Key) -> PathBuf {
        self.dir.join(USED).join(file_name(key))
    }
}

/// Names of objects have no slash in them, names of namespaces no dot either.
fn file_name(key: &Key) -> String {
    format!("{}.{}.{}", key.kind, key.namespace, key.name)
}

#[cfg(test)]
mod tests;
