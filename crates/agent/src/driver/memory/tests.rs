//! What is remembered, and when it is used.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::SystemTime};

use api::{
    Error, Key, Kind, Object,
    core_v1::{
        Container, EnvFromSource, LocalObjectReference, Pod, PodSpec, Secret, SecretEnvSource, SecretVolumeSource,
        Volume, VolumeSource,
    },
    kinds::Resource as _,
};
use rpc::Update;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{Memory, Remembered, file_name, remembers, uses};
use crate::driver::testing::{self, synced};

fn pod(name: &str) -> Pod {
    let reference = LocalObjectReference { name: "variables".to_owned() };
    let secret_ref = SecretEnvSource { local_object_reference: Some(reference), ..SecretEnvSource::default() };
    let env_from = vec![EnvFromSource { secret_ref: Some(secret_ref), ..EnvFromSource::default() }];
    let secret = SecretVolumeSource { secret_name: "files".to_owned(), ..SecretVolumeSource::default() };
    let source = VolumeSource { secret: Some(Box::new(secret)), ..VolumeSource::default() };
    let volumes = vec![Volume { name: "v".to_owned(), volume_source: Some(source) }];
    let containers = vec![Container { env_from, ..Container::default() }];
    let mut pod = Pod { spec: Some(PodSpec { containers, volumes, ..PodSpec::default() }), ..Pod::default() };
    (pod.metadata_mut().name, pod.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    pod
}

fn secret(name: &str) -> Object {
    let mut secret = Secret { data: [("k".to_owned(), "v".into())].into(), ..Secret::default() };
    (secret.metadata_mut().name, secret.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    secret.into()
}

fn added(names: &[&str]) -> Update {
    testing::added(names.iter().map(|name| pod(name)))
}

/// A watch of Pods whose masters say what is sent.
fn watch(memory: &Memory) -> (tokio::sync::mpsc::UnboundedSender<Result<Update, Error>>, Remembered) {
    let (masters, updates) = tokio::sync::mpsc::unbounded_channel();
    (masters, Remembered::new(UnboundedReceiverStream::new(updates), memory.clone(), Kind::Pod))
}

#[tokio::test]
async fn what_the_masters_said_last_is_used_only_while_they_are_silent_and_is_then_replaced() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!remembers(dir.path()));
    let memory = Memory::open(dir.path()).unwrap();
    memory.keep(Kind::Pod, &[Arc::new(Object::from(pod("a"))).into()], SystemTime::now()).unwrap();

    let (masters, mut pods) = watch(&memory);
    for expected in [added(&["a"]), synced()] {
        assert_eq!(pods.next().await.unwrap().unwrap(), expected);
        assert!(memory.is_old());
    }
    masters.send(Ok(added(&["b"]))).unwrap();
    masters.send(Ok(synced())).unwrap();
    for expected in [Update::Restarted, added(&["b"]), synced()] {
        assert_eq!(pods.next().await.unwrap().unwrap(), expected);
        assert!(!memory.is_old(), "the masters have answered");
    }

    let (masters, mut pods) = watch(&memory);
    masters.send(Ok(added(&["c"]))).unwrap();
    assert_eq!(pods.next().await.unwrap().unwrap(), added(&["c"]), "who answers at once is believed at once");
}

#[tokio::test]
async fn what_a_watch_shows_is_kept_when_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::open(dir.path()).unwrap();
    let (masters, mut pods) = watch(&memory);
    masters.send(Ok(added(&["a"]))).unwrap();
    pods.next().await.unwrap().unwrap();
    assert!(pods.keep_at.is_none(), "half a list is not what there is");
    masters.send(Ok(synced())).unwrap();
    pods.next().await.unwrap().unwrap();
    assert!(pods.keep_at.is_some());
    pods.keep();
    pods.keeping.take().unwrap().await.unwrap();
    let kept = memory.recall(Kind::Pod).unwrap();
    assert_eq!(kept, [Arc::new(Object::from(pod("a")))]);
}

#[tokio::test]
async fn secrets_are_kept_for_their_owner_and_as_long_as_a_pod_uses_them() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::open(dir.path()).unwrap();
    let keys: Vec<Key> = uses(&pod("a")).into_iter().collect();
    assert_eq!(keys.iter().map(file_name).collect::<Vec<_>>(), ["Secret.default.files", "Secret.default.variables"]);
    for name in ["files", "other"] {
        memory.keep_used(&secret(name)).await;
        let path = memory.used(&secret(name).key());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }
    memory.keep(Kind::Pod, &[Arc::new(Object::from(pod("a"))).into()], SystemTime::now()).unwrap();
    assert_eq!(memory.recall_used(&secret("files").key()), Some(secret("files")));
    assert_eq!(memory.recall_used(&secret("other").key()), None);
    memory.forget_used(&secret("files").key());
    assert_eq!(memory.recall_used(&secret("files").key()), None);
}

#[test]
fn what_is_damaged_counts_as_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::open(dir.path()).unwrap();
    memory.keep(Kind::Pod, &[Arc::new(Object::from(pod("a"))).into()], SystemTime::now()).unwrap();
    let path = memory.dir.join("Pod");
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(memory.recall(Kind::Pod), None, "the byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(memory.recall(Kind::Pod), None, "cut at {at}");
    }
}
