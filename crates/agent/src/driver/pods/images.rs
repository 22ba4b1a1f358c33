//! From an image's name to something that can be started: files, the masters' registry, any OCI registry.

mod cluster;
mod names;
mod remote;
mod waiting;

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use api::core_v1::{Container, Pod};
use oci_client::Reference;
use rpc::services::HeartbeatResponse;
use sandbox::{Digest, Image, ImageError, Sandbox, Source};
use tokio::task::AbortHandle;

use super::{Config, World, health::Health};
use crate::brain::{Event, Failure, Run, Uid};

/// The media types in which modules are published: the standard one and those that came before it.
const MODULE_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// How many images stay loaded although nothing runs them, so that the next Pod starts at once.
const WARM_MAX: usize = 64;

/// Stands for the masters in the full name of an image of theirs. No host outside has it.
const CLUSTER: &str = "masters.kapelle";

/// Images by name and digest.
pub(crate) struct Images {
    masters: rpc::Client,
    sandbox: Sandbox,
    health: Arc<Health>,
    dir: PathBuf,
    files: bool,
    state: Mutex<State>,
    /// What names meant when they were looked up last.
    names: names::Names,
    /// Runs that wait for an image of the masters.
    pub(crate) waiting: waiting::Waiting,
    /// Held by whoever looks a name up or pulls it; others who want the same wait for the result.
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pulled {
    /// The digest of the module.
    module: Digest,
    /// The digest of the manifest, by which a registry knows the image.
    manifest: String,
}

#[derive(Default)]
struct State {
    /// Images that were made ready for runs that have not started.
    ready: HashMap<Run, Arc<Image>>,
    /// Runs whose images are being made ready.
    preparing: HashMap<Run, AbortHandle>,
    warm: VecDeque<Arc<Image>>,
}

impl Images {
    pub(crate) fn new(config: &Config, masters: rpc::Client, sandbox: Sandbox, health: Arc<Health>) -> Self {
        Self {
            health,
            masters,
            sandbox,
            names: names::Names::open(&config.dir.join("images")),
            waiting: waiting::Waiting::default(),
            dir: config.dir.join("images"),
            files: config.file_images,
            state: Mutex::default(),
            flights: Mutex::default(),
        }
    }

    /// The image that was made ready for a run.
    pub(crate) fn take(&self, run: &Run) -> Option<Arc<Image>> {
        self.lock().ready.remove(run)
    }

    /// Gives up what is being made ready for a Pod, and what was and is not wanted any more.
    pub(crate) fn forget(&self, pod: &Uid) {
        let mut state = self.lock();
        state.ready.retain(|run, _| run.pod != *pod);
        state.preparing.retain(|run, task| {
            let keep = run.pod != *pod;
            if !keep {
                task.abort();
            }
            keep
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image that can be started, and what names it exactly: with a registry's image, a reference by which it can be pulled.
    async fn get(&self, pod: &Pod, container: &Container) -> Result<(Arc<Image>, String), Failure> {
        if let Some(path) = container.image.strip_prefix("file://") {
            let image = self.file(path).await?;
            let id = image.digest().to_string();
            return Ok((image, id));
        }
        let reference = reference(&container.image)?;
        let name = reference.whole();
        let policy = container.image_pull_policy.as_str();
        let flight = self.flight(&name);
        let flying = flight.lock().await;
        let known = self.names.get(&name).filter(|_| policy != "Always");
        let pulled = match known {
            Some(pulled) => pulled,
            None if policy == "Never" => {
                return Err(failure(
                    "ErrImageNeverPull",
                    format!("image {:?} is not on this node, and imagePullPolicy is Never", container.image),
                ));
            }
            None => self.pull(pod, &container.image, &reference, &name).await?,
        };
        // Whoever wants the same image now shares the compiling too, and goes on with it if this Pod is deleted.
        drop(flying);
        let image = self.load(pulled.module, Source::Path(self.path(pulled.module))).await?;
        let id = id(&reference, &pulled.manifest);
        self.names.set(name, pulled).await;
        Ok((image, id))
    }

    async fn file(&self, path: &str) -> Result<Arc<Image>, Failure> {
        if !self.files {
            return Err(failure(
                "InvalidImageName",
                "file:// images are only run by `kapelle dev`; push the module to a registry".to_owned(),
            ));
        }
        let bytes = tokio::fs::read(path)
            .await
            .map_err(|error| failure("ErrImagePull", format!("cannot read {path}: {error}")))?;
        self.load(Digest::of(&bytes), Source::Bytes(bytes.into())).await
    }

    /// The lock of a name. Locks that nobody holds any more are forgotten.
    fn flight(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        flights.entry(name.to_owned()).or_default().clone()
    }

    /// Gets the module into the image store, unless it is there.
    async fn pull(&self, pod: &Pod, image: &str, reference: &Reference, name: &str) -> Result<Pulled, Failure> {
        let failed = |why: String| failure("ErrImagePull", format!("cannot pull {image:?}: {why}"));
        if reference.registry() != CLUSTER {
            return remote::pull(self, pod, reference).await.map_err(failed);
        }
        let pulled = cluster::pull(self, image, reference).await;
        pulled.or_else(|refusal| match self.names.get(name) {
            // Without the masters there is no registry of theirs: what the name meant last is better than nothing.
            Some(known) if refusal.is_away => Ok(known),
            Some(_) | None => Err(failed(refusal.why)),
        })
    }

    /// Keeps a module that came, if it is what it should be.
    async fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), String> {
        if let Some(trouble) = self.health.disk_trouble() {
            return Err(format!("the node's disk is full: {}", trouble.message));
        }
        if Digest::of(bytes) != digest {
            return Err("what came does not have the digest that was promised".to_owned());
        }
        store(&self.dir, &self.path(digest), bytes).await.map_err(|error| error.to_string())
    }

    /// Whether a module is here already.
    async fn has(&self, digest: Digest) -> bool {
        tokio::fs::try_exists(&self.path(digest)).await.unwrap_or(false)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.to_string().trim_start_matches("sha256:")))
    }

    async fn load(&self, digest: Digest, source: Source) -> Result<Arc<Image>, Failure> {
        let image =
            self.sandbox.prepare(digest, source).await.map_err(|error| failure(fault(&error), error.to_string()))?;
        let mut state = self.lock();
        state.warm.retain(|known| known.digest() != digest);
        state.warm.push_back(image.clone());
        if state.warm.len() > WARM_MAX {
            state.warm.pop_front();
        }
        Ok(image)
    }
}

/// A name without a host means the masters' registry.
fn reference(image: &str) -> Result<Reference, Failure> {
    let first = image.split('/').next().unwrap_or_default();
    let has_host = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let whole = if has_host { image.to_owned() } else { format!("{CLUSTER}/{image}") };
    whole.parse().map_err(|error| {
        failure(
            "InvalidImageName",
            format!("{image:?} is not an image reference: {error}; use NAME:TAG, HOST/NAME:TAG or file:///PATH"),
        )
    })
}

/// The reference by which the image can be pulled again, whatever becomes of its tag. An image of the masters has no host, as in
/// manifests.
fn id(reference: &Reference, manifest: &str) -> String {
    match reference.registry() {
        CLUSTER => format!("{}@{manifest}", reference.repository()),
        host => format!("{host}/{}@{manifest}", reference.repository()),
    }
}

/// The word for an image that came and cannot be used: pulling it again would change nothing unless the pull is at fault.
fn fault(error: &ImageError) -> &'static str {
    match error {
        ImageError::NotWasm { .. }
        | ImageError::Precompiled
        | ImageError::TooLarge { .. }
        | ImageError::Invalid(_)
        | ImageError::TooDemanding { .. }
        | ImageError::UnknownImport { .. }
        | ImageError::NoEntry { .. } => "InvalidImage",
        ImageError::WrongDigest { .. } => "ErrImagePull",
        ImageError::Read { .. } => "ImageInspectError",
        ImageError::Internal(_) => "CreateContainerError",
    }
}

/// The layer with the module, of those with these media types, and its digest: the one with a type of ours, or the only one.
fn module<'a>(layers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<(usize, Digest), String> {
    let known = layers.clone().position(|(media_type, _)| MODULE_TYPES.contains(&media_type));
    let only = (layers.clone().count() == 1).then_some(0);
    let index = known.or(only).ok_or("it holds no WebAssembly layer; is it a container image?")?;
    let (_, digest) = layers.clone().nth(index).unwrap_or_default();
    let parsed = Digest::parse(digest).ok_or_else(|| format!("the layer's digest {digest} is not SHA-256"))?;
    Ok((index, parsed))
}

/// Writes a file so that it is there whole or not at all.
async fn store(dir: &std::path::Path, path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    /// Two names may lead to one digest at the same time: each writer has a file of its own.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    tokio::fs::create_dir_all(dir).await?;
    let unfinished = path.with_extension(format!("{}.unfinished", NEXT.fetch_add(1, Ordering::Relaxed)));
    let stored = async {
        tokio::fs::write(&unfinished, bytes).await?;
        tokio::fs::rename(&unfinished, path).await
    };
    let stored = stored.await;
    if stored.is_err() {
        // A disk that is full must not stay so because of what did not fit.
        let _ = tokio::fs::remove_file(&unfinished).await;
    }
    stored
}

fn failure(reason: &'static str, message: String) -> Failure {
    Failure { reason, message }
}

/// Begins to make the image of a run ready.
pub(crate) fn begin(world: &Arc<World>, run: Run, pod: Arc<Pod>) {
    let (shared, key) = (world.clone(), run.clone());
    // Held while the task is noted, so that it cannot end before.
    let mut state = world.images.lock();
    let task = tokio::spawn(async move {
        prepare(&shared, run.clone(), &pod).await;
        shared.images.lock().preparing.remove(&run);
    });
    state.preparing.insert(key, task.abort_handle());
}

/// Makes the image of a run ready and tells the brain.
async fn prepare(world: &World, run: Run, pod: &Pod) {
    let Some(container) = container(pod, &run.container) else { return };
    // It may come while it is asked for.
    if let Some(name) = of_masters(&container.image) {
        world.images.waiting.begin(name, &run);
    }
    match world.images.get(pod, container).await {
        Ok((image, id)) => {
            world.images.waiting.end(&run);
            world.images.lock().ready.insert(run.clone(), image);
            world.say(Event::Prepared(run, id)).await;
        }
        Err(failure) => world.say(Event::NotPrepared(run, failure)).await,
    }
}

/// A master says that images came: what waits for them is tried again.
pub(crate) async fn came(world: &World, news: HeartbeatResponse) {
    let named = news.images.iter().filter_map(|image| of_masters(image));
    for run in world.images.waiting.take(named, news.more_images) {
        world.say(Event::Again(run)).await;
    }
}

/// The full name of an image of the masters' registry.
fn of_masters(image: &str) -> Option<String> {
    let reference = reference(image).ok().filter(|reference| reference.registry() == CLUSTER)?;
    Some(reference.whole())
}

/// The container, init containers included, of a name.
pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().chain(&spec.containers).find(|container| container.name == name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{CLUSTER, ImageError, fault, id, module, reference};

    #[test]
    fn a_name_without_a_host_means_the_masters() {
        for (image, registry, repository, tag) in [
            ("hello", CLUSTER, "hello", "latest"),
            ("hello:v1", CLUSTER, "hello", "v1"),
            ("team/hello:v1", CLUSTER, "team/hello", "v1"),
            ("registry.example/hello:v1", "registry.example", "hello", "v1"),
            ("localhost/hello:v1", "localhost", "hello", "v1"),
            ("10.0.0.1:5000/hello", "10.0.0.1:5000", "hello", "latest"),
        ] {
            let reference = reference(image).unwrap();
            assert_eq!(
                (reference.registry(), reference.repository(), reference.tag()),
                (registry, repository, Some(tag)),
                "{image}"
            );
        }
        assert_eq!(reference("Not A Name").unwrap_err().reason, "InvalidImageName");
    }

    #[test]
    fn an_image_is_named_by_what_can_be_pulled() {
        let named = |image: &str| id(&reference(image).unwrap(), "sha256:1");
        assert_eq!(named("team/hello:v1"), "team/hello@sha256:1");
        assert_eq!(named("10.0.0.1:5000/hello"), "10.0.0.1:5000/hello@sha256:1");
    }

    #[test]
    fn only_what_a_pull_could_mend_is_told_as_a_failed_pull() {
        let (actual, expected) = (String::new(), String::new());
        assert_eq!(fault(&ImageError::WrongDigest { expected, actual }), "ErrImagePull");
        assert_eq!(fault(&ImageError::NotWasm { looks_like: "a script".into() }), "InvalidImage");
        assert_eq!(fault(&ImageError::UnknownImport { import: "host".into(), closest: None }), "InvalidImage");
        assert_eq!(fault(&ImageError::Internal("no disk".into())), "CreateContainerError");
    }

    #[test]
    fn the_module_is_the_layer_with_its_type_or_the_only_one() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let layer = |media_type| (media_type, digest.as_str());
        let found = |layers: &[(&str, &str)]| module(layers.iter().copied()).map(|(index, _)| index);
        assert_eq!(found(&[layer("text/plain"), layer("application/wasm")]), Ok(1));
        assert_eq!(found(&[layer("application/octet-stream")]), Ok(0));
        assert!(found(&[layer("a/b"), layer("c/d")]).unwrap_err().contains("container image"));
        assert!(found(&[]).is_err());
        assert!(found(&[("application/wasm", "md5:1")]).unwrap_err().contains("not SHA-256"));
    }
}
