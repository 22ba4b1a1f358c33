//! A store that follows a watch: what exists, at hand without asking anybody.

use std::sync::{Arc, PoisonError, RwLock};

use api::{Error, Key};
use futures::{Stream, StreamExt as _};
use rpc::Mirror;
use tokio::sync::watch;

use crate::{kind::Typed, watcher::Event};

/// A new, empty store: what is read, and by what it is filled.
///
/// ```no_run
/// # async fn run(client: kapelle_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use futures::StreamExt as _;
/// use kapelle_client::{Api, ListParams, core_v1::Pod, reflector, store, watcher};
///
/// let pods: Api<Pod> = Api::all(client);
/// let (store, writer) = store();
/// // Managed fields are half of many an object, and few programs look at them.
/// let events = watcher(&pods, &ListParams::default())
///     .map(|event| event.map(|event| event.modify(|pod| _ = pod.metadata.as_mut().map(|meta| meta.managed_fields.clear()))));
/// tokio::spawn(reflector(writer, events).for_each(|event| async move {
///     if let Err(error) = event {
///         eprintln!("the watch is refused: {error}");
///     }
/// }));
///
/// store.wait_until_ready().await?;
/// for pod in store.state() {
///     println!("{:?}", pod.status);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn store<K: Typed>() -> (Store<K>, Writer<K>) {
    let (changes, seen) = watch::channel(Seen::default());
    let objects = Arc::new(RwLock::new(Mirror::default()));
    (Store { objects: objects.clone(), seen }, Writer { objects, changes })
}

/// Fills a store with what a [`watcher`](crate::watcher()) says, and passes it on. Something has to poll the stream; when it
/// is dropped, the store stays as it is.
///
/// While everything is told anew, the store keeps the last complete state, and takes the new one over in one step.
pub fn reflector<K: Typed>(
    writer: Writer<K>,
    events: impl Stream<Item = Result<Event<K>, Error>>,
) -> impl Stream<Item = Result<Event<K>, Error>> {
    events.inspect(move |event| {
        if let Ok(event) = event {
            writer.take(event);
        }
    })
}

/// The objects that a watch has told of, as they are now. Cloning is cheap and shares them.
#[derive(Clone, Debug)]
pub struct Store<K> {
    objects: Arc<RwLock<Mirror<Arc<K>>>>,
    seen: watch::Receiver<Seen>,
}

/// Fills a [`Store`]; see [`reflector`].
#[derive(Debug)]
pub struct Writer<K> {
    objects: Arc<RwLock<Mirror<Arc<K>>>>,
    changes: watch::Sender<Seen>,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Everything was told at least once.
    ready: bool,
}

/// Whatever filled the store is gone before there was what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing fills the store any more: the stream of its reflector was dropped")]
pub struct WriterDropped;

impl<K: Typed> Writer<K> {
    fn take(&self, event: &Event<K>) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => objects.start_over(),
            Event::InitApply(object) | Event::Apply(object) => objects.put(object.key(), object.clone()),
            Event::Delete(object) => objects.remove(&object.key()),
            Event::InitDone(_) => objects.complete(),
        }
        let is_complete = objects.is_complete();
        drop(objects);
        // Half of a state is nothing to look at.
        if is_complete {
            self.changes.send_modify(|seen| seen.ready = true);
        }
    }
}

impl<K: Typed> Store<K> {
    /// One object, by namespace (empty for kinds that have none) and name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = Key::namespaced(K::KIND, namespace, name);
        self.read(|objects| objects.get(&key).cloned())
    }

    /// All objects, in no order.
    #[must_use]
    pub fn state(&self) -> Vec<Arc<K>> {
        self.read(|objects| objects.kept().cloned().collect())
    }

    /// Some object for which something holds.
    #[must_use]
    pub fn find(&self, is_wanted: impl Fn(&K) -> bool) -> Option<Arc<K>> {
        self.read(|objects| objects.kept().find(|object| is_wanted(object)).cloned())
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read(|objects| objects.kept().count())
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read(|objects| objects.kept().next().is_none())
    }

    /// Whether everything that existed was told at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.seen.borrow().ready
    }

    /// Waits until everything that existed was told.
    ///
    /// # Errors
    /// If whatever fills the store is gone before.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.wait_for(|_| Some(())).await
    }

    /// Waits until the store, once it is complete, is as it is wanted: looks now, and after each change.
    ///
    /// ```no_run
    /// # async fn run(store: kapelle_client::Store<kapelle_client::core_v1::Node>) -> Result<(), kapelle_client::WriterDropped> {
    /// let three = store.wait_for(|store| (store.len() >= 3).then(|| store.state())).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Store::wait_until_ready`].
    pub async fn wait_for<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T, WriterDropped> {
        let mut seen = self.seen.clone();
        loop {
            let is_ready = seen.borrow_and_update().ready;
            if is_ready && let Some(found) = look(self) {
                return Ok(found);
            }
            seen.changed().await.map_err(|_| WriterDropped)?;
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Mirror<Arc<K>>) -> T) -> T {
        look(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{Reason, Revision, core_v1::ConfigMap, kinds::Resource as _};
    use futures::stream;

    use super::*;
    use crate::watcher::tests::map;

    fn names(store: &Store<ConfigMap>) -> Vec<String> {
        let mut names: Vec<String> = store.state().iter().map(|map| map.name().to_owned()).collect();
        names.sort();
        names
    }

    fn apply(name: &str) -> Event<ConfigMap> {
        Event::Apply(Arc::new(map(name, "1")))
    }

    fn init(name: &str) -> Event<ConfigMap> {
        Event::InitApply(Arc::new(map(name, "1")))
    }

    #[tokio::test]
    async fn a_store_is_as_the_watch_says_and_never_half_of_it() {
        let (store, writer) = store::<ConfigMap>();
        let done = |revision| Event::InitDone(Revision(revision));
        let steps: [(Event<ConfigMap>, &[&str]); 9] = [
            (Event::Init, &[]),
            (init("a"), &[]),
            (init("b"), &[]),
            (done(2), &["a", "b"]),
            (apply("c"), &["a", "b", "c"]),
            (Event::Delete(Arc::new(map("a", "1"))), &["b", "c"]),
            (Event::Init, &["b", "c"]),
            (init("d"), &["b", "c"]),
            (done(9), &["d"]),
        ];
        let (events, expected): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let mut events = Box::pin(reflector(writer, stream::iter(events.into_iter().map(Ok))));
        for expected in expected {
            events.next().await.unwrap().unwrap();
            assert_eq!(names(&store), expected);
        }
        assert!(store.is_ready() && !store.is_empty());
        assert_eq!((store.len(), store.get("default", "d").unwrap().name()), (1, "d"));
        assert_eq!(store.find(|map| map.data["v"] == "2"), None);
        assert_eq!(store.get("default", "a"), None);
    }

    #[tokio::test]
    async fn readers_wait_for_what_they_want() {
        let (store, writer) = store::<ConfigMap>();
        let reader = store.clone();
        let waiting = tokio::spawn(async move { reader.wait_for(|store| store.get("default", "b")).await });
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let told = stream::unfold(told, |mut told| async move { Some((told.recv().await?, told)) });
        let filling = tokio::spawn(reflector(writer, told).for_each(|_| std::future::ready(())));
        tell.send(Ok(Event::Init)).unwrap();
        tell.send(Ok(init("a"))).unwrap();
        assert!(!store.is_ready());
        tell.send(Ok(Event::InitDone(Revision(1)))).unwrap();
        store.wait_until_ready().await.unwrap();
        tell.send(Ok(apply("b"))).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().name(), "b");

        tell.send(Err(Error::new(Reason::Forbidden, "no"))).unwrap();
        drop(tell);
        filling.await.unwrap();
        assert_eq!(store.wait_for(|store| store.get("default", "c")).await, Err(WriterDropped));
        assert_eq!(names(&store), ["a", "b"], "it stays as it is");
    }
}
