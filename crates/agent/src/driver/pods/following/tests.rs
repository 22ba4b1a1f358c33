//! What changes in ConfigMaps and Secrets, and what volumes show of it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use api::{
    Kind,
    core_v1::{
        ConfigMapProjection, ConfigMapVolumeSource, KeyToPath, LocalObjectReference, Pod, ProjectedVolumeSource,
        SecretProjection, Volume, VolumeProjection, VolumeSource,
    },
    kinds::Resource as _,
};

use super::*;
use crate::driver::testing::sources;

fn map(revision: u64, data: &[(&str, &str)]) -> Object {
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut map = ConfigMap { data, ..ConfigMap::default() };
    let meta = map.metadata_mut();
    (meta.name, meta.namespace, meta.resource_version) = ("m".to_owned(), "shop".to_owned(), revision.to_string());
    map.into()
}

fn secret(revision: u64, value: &str) -> Object {
    let mut secret = Secret { data: [("k".to_owned(), value.to_owned().into())].into(), ..Secret::default() };
    let meta = secret.metadata_mut();
    (meta.name, meta.namespace, meta.resource_version) = ("s".to_owned(), "shop".to_owned(), revision.to_string());
    secret.into()
}

fn reference(name: &str) -> Option<LocalObjectReference> {
    Some(LocalObjectReference { name: name.to_owned() })
}

fn pod() -> Pod {
    let mut pod = Pod::default();
    pod.metadata_mut().namespace = "shop".to_owned();
    pod
}

fn of_map(optional: bool) -> Keyed {
    let source = ConfigMapVolumeSource {
        local_object_reference: reference("m"),
        optional: Some(optional),
        ..ConfigMapVolumeSource::default()
    };
    let source = VolumeSource { config_map: Some(Box::new(source)), ..VolumeSource::default() };
    Keyed::of(&pod(), &Volume { name: "v".to_owned(), volume_source: Some(source) }).unwrap()
}

/// A map, and a Secret below `sub`.
fn of_both() -> Keyed {
    let item = |path: &str| KeyToPath { key: "k".to_owned(), path: path.to_owned(), ..KeyToPath::default() };
    let items = vec![item("sub/k"), item("twice")];
    let secret = SecretProjection { local_object_reference: reference("s"), items, ..Default::default() };
    let map = ConfigMapProjection { local_object_reference: reference("m"), ..Default::default() };
    let sources = vec![
        VolumeProjection { config_map: Some(map.into()), ..VolumeProjection::default() },
        VolumeProjection { secret: Some(secret.into()), ..VolumeProjection::default() },
    ];
    let projected = ProjectedVolumeSource { sources, ..ProjectedVolumeSource::default() };
    let source = VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() };
    Keyed::of(&pod(), &Volume { name: "v".to_owned(), volume_source: Some(source) }).unwrap()
}

fn key(object: &Object) -> Key {
    object.key()
}

/// A master is asked for an object, and then this is what there is.
async fn look(follower: &Follower, now: &[Object], key: &Key) {
    let (_dir, sources) = sources(now).await;
    let found = now.iter().find(|object| object.key() == *key).cloned();
    let taken = follower.state().take_due(Instant::now() + LOOK_EVERY);
    assert!(taken.contains(key), "{key} is asked for within a minute: {taken:?}");
    taken.iter().filter(|other| *other != key).for_each(|other| follower.state().asked(other, false));
    follower.found(&sources, key, found).await;
}

#[tokio::test]
async fn volumes_follow_what_they_show_and_nothing_is_written_without_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let follower = Follower::default();
    let before = [map(1, &[("a", "1"), ("b", "1")]), secret(2, "1")];
    let (_dir, first) = sources(&before).await;
    let shows_one = follower.show(&first, &one, of_both()).await.unwrap();
    let shows_other = follower.show(&first, &other, of_map(false)).await.unwrap();
    let text = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert_eq!((text("one/a"), text("one/sub/k"), text("other/b")), ("1".into(), "1".into(), "1".into()));
    assert_eq!(text("one/twice"), "1", "a key may be shown at two paths");
    let data = || fs::read_link(one.join("..data")).unwrap();
    let written = data();
    look(&follower, &before, &key(&before[0])).await;
    assert_eq!(data(), written, "nothing has changed");

    let after = [map(3, &[("a", "2")]), secret(2, "1")];
    look(&follower, &after, &key(&after[0])).await;
    assert_eq!((text("one/a"), text("one/sub/k"), text("other/a")), ("2".into(), "1".into(), "2".into()));
    assert!(!one.join("b").exists() && !other.join("b").exists());
    let later = [map(3, &[("a", "2")]), secret(4, "2")];
    look(&follower, &later, &key(&later[1])).await;
    assert_eq!(text("one/sub/k"), "2");

    // What is needed and gone stays as it was, and so does what lacks a key.
    look(&follower, &[], &key(&later[0])).await;
    assert_eq!((text("one/a"), text("other/a")), ("2".into(), "2".into()));
    let mut emptied = Secret::default();
    let meta = emptied.metadata_mut();
    (meta.name, meta.namespace, meta.resource_version) = ("s".to_owned(), "shop".to_owned(), "5".to_owned());
    look(&follower, &[map(3, &[("a", "2")]), emptied.into()], &key(&later[1])).await;
    assert_eq!(text("one/sub/k"), "2");

    drop(shows_one);
    assert_eq!(follower.state().volumes.len(), 1);
    let newest = [map(6, &[("a", "3")])];
    look(&follower, &newest, &key(&newest[0])).await;
    assert_eq!((text("one/a"), text("other/a")), ("2".into(), "3".into()), "nobody sees the one any more");
    drop(shows_other);
    let state = follower.state();
    assert!(state.volumes.is_empty() && state.objects.is_empty() && state.due.is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn what_may_be_missing_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let follower = Follower::default();
    let (_dir, nothing) = sources(&[]).await;
    // Nothing is remembered of it, as if a master had said that it is not there.
    let volume = dir.path().join("v");
    let _follows = {
        let keyed = Arc::new(of_map(true));
        let dir = follower.state().begin(&volume, &keyed);
        let shown = keyed.keys().map(|key| (key.clone(), None)).collect();
        follower.write(&dir, None, &keyed, Files::new(), shown).await.unwrap();
        Following { dir, of: follower.clone() }
    };
    drop(nothing);
    let there = [map(1, &[("a", "1")])];
    look(&follower, &there, &key(&there[0])).await;
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "1");
}

#[tokio::test]
async fn what_cannot_change_is_asked_for_once_and_shared_objects_once_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let follower = Follower::default();
    let fixed = |revision: u64| {
        let mut map = map(revision, &[("a", "1")]).get::<ConfigMap>().unwrap().clone();
        map.immutable = Some(true);
        Object::from(map)
    };
    let (_dir, first) = sources(&[fixed(1)]).await;
    let mut follows = Vec::new();
    for name in ["x", "y", "z"] {
        follows.push(follower.show(&first, &dir.path().join(name), of_map(false)).await.unwrap());
    }
    follows.push(follower.show(&first, &dir.path().join("z"), of_map(false)).await.unwrap());
    let counts = |state: &State| (state.due.len(), state.objects.len());
    assert_eq!(counts(&follower.state()), (1, 1));
    look(&follower, &[fixed(1)], &key(&fixed(1))).await;
    assert!(follower.state().due.is_empty(), "it is never asked for again");
    follows.truncate(3);
    assert_eq!(follower.state().volumes[&*dir.path().join("z")].mounted, 1);
    follows.clear();
    assert!(follower.state().objects.is_empty());
}

#[tokio::test]
async fn a_container_that_starts_goes_before_what_was_read_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let (volume, follower) = (dir.path().join("v"), Follower::default());
    let (_one, old) = sources(&[map(1, &[("a", "old")])]).await;
    let (_two, new) = sources(&[map(2, &[("a", "new")])]).await;
    let first = follower.show(&old, &volume, of_map(false)).await.unwrap();
    let stale = follower.state().stale(&key(&map(0, &[])), Some(Revision(9)));
    let [(path, keyed, begun)] = &stale[..] else { panic!("one is stale") };
    let _second = follower.show(&new, &volume, of_map(false)).await.unwrap();
    follower.refresh(&old, path, keyed, *begun).await.unwrap();
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "new");
    drop(first);
    assert_eq!(Kind::ConfigMap, key(&map(0, &[])).kind);
}

#[tokio::test]
async fn what_is_due_is_asked_for_and_asked_again_where_no_master_answers() {
    let dir = tempfile::tempdir().unwrap();
    let follower = Follower::default();
    let (_dir, sources) = sources(&[map(1, &[("a", "1")])]).await;
    let _follows = follower.show(&sources, &dir.path().join("v"), of_map(false)).await.unwrap();
    {
        let mut state = follower.state();
        state.take_due(Instant::now() + LOOK_EVERY);
        state.ask_in(&key(&map(1, &[])), Duration::ZERO);
    }
    let asked = async {
        loop {
            let due = follower.state().due.first().map(|(at, _)| *at);
            if due.is_some_and(|at| at > Instant::now() + LOOK_EVERY / 2) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        never = follower.keep(&sources) => match never {},
        () = asked => {}
    }
}
