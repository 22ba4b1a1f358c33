//! What a watch shows, as a map that is always complete.

use std::{collections::HashMap, sync::Arc};

use api::{ChangeType, Error, Key, Object};

use crate::Update;

/// The objects of one query. While a watch starts over, the last complete state stays: a master that is away, or one that
/// has just told the first half of its list, must not cut anything off. Before the first complete state there is none.
/// They are kept in whatever form their reader needs.
#[derive(Debug)]
pub struct Mirror<T = Arc<Object>> {
    objects: HashMap<Key, T>,
    /// The state that is being told, if it is not complete yet.
    again: Option<HashMap<Key, T>>,
}

impl<T> Default for Mirror<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), again: Some(HashMap::new()) }
    }
}

impl<T> Mirror<T> {
    /// Everything is told anew; what is known stays until that is complete.
    pub fn start_over(&mut self) {
        self.again = Some(HashMap::new());
    }

    /// Everything was told.
    pub fn complete(&mut self) {
        if let Some(objects) = self.again.take() {
            self.objects = objects;
        }
    }

    /// Whether everything was told that is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.again.is_none()
    }

    /// Takes in an object as it is now.
    pub fn put(&mut self, key: Key, object: T) {
        self.told().insert(key, object);
    }

    /// An object is gone.
    pub fn remove(&mut self, key: &Key) {
        self.told().remove(key);
    }

    fn told(&mut self) -> &mut HashMap<Key, T> {
        self.again.as_mut().unwrap_or(&mut self.objects)
    }

    /// What is kept of one object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&T> {
        self.objects.get(key)
    }

    /// What is kept of the objects, in no order.
    pub fn kept(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }
}

impl<T: From<Arc<Object>>> Mirror<T> {
    /// Takes an update; returns whether the objects may have changed. A watch that is refused changes nothing, and is logged.
    pub fn take(&mut self, update: Result<Update, Error>) -> bool {
        match update {
            Ok(Update::Changes(changes)) => {
                for change in changes {
                    let key = change.object.key();
                    match change.change {
                        ChangeType::Deleted => self.remove(&key),
                        ChangeType::Added | ChangeType::Modified => self.put(key, change.object.into()),
                    }
                }
                self.is_complete()
            }
            Ok(Update::Restarted) => {
                self.start_over();
                false
            }
            Ok(Update::Synced(_)) => {
                self.complete();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the masters refuse to tell what this process must know");
                false
            }
        }
    }
}

impl Mirror {
    /// The objects, in no order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.kept().map(|object| &**object)
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
