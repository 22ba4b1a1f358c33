//! From an image's name to something that can be started: files, the cluster's registry, any OCI registry.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use api::core_v1::{Container, Pod};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    secrets::RegistryAuth,
};
use sandbox::{Digest, Image, Sandbox, Source};

use super::{Config, World};
use crate::brain::{Event, Failure, Run};

/// The media types in which modules are published: the standard one and those that came before it.
const MODULE_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];

/// How many images stay loaded although nothing runs them, so that the next Pod starts at once.
const WARM_MAX: usize = 64;

/// Images by name and digest.
pub(crate) struct Images {
    client: Client,
    sandbox: Sandbox,
    /// `host:port` of the registry that the masters serve.
    cluster: String,
    dir: PathBuf,
    files: bool,
    state: Mutex<State>,
    /// Held by whoever looks a name up or pulls it; others who want the same wait for the result.
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct State {
    /// What a name meant when it was looked up last.
    names: HashMap<String, Digest>,
    /// Images that were made ready for runs that have not started.
    ready: HashMap<Run, Arc<Image>>,
    warm: VecDeque<Arc<Image>>,
}

impl Images {
    pub(crate) fn new(config: &Config, sandbox: Sandbox) -> Self {
        let cluster =
            config.masters.first().map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned());
        let cluster = cluster.unwrap_or_default();
        // Only the cluster's own registry is spoken to without TLS.
        let plain = ClientProtocol::HttpsExcept(vec![cluster.clone()]);
        Self {
            client: Client::new(ClientConfig { protocol: plain, ..ClientConfig::default() }),
            sandbox,
            cluster,
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(&self, container: &Container) -> Result<Arc<Image>, Failure> {
        if let Some(path) = container.image.strip_prefix("file://") {
            return self.file(path).await;
        }
        let reference = self.reference(&container.image)?;
        let name = reference.whole();
        let policy = container.image_pull_policy.as_str();
        let flight =
            self.flights.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default().clone();
        let _flying = flight.lock().await;
        let known = self.lock().names.get(&name).copied().filter(|_| policy != "Always");
        let digest = match known {
            Some(digest) => digest,
            None if policy == "Never" => {
                return Err(failure(
                    "ErrImageNeverPull",
                    format!("image {:?} is not on this node, and imagePullPolicy is Never", container.image),
                ));
            }
            None => self.pull(&container.image, &reference).await?,
        };
        let image = self.load(digest, Source::Path(self.path(digest))).await?;
        self.lock().names.insert(name, digest);
        Ok(image)
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

    /// A name without a host means the cluster's own registry.
    fn reference(&self, image: &str) -> Result<Reference, Failure> {
        let first = image.split('/').next().unwrap_or_default();
        let has_host = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
        let whole = if has_host { image.to_owned() } else { format!("{}/{image}", self.cluster) };
        whole.parse().map_err(|error| {
            failure(
                "InvalidImageName",
                format!("{image:?} is not an image reference: {error}; use NAME:TAG, HOST/NAME:TAG or file:///PATH"),
            )
        })
    }

    /// Gets the module into the image store, unless it is there. Answers its digest.
    async fn pull(&self, image: &str, reference: &Reference) -> Result<Digest, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            failure(
                "ErrImagePull",
                format!(
                    "cannot pull {image:?}: {error}; push it with `kapelle push FILE {image}`, or correct its name"
                ),
            )
        };
        let (manifest, _) = self
            .client
            .pull_image_manifest(reference, &RegistryAuth::Anonymous)
            .await
            .map_err(|error| failed(&error))?;
        let layer = manifest.layers.iter().find(|layer| MODULE_TYPES.contains(&layer.media_type.as_str())).or(
            match manifest.layers.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        );
        let layer = layer.ok_or_else(|| failed(&"it holds no WebAssembly layer; is it a container image?"))?;
        let digest = Digest::parse(&layer.digest)
            .ok_or_else(|| failed(&format!("the layer's digest {} is not SHA-256", layer.digest)))?;
        let path = self.path(digest);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(digest);
        }
        let mut bytes = Vec::new();
        self.client.pull_blob(reference, layer, &mut bytes).await.map_err(|error| failed(&error))?;
        if Digest::of(&bytes) != digest {
            return Err(failed(&"what came does not have the digest that was promised"));
        }
        store(&self.dir, &path, &bytes).await.map_err(|error| failed(&error))?;
        Ok(digest)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{}.wasm", digest.to_string().trim_start_matches("sha256:")))
    }

    async fn load(&self, digest: Digest, source: Source) -> Result<Arc<Image>, Failure> {
        let image =
            self.sandbox.prepare(digest, source).await.map_err(|error| failure("ErrImagePull", error.to_string()))?;
        let mut state = self.lock();
        state.warm.retain(|known| known.digest() != digest);
        state.warm.push_back(image.clone());
        if state.warm.len() > WARM_MAX {
            state.warm.pop_front();
        }
        Ok(image)
    }
}

/// Writes a file so that it is there whole or not at all.
async fn store(dir: &std::path::Path, path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    /// Two names may lead to one digest at the same time: each writer has a file of its own.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    tokio::fs::create_dir_all(dir).await?;
    let unfinished = path.with_extension(format!("{}.unfinished", NEXT.fetch_add(1, Ordering::Relaxed)));
    tokio::fs::write(&unfinished, bytes).await?;
    tokio::fs::rename(&unfinished, path).await
}

fn failure(reason: &'static str, message: String) -> Failure {
    Failure { reason, message }
}

/// Makes the image of a run ready and tells the brain.
pub(crate) async fn prepare(world: &World, run: Run, pod: &Pod) {
    let Some(container) = container(pod, &run.container) else { return };
    match world.images.get(container).await {
        Ok(image) => {
            let id = image.digest().to_string();
            world.images.lock().ready.insert(run.clone(), image);
            world.say(Event::Prepared(run, id)).await;
        }
        Err(failure) => world.say(Event::NotPrepared(run, failure)).await,
    }
}

/// The container, init containers included, of a name.
pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().chain(&spec.containers).find(|container| container.name == name)
}
