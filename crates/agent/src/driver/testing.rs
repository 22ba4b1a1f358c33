//! What the tests of several modules need.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{Change, ChangeType, Object, Revision};
use rpc::{
    Client, Security, Update,
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject},
};

use super::{memory::Memory, pods::sources::Sources, reports::Reports};

/// A client of masters of which none answers. Call it within a Tokio runtime.
pub(crate) fn client() -> Client {
    let (authority, key) = (Authority::found("a").unwrap(), KeyPair::generate().unwrap());
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let subject = Subject::Node { name: "n1".to_owned(), uid: "u1".to_owned() };
    let chain = authority.issue(&request, &subject, &[], Duration::from_secs(60)).unwrap();
    let identity = Identity::new(&chain, &key, authority.certificate_pem()).unwrap();
    let security = Security::Tls(Shared::new(identity).unwrap());
    Client::connect_with(&["https://127.0.0.1:1".to_owned()], security).unwrap()
}

/// Sources of a node that no master answers, and that remembers some objects.
pub(crate) async fn sources(remembered: &[Object]) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().unwrap();
    let memory = Memory::open(dir.path()).unwrap();
    for object in remembered {
        memory.keep_used(object).await;
    }
    memory.set_old(true);
    (dir, Sources::new(client(), memory, Ipv4Addr::new(192, 168, 0, 1), Reports::new("n1")))
}

/// A watch shows objects that are new.
pub(crate) fn added(objects: impl IntoIterator<Item = impl Into<Object>>) -> Update {
    let change =
        |object: Object| Change { change: ChangeType::Added, object: Arc::new(object), revision: Revision::default() };
    Update::Changes(objects.into_iter().map(Into::into).map(change).collect())
}

/// A watch has shown everything.
pub(crate) fn synced() -> Update {
    Update::Synced(Revision::default())
}
