//! What a watch shows, as a map that is always complete.

use std::{collections::HashMap, sync::Arc};

use api::{ChangeType, Error, Key, Object};
use rpc::Update;

/// The objects of one query. While a watch starts over, the last complete state stays: a master that is away, or one that
/// has just told the first half of its list, must not cut anything off. Before the first complete state there is none.
/// They are kept in whatever form their reader needs.
#[derive(Debug)]
pub(crate) struct Mirror<T = Arc<Object>> {
    objects: HashMap<Key, T>,
    /// The state that is being told, if it is not complete yet.
    again: Option<HashMap<Key, T>>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), again: Some(HashMap::new()) }
    }
}

impl<T: From<Arc<Object>>> Mirror<T> {
    /// Takes an update; returns whether the objects may have changed.
    pub(crate) fn take(&mut self, update: Result<Update, Error>) -> bool {
        match update {
            Ok(Update::Changes(changes)) => {
                let is_complete = self.again.is_none();
                let objects = self.again.as_mut().unwrap_or(&mut self.objects);
                for change in changes {
                    match change.change {
                        ChangeType::Deleted => drop(objects.remove(&change.object.key())),
                        ChangeType::Added | ChangeType::Modified => {
                            drop(objects.insert(change.object.key(), change.object.into()))
                        }
                    }
                }
                is_complete
            }
            Ok(Update::Restarted) => {
                self.again = Some(HashMap::new());
                false
            }
            Ok(Update::Synced(_)) => {
                self.objects = self.again.take().unwrap_or_else(|| std::mem::take(&mut self.objects));
                true
            }
            Err(error) => {
                tracing::error!(%error, "the masters refuse to tell this node what it must know");
                false
            }
        }
    }

    /// What is kept of the objects, in no order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }
}

impl Mirror {
    /// One object.
    pub(crate) fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key).map(|object| &**object)
    }

    /// The objects, in no order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().map(|object| &**object)
    }
}

#[cfg(test)]
mod tests {
    use api::{Change, Revision, core_v1::Service, kinds::Resource as _};

    use super::*;

    fn changes(names: &[&str]) -> Result<Update, Error> {
        let change = |name: &&str| {
            let mut service = Service::default();
            (*name).clone_into(&mut service.metadata_mut().name);
            let object = Arc::new(Object::from(service));
            Change { change: ChangeType::Added, object, revision: Revision::default() }
        };
        Ok(Update::Changes(names.iter().map(change).collect()))
    }

    fn names(mirror: &Mirror) -> Vec<String> {
        let mut names: Vec<String> = mirror.objects().map(|object| object.key().name.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_restart_is_seen_only_when_it_is_complete() {
        let mut mirror = Mirror::<Arc<Object>>::default();
        assert!(!mirror.take(changes(&["a", "b"])), "half of the beginning is nothing");
        assert!(mirror.take(Ok(Update::Synced(Revision::default()))));
        assert_eq!(names(&mirror), ["a", "b"]);

        assert!(!mirror.take(Ok(Update::Restarted)));
        assert!(!mirror.take(changes(&["c"])));
        assert_eq!(names(&mirror), ["a", "b"]);
        assert!(mirror.take(Ok(Update::Synced(Revision::default()))));
        assert_eq!(names(&mirror), ["c"]);
    }
}
