//! What controllers look at: everything observed, covered by what was decided but not yet observed.
//!
//! Without the cover, two decisions in one batch would spend the same room twice; with it no controller has to remember what
//! it asked for. Nothing here decides.

mod cover;
mod index;
mod sight;

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter::successors,
    net::SocketAddr,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use api::{
    ChangeType, Key, Kind, Object, Observation, Revision, Timestamp, Write,
    apiextensions_v1::CustomResourceDefinition,
    core_v1::{Namespace, Node, Pod},
    custom,
    kinds::Resource,
    meta_v1::OwnerReference,
    object::CustomKind,
    pod,
    selector::Labels,
    well_known::NAMESPACES,
};

pub(crate) use self::index::{Load, owner_of};
use self::{cover::Cover, index::Index, sight::Sight};
use crate::config::Config;

/// For how long an object at which nobody looks stays decoded, at least: what is about to happen with it comes within seconds.
const WARM_FOR: Duration = Duration::from_secs(10);

/// Comes after every name that a namespace can have.
const LAST_NAMESPACE: &str = "~";

/// How the backends of APIServices answer, each by the name of its APIService: well, or why not.
pub(crate) type Backends = BTreeMap<String, Result<(), String>>;

/// What controllers look at. Secrets, and ConfigMaps but for those that controllers publish, may come without
/// anything but who they are and whose: no decision depends on more, and nothing may be written that takes their place.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    entries: BTreeMap<Arc<Key>, Entry>,
    index: Index,
    /// Up to where the changes of each kind were observed, by [`Kind::row`]: those of all kinds that users define come in one order.
    observed: Vec<Revision>,
    heartbeats: HashMap<String, Timestamp>,
    /// When the process of a node was seen to have ended.
    gone: HashMap<String, Timestamp>,
    trouble: HashMap<Key, String>,
    /// Where the masters serve the API.
    masters: BTreeSet<SocketAddr>,
    backends: Option<Backends>,
    began: Timestamp,
    /// When it was last looked which objects may be let go of.
    cooled: Timestamp,
    #[cfg(test)]
    looks: AtomicUsize,
}

#[derive(Debug, Default)]
struct Entry {
    observed: Option<Sight>,
    /// In a box, for few are.
    covered: Option<Box<Covered>>,
}

/// What was decided about an object.
#[derive(Debug)]
struct Covered {
    cover: Cover,
    /// What was observed, under the cover.
    shown: Option<Arc<Object>>,
}

impl Entry {
    /// What controllers see.
    fn shown(&self) -> Option<&Arc<Object>> {
        match &self.covered {
            Some(covered) => covered.shown.as_ref(),
            None => self.observed.as_ref().map(Sight::object),
        }
    }

    fn revision(&self) -> Revision {
        self.observed.as_ref().map(|observed| observed.revision).unwrap_or_default()
    }

    fn refresh(&mut self) {
        if let Some(covered) = &mut self.covered {
            covered.shown = covered.cover.over(self.observed.as_ref().map(Sight::object));
        }
    }
}

/// How an object that controllers see has changed.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Object>>,
    pub(crate) after: Option<Arc<Object>>,
}

impl Shift {
    /// The object's key, if it is a `T`.
    pub(crate) fn key_of<T: Resource>(&self) -> Option<&Key> {
        Some(&self.key).filter(|key| key.kind == T::KIND)
    }

    /// Whether a master begins to lead: the last of the cluster's own namespaces appears, as it does to each that does.
    pub(crate) fn is_beginning(&self) -> bool {
        let is_last = NAMESPACES.last().is_some_and(|last| *self.key.name == **last);
        is_last && self.became::<Namespace>().is_some() && self.before.is_none()
    }

    /// The object before the change, if it existed and is a `T`.
    pub(crate) fn was<T: Resource>(&self) -> Option<&T> {
        self.before.as_deref()?.get()
    }

    /// The object after the change, if it exists and is a `T`.
    pub(crate) fn became<T: Resource>(&self) -> Option<&T> {
        self.after.as_deref()?.get()
    }

    /// The object before and after the change, as far as it existed, if it is a `T`.
    pub(crate) fn states<T: Resource + 'static>(&self) -> impl Iterator<Item = &T> {
        self.was().into_iter().chain(self.became())
    }
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            index: Index::default(),
            observed: vec![Revision(0); Kind::ROWS],
            heartbeats: HashMap::new(),
            gone: HashMap::new(),
            trouble: HashMap::new(),
            masters: BTreeSet::new(),
            backends: None,
            began: Timestamp(0),
            cooled: Timestamp(0),
            #[cfg(test)]
            looks: AtomicUsize::new(0),
        }
    }

    /// An object of any kind.
    pub(crate) fn object(&self, key: &Key) -> Option<&Arc<Object>> {
        self.look_at(self.entries.get(key)?)
    }

    /// An object, with the shared pointer for notes about it.
    pub(crate) fn find<T: Resource + 'static>(&self, key: &Key) -> Option<(&Arc<Object>, &T)> {
        let object = self.object(key)?;
        object.get().map(|value| (object, value))
    }

    /// An object of a known kind.
    pub(crate) fn get<T: Resource + 'static>(&self, key: &Key) -> Option<&T> {
        self.object(key)?.get()
    }

    /// All objects of a kind, by name.
    pub(crate) fn all<T: Resource + 'static>(&self) -> impl Iterator<Item = &T> + Clone {
        let from = Key::cluster(T::KIND, "");
        self.range(from).take_while(|(key, _)| key.kind == T::KIND).filter_map(|(_, object)| object.get())
    }

    /// The objects of a kind in a namespace, by name.
    pub(crate) fn in_namespace<T: Resource + 'static>(&self, namespace: &str) -> impl Iterator<Item = &T> {
        self.objects_in(T::KIND, namespace).filter_map(|object| object.get())
    }

    /// As [`World::in_namespace`], of a kind that is not known here.
    pub(crate) fn objects_in(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Arc<Object>> {
        let from = Key::namespaced(kind, namespace, "");
        let namespace = from.namespace.clone();
        let within = move |(key, _): &(&Key, _)| key.kind == kind && key.namespace == namespace;
        self.range(from).take_while(within).map(|(_, object)| object)
    }

    /// All objects of a kind that is not known here, by namespace and name.
    pub(crate) fn objects_of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.range(Key::cluster(kind, "")).take_while(move |(key, _)| key.kind == kind).map(|(_, object)| object)
    }

    /// Every kind of the table, and those that users have defined and of which there are objects.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let next =
            |from: Bound<Key>| self.entries.range::<Key, _>((from, Bound::Unbounded)).next().map(|(key, _)| key.kind);
        let first = next(Bound::Included(Key::cluster(Kind::Custom(CustomKind::unknown()), "")));
        let custom = successors(first, move |kind| next(Bound::Excluded(Key::namespaced(*kind, LAST_NAMESPACE, ""))));
        Kind::ALL.iter().copied().chain(custom)
    }

    /// The names of the definitions of a group.
    pub(crate) fn definitions_in(&self, group: &str) -> impl Iterator<Item = &Key> {
        let kind = Kind::CustomResourceDefinition;
        let keys = self.entries.range::<Key, _>(Key::cluster(kind, "")..).map(|(key, _)| &**key);
        let is_of = move |name: &str| name.split_once('.').is_some_and(|(_, of)| of == group);
        keys.take_while(move |key| key.kind == kind).filter(move |key| is_of(&key.name))
    }

    /// Whether objects of the kind that a reference names are kept here, so that one which is not is gone.
    pub(crate) fn keeps(&self, owner: &OwnerReference) -> bool {
        let defines = |key: &Key| {
            self.get::<CustomResourceDefinition>(key).is_some_and(|definition| {
                let kind = custom::kind_of(definition).map(|kind| kind.info().kind);
                kind == Some(owner.kind.as_str()) && custom::is(definition, "Established")
            })
        };
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        Kind::from_api_version(&owner.api_version, &owner.kind).is_some() || self.definitions_in(group).any(defines)
    }

    /// Everything that names an object as one of its owners.
    pub(crate) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.index.dependents(uid).filter_map(|key| self.object(key))
    }

    /// The objects of a kind that an object controls, by name.
    pub(crate) fn controlled<T: Resource + 'static>(&self, uid: &str) -> impl Iterator<Item = &T> {
        let controls = move |object: &&Arc<Object>| {
            let owner = object.metadata().and_then(pod::controller_of);
            owner.is_some_and(|owner| owner.uid == uid)
        };
        self.dependents(uid).filter(controls).filter_map(|object| object.get())
    }

    /// The objects of a kind that can be adopted, in a namespace, that nothing controls, by name.
    pub(crate) fn orphans<T: Resource + 'static>(&self, namespace: &str) -> impl Iterator<Item = &T> {
        self.index.orphans(T::KIND, namespace).filter_map(|key| self.get(key))
    }

    /// The Pods of a namespace whose labels a selector means; by name, if it names one value for each label. Where it names
    /// values, only the Pods with those of its rarest label are looked at.
    pub(crate) fn pods_matching<'w>(&'w self, namespace: &str, selector: &Labels) -> impl Iterator<Item = &'w Pod> {
        let indexed = self.index.selected(namespace, selector);
        let rest = indexed.is_none().then(|| self.in_namespace::<Pod>(namespace));
        let indexed = indexed.into_iter().flatten().filter_map(|key| self.get(key));
        let matches = move |pod: &&Pod| pod.metadata.as_ref().is_some_and(|meta| selector.matches(&meta.labels));
        indexed.chain(rest.into_iter().flatten()).filter(matches)
    }

    /// The node to which a Pod is bound, if it is there.
    pub(crate) fn node_of(&self, pod: &Pod) -> Option<&Node> {
        self.named("", pod::node_name(pod)?)
    }

    /// The Pods that are bound to a node, by name.
    pub(crate) fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.index.load(node).into_iter().flat_map(Load::pods).filter_map(|key| self.get(key))
    }

    /// What is on a node and what it can hold.
    pub(crate) fn load(&self, node: &str) -> Option<&Load> {
        self.index.load(node)
    }

    /// The Pods that wait for a node, by name.
    pub(crate) fn unbound(&self) -> impl Iterator<Item = &Key> {
        self.index.unbound()
    }

    /// The priority of a Pod.
    pub(crate) fn priority(&self, key: &Key) -> i32 {
        let object = self.entries.get(key).and_then(Entry::shown);
        object.and_then(|object| object.get::<Pod>()?.spec.as_ref()?.priority).unwrap_or_default()
    }

    /// The object with a uid.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Key> {
        self.index.by_uid(uid)
    }

    /// How many Pods of an owner were seen to vanish. Names of Pods are not used twice because of it.
    pub(crate) fn departed(&self, owner: &str) -> u64 {
        self.index.departed(owner)
    }

    /// An object by the name that another object gives it.
    pub(crate) fn named<T: Resource + 'static>(&self, namespace: &str, name: &str) -> Option<&T> {
        self.get(&Key::namespaced(T::KIND, namespace, name))
    }

    /// Whether a namespace is being deleted: nothing new may be created there.
    pub(crate) fn is_closing(&self, namespace: &str) -> bool {
        let meta = self.object(&Key::cluster(Kind::Namespace, namespace)).and_then(|object| object.metadata());
        meta.is_some_and(|meta| meta.deletion_timestamp.is_some())
    }

    /// When a node was last heard of; at the earliest the time since which anybody listens.
    pub(crate) fn last_heartbeat(&self, node: &str) -> Timestamp {
        self.heartbeats.get(node).copied().unwrap_or(self.began).max(self.began)
    }

    /// When a node was really heard of.
    pub(crate) fn heard(&self, node: &str) -> Option<Timestamp> {
        self.heartbeats.get(node).copied()
    }

    /// When a node's process was seen to have ended, unless it was heard of since.
    pub(crate) fn gone(&self, node: &str) -> Option<Timestamp> {
        self.gone.get(node).copied().filter(|gone| self.heard(node).is_none_or(|heard| heard <= *gone))
    }

    /// Why the last write on behalf of an object was refused.
    pub(crate) fn trouble(&self, key: &Key) -> Option<&str> {
        self.trouble.get(key).map(String::as_str)
    }

    /// Where the masters serve the API; nowhere as long as nobody has told.
    pub(crate) fn masters(&self) -> &BTreeSet<SocketAddr> {
        &self.masters
    }

    /// How the backends answer that were asked; `None` as long as nobody has told of any.
    pub(crate) fn backends(&self) -> Option<&Backends> {
        self.backends.as_ref()
    }

    /// All nodes, by name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> + Clone {
        self.all()
    }

    fn range(&self, from: Key) -> impl Iterator<Item = (&Key, &Arc<Object>)> + Clone {
        self.entries.range::<Key, _>(from..).filter_map(|(key, entry)| Some((&**key, self.look_at(entry)?)))
    }

    /// Every object that a controller sees comes from here.
    fn look_at<'w>(&self, entry: &'w Entry) -> Option<&'w Arc<Object>> {
        #[cfg(test)]
        self.looks.fetch_add(1, Ordering::Relaxed);
        entry.shown()
    }

    /// How many objects were looked at since this was last asked: what a decision costs, whatever the machine.
    #[cfg(test)]
    pub(crate) fn take_looks(&self) -> usize {
        self.looks.swap(0, Ordering::Relaxed)
    }
}

/// How the world comes to know things. Only the brain calls these.
impl World {
    /// Everybody is listened to from now on.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.began = now;
    }

    /// Takes in a change that somebody made. Old news changes nothing.
    pub(crate) fn observe(&mut self, news: &Observation) -> Shift {
        let key = news.object.key();
        let seen = &mut self.observed[key.kind.row()];
        *seen = (*seen).max(news.revision);
        let before = self.shown(&key);
        let entry = self.entries.entry(Arc::new(key.clone())).or_default();
        if entry.revision() > news.revision {
            return Shift { key, after: before.clone(), before };
        }
        entry.observed = match news.change {
            ChangeType::Added | ChangeType::Modified => Some(Sight::new(news.object.clone(), news.revision)),
            ChangeType::Deleted => None,
        };
        if entry.covered.as_ref().is_some_and(|covered| covered.cover.is_spent_by_observation()) {
            entry.covered = None;
        }
        if news.change == ChangeType::Deleted {
            self.index.depart(&news.object.clone().decoded());
        }
        self.refresh(&key, before)
    }

    /// Assumes that a write will happen.
    pub(crate) fn assume(&mut self, write: &Write, now: Timestamp) -> Shift {
        let key = write.key();
        let before = self.shown(&key);
        let entry = self.entries.entry(Arc::new(key.clone())).or_default();
        let cover = Cover::of(write, entry.revision(), now);
        entry.covered = Some(Box::new(Covered { cover, shown: None }));
        self.refresh(&key, before)
    }

    /// Takes in that a write has happened: what was stored is as good as observed.
    pub(crate) fn confirm(&mut self, key: &Key, stored: &Arc<Object>) -> Shift {
        let known = self.observed[key.kind.row()];
        let before = self.shown(key);
        let Some(entry) = self.entries.get_mut(key) else { return self.refresh(key, before) };
        let (is_there, observed_at) = (entry.observed.is_some(), entry.revision());
        match entry.covered.as_mut().map(|covered| &mut covered.cover) {
            // The answer to a deletion does not say whether the object is gone; only an observation does.
            Some(Cover::Deleted { base, written, .. }) => {
                *written = true;
                if !is_there || observed_at > *base {
                    entry.covered = None;
                }
            }
            _ => {
                entry.covered = None;
                let stored_at = revision(Some(stored));
                if stored_at > known && stored_at > observed_at {
                    entry.observed = Some(Sight::new(stored.clone(), stored_at));
                }
            }
        }
        self.refresh(key, before)
    }

    /// Takes back what was assumed of an object.
    pub(crate) fn retract(&mut self, key: &Key) -> Shift {
        let before = self.shown(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.covered = None;
        }
        self.refresh(key, before)
    }

    /// A node gave a sign of life.
    pub(crate) fn hear(&mut self, node: &str, at: Timestamp) {
        let last = self.heartbeats.entry(node.to_owned()).or_default();
        *last = (*last).max(at);
    }

    /// A node's process was seen to have ended.
    pub(crate) fn lose(&mut self, node: &str, at: Timestamp) {
        self.gone.insert(node.to_owned(), at);
    }

    /// The masters serve the API here from now on.
    pub(crate) fn find_masters(&mut self, at: BTreeSet<SocketAddr>) {
        self.masters = at;
    }

    /// The backends answer so from now on.
    pub(crate) fn hear_backends(&mut self, answers: Backends) {
        self.backends = Some(answers);
    }

    /// Remembers or forgets why the last write on behalf of an object was refused.
    pub(crate) fn set_trouble(&mut self, key: &Key, trouble: Option<String>) {
        match trouble {
            Some(message) => _ = self.trouble.insert(key.clone(), message),
            None => _ = self.trouble.remove(key),
        }
    }

    /// Now and then lets go of the decoded values at which nobody has looked for a while. Says whether it was time for that.
    pub(crate) fn cool(&mut self, now: Timestamp) -> bool {
        if self.cooled <= now && now.since(self.cooled) < WARM_FOR {
            return false;
        }
        self.cooled = now;
        self.entries.values_mut().filter_map(|entry| entry.observed.as_mut()).for_each(Sight::cool);
        true
    }

    /// Lets go of the decoded value of an object at which nobody will look soon.
    pub(crate) fn let_go(&mut self, key: &Key) {
        if let Some(observed) = self.entries.get_mut(key).and_then(|entry| entry.observed.as_mut()) {
            observed.let_go();
        }
    }

    fn shown(&self, key: &Key) -> Option<Arc<Object>> {
        self.entries.get(key)?.shown().cloned()
    }

    /// Follows a change of an object that controllers saw as `before`.
    fn refresh(&mut self, key: &Key, before: Option<Arc<Object>>) -> Shift {
        let Some((name, _)) = self.entries.get_key_value(key) else {
            return Shift { key: key.clone(), before: None, after: None };
        };
        let name = name.clone();
        let entry = self.entries.entry(name.clone()).or_default();
        entry.refresh();
        let after = entry.shown().cloned();
        if entry.observed.is_none() && entry.covered.is_none() {
            self.entries.remove(key);
            self.forget(key);
        }
        let same = before.as_ref().zip(after.as_ref()).is_some_and(|(before, after)| Arc::ptr_eq(before, after));
        if !same {
            self.index.replace(&name, before.as_deref(), after.as_deref());
        }
        Shift { key: key.clone(), before, after }
    }

    fn forget(&mut self, key: &Key) {
        self.trouble.remove(key);
        if key.kind == Kind::Node {
            self.heartbeats.remove(&*key.name);
            self.gone.remove(&*key.name);
        }
    }
}

fn revision(object: Option<&Arc<Object>>) -> Revision {
    object.and_then(|object| object.revision()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
