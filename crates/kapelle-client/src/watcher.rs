//! A watch that survives: what exists, and then what happens, whatever becomes of connections and masters.

use std::sync::Arc;

use api::{Change, ChangeType, Error, Revision};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use rpc::Update;

use crate::{
    kind::{Typed, typed},
    params::ListParams,
    typed::Api,
};

/// What a watch says. The words are those of kube-rs.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<K> {
    /// Everything that exists follows, whether it was told before or not; what is not among it is gone.
    Init,
    /// An object that exists.
    InitApply(Arc<K>),
    /// Everything that exists was told. Another watch [`after`](ListParams::after) this revision goes on from here.
    InitDone(Revision),
    /// An object appeared or changed, or began to be selected.
    Apply(Arc<K>),
    /// An object is gone, or is not selected any more; this is its last state.
    Delete(Arc<K>),
}

impl<K: Typed> Event<K> {
    /// The object, if it exists.
    #[must_use]
    pub fn applied(self) -> Option<Arc<K>> {
        match self {
            Self::InitApply(object) | Self::Apply(object) => Some(object),
            Self::Init | Self::InitDone(_) | Self::Delete(_) => None,
        }
    }

    /// The event with another object: without what the program does not look at, a store takes less memory.
    #[must_use]
    pub fn modify(mut self, change: impl FnOnce(&mut K)) -> Self {
        match &mut self {
            Self::InitApply(object) | Self::Apply(object) | Self::Delete(object) => change(Arc::make_mut(object)),
            Self::Init | Self::InitDone(_) => {}
        }
        self
    }
}

/// Watches what is selected: first everything that exists, then what happens, in order and without gaps.
///
/// When a connection breaks or a master dies, the watch goes on where it was, with another master if there is one; it keeps
/// close to the present by bookmarks, so that this works after long silence too. When the masters have forgotten what
/// happened since then, everything is told anew, beginning with [`Event::Init`]. In between it waits longer and longer, 2 s at
/// most. With [`ListParams::after`] it begins behind a revision, without what exists.
///
/// ```no_run
/// # async fn run(client: kapelle_client::Client) -> Result<(), kapelle_client::Error> {
/// use futures::TryStreamExt as _;
/// use kapelle_client::{Api, Event, ListParams, Resource as _, core_v1::Pod, watcher};
///
/// let pods: Api<Pod> = Api::all(client);
/// let mut events = watcher(&pods, &ListParams::default().labels("app=web"));
/// while let Some(event) = events.try_next().await? {
///     match event {
///         Event::InitApply(pod) | Event::Apply(pod) => println!("{} is there", pod.name()),
///         Event::Delete(pod) => println!("{} is gone", pod.name()),
///         Event::Init | Event::InitDone(_) => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The stream ends with an error, and only then, if the masters refuse the watch itself: a selector that is not understood,
/// or somebody who may not watch.
pub fn watcher<K: Typed>(api: &Api<K>, params: &ListParams) -> BoxStream<'static, Result<Event<K>, Error>> {
    let updates = api.untyped().watch(api.query(params), params.after);
    let mut told = Told { init: params.after.is_none() };
    let first = told.init.then_some(Ok(Event::Init));
    stream::iter(first).chain(updates.flat_map(move |update| stream::iter(told.events(update)))).boxed()
}

/// As [`watcher`], of one object by its name.
pub fn watch_object<K: Typed>(api: &Api<K>, name: &str) -> BoxStream<'static, Result<Event<K>, Error>> {
    watcher(api, &ListParams::default().fields(&format!("metadata.name={name}")))
}

/// What was told so far.
struct Told {
    /// It is the state that exists at the beginning, or anew.
    init: bool,
}

impl Told {
    fn events<K: Typed>(&mut self, update: Result<Update, Error>) -> Vec<Result<Event<K>, Error>> {
        match update {
            Ok(Update::Changes(changes)) => changes.into_iter().map(|change| self.event(change)).collect(),
            Ok(Update::Synced(revision)) => {
                self.init = false;
                vec![Ok(Event::InitDone(revision))]
            }
            Ok(Update::Restarted) => {
                self.init = true;
                vec![Ok(Event::Init)]
            }
            Err(error) => vec![Err(error)],
        }
    }

    fn event<K: Typed>(&self, Change { change, object, .. }: Change) -> Result<Event<K>, Error> {
        let object: K = typed(Arc::unwrap_or_clone(object))?;
        let object = Arc::new(object);
        Ok(match change {
            ChangeType::Added | ChangeType::Modified if self.init => Event::InitApply(object),
            ChangeType::Added | ChangeType::Modified => Event::Apply(object),
            ChangeType::Deleted => Event::Delete(object),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        Reason,
        core_v1::{ConfigMap, Pod},
        kinds::Resource as _,
    };

    use super::*;

    /// A ConfigMap with a value.
    pub(crate) fn map(name: &str, value: &str) -> ConfigMap {
        let mut map = ConfigMap { data: [("v".to_owned(), value.to_owned())].into(), ..ConfigMap::default() };
        map.metadata_mut().name = name.to_owned();
        map.metadata_mut().namespace = "default".to_owned();
        map
    }

    fn change(change: ChangeType, name: &str) -> Change {
        Change { change, object: Arc::new(map(name, "1").into()), revision: Revision(1) }
    }

    fn words<K: Typed>(events: &[Result<Event<K>, Error>]) -> String {
        let word = |event: &Result<Event<K>, Error>| match event {
            Ok(Event::Init) => "Init".to_owned(),
            Ok(Event::InitApply(object)) => format!("InitApply {}", object.name()),
            Ok(Event::InitDone(revision)) => format!("InitDone {revision}"),
            Ok(Event::Apply(object)) => format!("Apply {}", object.name()),
            Ok(Event::Delete(object)) => format!("Delete {}", object.name()),
            Err(error) => format!("{:?}", error.reason),
        };
        events.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_exists_is_told_apart_from_what_happens() {
        let updates = [
            Update::Changes(vec![change(ChangeType::Added, "a")]),
            Update::Synced(Revision(7)),
            Update::Changes(vec![
                change(ChangeType::Added, "b"),
                change(ChangeType::Modified, "a"),
                change(ChangeType::Deleted, "b"),
            ]),
            Update::Restarted,
            Update::Changes(vec![change(ChangeType::Added, "a")]),
            Update::Synced(Revision(9)),
        ];
        let mut told = Told { init: true };
        let events: Vec<_> = updates.into_iter().flat_map(|update| told.events::<ConfigMap>(Ok(update))).collect();
        let expected = "InitApply a, InitDone 7, Apply b, Apply a, Delete b, Init, InitApply a, InitDone 9";
        assert_eq!(words(&events), expected);
    }

    #[test]
    fn a_watch_that_goes_on_tells_only_what_happens() {
        let mut told = Told { init: false };
        let update = Update::Changes(vec![change(ChangeType::Added, "a")]);
        assert_eq!(words(&told.events::<ConfigMap>(Ok(update))), "Apply a");
        assert_eq!(words(&told.events::<ConfigMap>(Err(Error::new(Reason::Forbidden, "no")))), "Forbidden");
    }

    #[test]
    fn an_object_of_another_kind_is_an_error_not_a_lie() {
        let update = Update::Changes(vec![change(ChangeType::Added, "a")]);
        let events = Told { init: false }.events::<Pod>(Ok(update));
        let error = events[0].as_ref().unwrap_err();
        assert_eq!(error.message, "a ConfigMap was answered where a Pod was asked for");
    }

    #[test]
    fn an_event_can_lose_what_nobody_looks_at() {
        let event = Event::Apply(Arc::new(map("a", "1"))).modify(|map| map.data.clear());
        assert!(event.applied().unwrap().data.is_empty());
        assert_eq!(Event::<ConfigMap>::Init.modify(|map| map.data.clear()).applied(), None);
    }
}
