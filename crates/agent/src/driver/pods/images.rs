//! From an image's name to something that can be started: files, the masters' registry, any OCI registry.

mod cluster;
mod grants;
mod names;
mod pulled;
mod remote;
mod store;
mod waiting;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use api::{
    core_v1::{Container, Pod},
    pod::names_host,
};
use oci_client::Reference;
use rpc::{Client, services::HeartbeatResponse};
use sandbox::{Digest, Image, ImageError, Sandbox, Source};
use tokio::task::AbortHandle;

use super::manifest;
use crate::{
    brain::{Event, Failure, Run, Uid},
    driver::{inbox::Inbox, node::health::Health},
};
pub use cluster::MODULE_BYTES_MAX;
use cluster::{Pull, Refusal};
pub use grants::GRANT_LIFE;
use grants::{Grant, Grants};
use names::Names;
use pulled::Pulled;
use store::Store;
use waiting::Waiting;

/// How many images stay loaded although nothing runs them, so that the next Pod starts at once.
const WARM_MAX: usize = 64;

/// Stands for the masters in the full name of an image of theirs. No host outside has it.
const CLUSTER: &str = "masters.kapelle";

/// Images by name and digest.
pub(crate) struct Images {
    masters: Client,
    sandbox: Sandbox,
    store: Store,
    /// Whether `file:///…` images may be run.
    files: bool,
    inbox: Inbox,
    state: Mutex<State>,
    /// What names meant when they were looked up last.
    names: Names,
    /// Which Pods may run images of the masters.
    grants: Grants,
    /// Runs that wait for an image of the masters.
    waiting: Waiting,
    /// Held by whoever looks a name up or pulls it; others who want the same wait for the result.
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
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
    /// The images below the directory of a node. `files` says whether `file:///…` images may be run.
    pub(crate) fn new(
        node: &Path,
        files: bool,
        masters: Client,
        sandbox: Sandbox,
        health: Arc<Health>,
        inbox: Inbox,
    ) -> Self {
        let dir = node.join("images");
        Self {
            masters,
            sandbox,
            files,
            inbox,
            state: Mutex::default(),
            names: Names::open(&dir),
            grants: Grants::open(&dir),
            waiting: Waiting::default(),
            store: Store::new(dir, health),
            flights: Mutex::default(),
        }
    }

    /// Begins to make the image of a run ready.
    pub(crate) fn begin(self: &Arc<Self>, run: Run, pod: Arc<Pod>) {
        let (images, key) = (self.clone(), run.clone());
        // Held while the task is noted, so that it cannot end before.
        let mut state = self.lock();
        let task = tokio::spawn(async move {
            images.prepare(run.clone(), &pod).await;
            images.lock().preparing.remove(&run);
        });
        state.preparing.insert(key, task.abort_handle());
    }

    /// Makes the image of a run ready and tells the brain.
    async fn prepare(&self, run: Run, pod: &Pod) {
        let Some(container) = manifest::container(pod, &run.container) else { return };
        // It may come while it is asked for.
        if let Some(name) = of_masters(&container.image) {
            self.waiting.begin(name, &run);
        }
        match self.get(pod, container).await {
            Ok((image, id)) => {
                self.waiting.end(&run);
                self.lock().ready.insert(run.clone(), image);
                self.inbox.say(Event::Prepared(run, id)).await;
            }
            Err(failure) => self.inbox.say(Event::NotPrepared(run, failure)).await,
        }
    }

    /// A master says that images came: what waits for them is tried again.
    pub(crate) async fn came(&self, news: HeartbeatResponse) {
        let named = news.images.iter().filter_map(|image| of_masters(image));
        for run in self.waiting.take(named, news.more_images) {
            self.inbox.say(Event::Again(run)).await;
        }
    }

    /// The image that was made ready for a run.
    pub(crate) fn take(&self, run: &Run) -> Option<Arc<Image>> {
        self.lock().ready.remove(run)
    }

    /// Stops making images ready for a Pod, and drops those that are.
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
        drop(state);
        self.waiting.forget(pod);
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
            Some(pulled) => {
                self.permit(pod, &container.image, &reference).await?;
                pulled
            }
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
        let image = self.load(pulled.module, Source::Path(self.store.path(pulled.module))).await?;
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

    /// Pulls the module into the store, unless it is here already.
    async fn pull(&self, pod: &Pod, image: &str, reference: &Reference, name: &str) -> Result<Pulled, Failure> {
        let failed = |why: String| failure("ErrImagePull", format!("cannot pull {image:?}: {why}"));
        if reference.registry() != CLUSTER {
            return remote::pull(&self.masters, &self.store, pod, reference).await.map_err(failed);
        }
        let pull = Pull { masters: &self.masters, pod, reference };
        let pulled = pull.image(&self.store, image).await;
        let granted = self.granted(Grant::of(pod, reference.repository()), pulled).await;
        granted.or_else(|refusal| match self.names.get(name) {
            // Without the masters there is no registry of theirs: what the name meant last is better than nothing.
            Some(known) if refusal.is_granted => Ok(known),
            Some(_) | None => Err(failed(refusal.why)),
        })
    }

    /// Lets a Pod have an image of the masters that is here already, whoever brought it.
    async fn permit(&self, pod: &Pod, image: &str, reference: &Reference) -> Result<(), Failure> {
        let grant = Grant::of(pod, reference.repository());
        if reference.registry() != CLUSTER || self.grants.is_fresh(&grant) {
            return Ok(());
        }
        let allowed = Pull { masters: &self.masters, pod, reference }.leave().await;
        match self.granted(grant, allowed).await {
            Err(refusal) if !refusal.is_granted => {
                Err(failure("ErrImagePull", format!("cannot pull {image:?}: {}", refusal.why)))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Remembers whether a master let a Pod have an image. While none answers, what was said last counts.
    async fn granted<T>(&self, grant: Grant, asked: Result<T, Refusal>) -> Result<T, Refusal> {
        match asked {
            Ok(allowed) => {
                self.grants.allow(grant).await;
                Ok(allowed)
            }
            Err(refusal) if refusal.is_away => Err(Refusal { is_granted: self.grants.is_known(&grant), ..refusal }),
            Err(refusal) => {
                if refusal.is_denied {
                    self.grants.refuse(&grant).await;
                }
                Err(refusal)
            }
        }
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
    let whole = if names_host(image) { image.to_owned() } else { format!("{CLUSTER}/{image}") };
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

fn failure(reason: &'static str, message: String) -> Failure {
    Failure { reason, message }
}

/// The full name of an image of the masters' registry.
fn of_masters(image: &str) -> Option<String> {
    let reference = reference(image).ok().filter(|reference| reference.registry() == CLUSTER)?;
    Some(reference.whole())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use rpc::services::HeartbeatResponse;

    use super::{Arc, CLUSTER, Container, Event, Health, ImageError, Images, Inbox, Pod, Run, fault, id, reference};
    use crate::driver::testing;

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

    /// Images of a node that no master answers, and what the brain hears of them.
    fn images(files: bool) -> (tempfile::TempDir, Arc<Images>, tokio::sync::mpsc::Receiver<Event>) {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = sandbox::Sandbox::new(sandbox::Config::new(dir.path().join("compiled"))).unwrap();
        let (inbox, events) = Inbox::new();
        let health = Arc::new(Health::new());
        let images = Images::new(dir.path(), files, testing::client(), sandbox, health, inbox);
        (dir, Arc::new(images), events)
    }

    fn pod(image: &str, policy: &str) -> (Run, Arc<Pod>) {
        let (image, image_pull_policy) = (image.to_owned(), policy.to_owned());
        let container = Container { name: "main".to_owned(), image, image_pull_policy, ..Container::default() };
        let spec = api::core_v1::PodSpec { containers: vec![container], ..Default::default() };
        let run = Run { pod: "a".into(), container: "main".into(), number: 1 };
        (run, Arc::new(Pod { spec: Some(spec), ..Pod::default() }))
    }

    #[tokio::test]
    async fn the_brain_hears_why_an_image_cannot_be_had() {
        let (_dir, images, mut events) = images(false);
        for (image, policy, reason) in [
            ("hello:v1", "Never", "ErrImageNeverPull"),
            ("file:///no/such/file.wasm", "", "InvalidImageName"),
            ("Not A Name", "", "InvalidImageName"),
        ] {
            let (run, pod) = pod(image, policy);
            images.begin(run.clone(), pod);
            let Some(Event::NotPrepared(told, failure)) = events.recv().await else { panic!("{image} was had") };
            assert_eq!((told, failure.reason), (run.clone(), reason), "{image}");
            assert!(images.take(&run).is_none());
        }
    }

    #[tokio::test]
    async fn what_waits_for_an_image_hears_that_it_came_until_its_pod_is_gone() {
        let (_dir, images, mut events) = images(false);
        let (run, pod) = pod("hello:v1", "Never");
        images.begin(run.clone(), pod);
        assert!(matches!(events.recv().await, Some(Event::NotPrepared(..))));
        let came = |name: &str| HeartbeatResponse { images: vec![name.to_owned()], ..HeartbeatResponse::default() };
        images.came(came("other:v1")).await;
        assert!(events.try_recv().is_err());
        images.came(came("hello:v1")).await;
        assert!(matches!(events.try_recv(), Ok(Event::Again(told)) if told == run));
        images.forget(&run.pod);
        images.came(came("hello:v1")).await;
        assert!(events.try_recv().is_err(), "nobody waits any more");
    }
}
