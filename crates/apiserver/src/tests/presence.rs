//! Certificates of those who have left, over TLS.

use std::{io, sync::Arc, time::Duration};

use api::{DeleteOptions, Key, Kind, Object, Reason, Subresource, core_v1, kinds::Resource as _};
use futures::{StreamExt as _, future::BoxFuture};
use registry::{Dial, Masters, MemberId, Membership, PEER_PROTOCOL, Stream};
use rpc::{
    Client, Query, Security, Update,
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject, Token},
    services::{CreateTokenRequest, HeartbeatRequest, JoinRequest, JoinResponse, Role},
    status::revoked_by,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{House, LIMITS, config_map, soon};
use crate::{Entrance, LEAF_LIFE, Setup, serve};

/// A master with TLS.
struct Castle {
    house: House,
    authority: Arc<Authority>,
    url: String,
    admin: Client,
}

impl Castle {
    async fn new() -> Self {
        Self::of(House::new().await).await
    }

    async fn of(house: House) -> Self {
        rpc::identity::install_provider();
        let authority = Arc::new(Authority::found("test").unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let member = house.registry.status().member.0;
        let entrance = Entrance {
            authority: authority.clone(),
            masters: Masters::default(),
            pod_cidr: "10.244.0.0/16".parse().unwrap(),
            node_prefix: 24,
            service_cidr: "10.96.0.0/12".parse().unwrap(),
            leaf_life: LEAF_LIFE,
        };
        let setup = Setup {
            registry: house.registry.clone(),
            aggregator: house.aggregator(),
            images: house.images.clone(),
            identity: Shared::new(issued(&authority, &Subject::Master { member })).unwrap(),
            bearers: crate::Bearers::default(),
            hosts: vec!["127.0.0.1".to_owned()],
            entrance: Some(entrance),
            connections: LIMITS,
        };
        tokio::spawn(serve(listener, setup, CancellationToken::new()));
        let admin = issued(&authority, &Subject::Admin { name: "root".to_owned() });
        let admin = client(&url, admin);
        Self { house, authority, url, admin }
    }

    async fn token(&self, role: Role, node_name: &str) -> Token {
        let request = CreateTokenRequest { role: role.into(), node_name: node_name.to_owned(), ..Default::default() };
        self.admin.create_token(request).await.unwrap().token.parse().unwrap()
    }

    async fn join(&self, role: Role, name: &str) -> (JoinResponse, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let request = JoinRequest {
            role: role.into(),
            node_name: name.to_owned(),
            certificate_request: key.request().unwrap().into(),
            ..Default::default()
        };
        let token = self.token(role, name).await;
        (rpc::join(std::slice::from_ref(&self.url), &token, request).await.unwrap(), key)
    }

    /// A connection for what masters say to each other, on which one says hello and where it is reached.
    async fn lane(&self, member: u64, contact: &str) -> TlsStream<TcpStream> {
        let identity = Shared::new(issued(&self.authority, &Subject::Master { member })).unwrap();
        let mut config = rustls::ClientConfig::clone(&identity.client());
        config.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
        let tcp = TcpStream::connect(self.url.trim_start_matches("https://")).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
        let mut lane = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let status = self.house.registry.status();
        let (version, control, length) = (1_u32, [0_u8], u32::try_from(contact.len()).unwrap());
        let hello = [
            b"KPL-PEER",
            &version.to_le_bytes()[..],
            &status.cluster.0.to_le_bytes(),
            &member.to_le_bytes(),
            &status.member.0.to_le_bytes(),
            &control,
            &length.to_le_bytes(),
            contact.as_bytes(),
        ];
        lane.write_all(&hello.concat()).await.unwrap();
        lane
    }

    /// A worker that has joined.
    async fn worker(&self, name: &str) -> Client {
        let (joined, key) = self.join(Role::Worker, name).await;
        client(&self.url, Identity::new(&joined.certificate_chain, &key, &joined.authority).unwrap())
    }
}

fn issued(authority: &Authority, subject: &Subject) -> Identity {
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let chain = authority.issue(&request, subject, &[], LEAF_LIFE).unwrap();
    Identity::new(&chain, &key, authority.certificate_pem()).unwrap()
}

fn client(url: &str, identity: Identity) -> Client {
    let security = Security::Tls(Shared::new(identity).unwrap());
    Client::connect_with(std::slice::from_ref(&url.to_owned()), security).unwrap()
}

fn node_key() -> Key {
    Key::cluster(Kind::Node, "w1")
}

/// What a node's certificate still does: reads, writes, says that it lives, renews itself.
async fn tries(worker: &Client, url: &str) -> Vec<Result<(), api::Error>> {
    let mut node = core_v1::Node::default();
    node.metadata_mut().name = "w1".to_owned();
    let key = KeyPair::generate().unwrap().request().unwrap();
    let beat = || HeartbeatRequest { node: "w1".to_owned(), ..HeartbeatRequest::default() };
    vec![
        worker.get(&node_key()).await.map(drop),
        worker.list(&Query::all(Kind::Service)).await.map(drop),
        worker.update(Object::from(node.clone()), Subresource::Status).await.map(drop),
        worker.create(Object::from(node)).await.map(drop),
        Err(worker.heartbeats(url, beat, |_| ()).await),
        worker.renew(key).await.map(drop),
        worker.manifest("hello", "v1", false).await.map(drop),
        worker.cluster_status().await.map(drop),
    ]
}

#[tokio::test]
async fn the_certificate_of_a_deleted_node_is_worth_nothing() {
    let castle = Castle::new().await;
    let (joined, key) = castle.join(Role::Worker, "w1").await;
    let comes = || client(&castle.url, Identity::new(&joined.certificate_chain, &key, &joined.authority).unwrap());
    let worker = comes();
    assert!(worker.get(&node_key()).await.is_ok());
    let renewed = worker.renew(KeyPair::generate().unwrap().request().unwrap()).await.unwrap();
    assert!(renewed.contains("CERTIFICATE"));
    let mut watch = Box::pin(worker.watch(Query::all(Kind::Node), None));
    while !matches!(soon(watch.next()).await.unwrap().unwrap(), Update::Synced(_)) {}

    castle.admin.delete(&node_key(), &DeleteOptions::default()).await.unwrap();

    // Its open connection is cut at some moment, so it comes on another.
    for refused in tries(&comes(), &castle.url).await {
        let error = refused.unwrap_err();
        assert_eq!(error.reason, Reason::Unauthorized, "{error}");
        assert!(error.message.contains("must join anew"), "{error}");
        assert_eq!(revoked_by(&error), Some(&*castle.house.registry.status().cluster.to_string()));
    }
    // An open watch ends, and its reader hears why.
    let last = loop {
        match soon(watch.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(last.reason, Reason::Unauthorized, "{last}");
    // Another node of the same name is somebody else.
    let other = castle.worker("w1").await;
    assert!(other.get(&node_key()).await.is_ok());
    assert_eq!(worker.get(&node_key()).await.unwrap_err().reason, Reason::Unauthorized);
}

/// Nobody asks on the connection any more, so nobody refuses anything: it must be cut by itself.
#[tokio::test]
async fn the_open_connection_of_a_deleted_node_is_cut_at_once() {
    let castle = Castle::new().await;
    let (joined, key) = castle.join(Role::Worker, "w1").await;
    let identity = Identity::new(&joined.certificate_chain, &key, &joined.authority).unwrap();
    let config = Shared::new(identity).unwrap().client();
    let address = castle.url.trim_start_matches("https://").to_owned();
    let tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.unwrap();
    let asked = b"GET /api/v1/nodes?watch=true HTTP/1.1\r\nhost: m\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, asked).await.unwrap();
    let mut seen = Vec::new();
    let mut read = async |until: &[u8]| {
        let mut piece = [0; 4096];
        while !seen.windows(until.len()).any(|window| window == until) {
            match tokio::io::AsyncReadExt::read(&mut stream, &mut piece).await {
                Ok(0) | Err(_) => return false,
                Ok(length) => seen.extend_from_slice(&piece[..length]),
            }
        }
        true
    };
    assert!(soon(read(b"\"ADDED\"")).await, "the watch has begun");

    castle.admin.delete(&node_key(), &DeleteOptions::default()).await.unwrap();

    let cut = tokio::time::timeout(Duration::from_secs(5), read(b"the end of the watch is all that comes"));
    assert!(!cut.await.expect("it is cut within a second"));
}

#[tokio::test]
async fn a_node_that_an_administrator_makes_gives_nobody_a_certificate_back() {
    let castle = Castle::new().await;
    let worker = castle.worker("w1").await;
    let mut node = castle.admin.get(&node_key()).await.unwrap();
    castle.admin.delete(&node_key(), &DeleteOptions::default()).await.unwrap();
    node.metadata_mut().resource_version.clear();
    castle.admin.create(node).await.unwrap();
    assert_eq!(worker.get(&node_key()).await.unwrap_err().reason, Reason::Unauthorized);
}

#[tokio::test]
async fn the_certificate_of_a_removed_master_is_worth_nothing() {
    let castle = Castle::new().await;
    let (joined, _) = castle.join(Role::Master, "").await;
    assert!(!joined.authority_key.is_empty());
    let comes = || client(&castle.url, issued(&castle.authority, &Subject::Master { member: joined.member_id }));
    let master = comes();
    let secrets = Query::all(Kind::Secret);

    let member = MemberId(joined.member_id);
    // Before it belongs to the group it may do nothing but say where it serves.
    assert!(!castle.house.registry.may_speak(member));
    assert_eq!(master.list(&secrets).await.unwrap_err().reason, Reason::Unauthorized);
    assert_eq!(master.remove_member(1).await.unwrap_err().reason, Reason::Unauthorized);
    master.admit("127.0.0.1:1").await.unwrap();
    // The answer comes a moment before this master knows the new group.
    let is_member = async |is: bool| {
        let mut group = castle.house.registry.group();
        soon(group.wait_for(|group| group.members.contains(member) == is)).await.map(drop).unwrap();
    };
    is_member(true).await;
    assert!(master.list(&secrets).await.unwrap().items.is_empty(), "nobody is expected any more");
    master.create(config_map("a", "1")).await.unwrap();

    assert!(castle.house.registry.may_speak(member));

    castle.admin.remove_member(joined.member_id).await.unwrap();
    is_member(false).await;

    // Its open connection is cut at some moment, so it comes on another.
    let master = comes();
    let refused = [
        master.list(&secrets).await.map(drop),
        master.create(config_map("b", "1")).await.map(drop),
        master.admit("127.0.0.1:1").await,
        master.cluster_status().await.map(drop),
        master.backup().await.map(drop),
        master.promote(joined.member_id).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.reason, Reason::Unauthorized, "{error}");
        assert!(revoked_by(&error).is_some());
    }
    assert!(!castle.house.registry.may_speak(member), "nor do the masters hear it");
    // Nor was anybody ever expected under an id that a certificate makes up.
    let invented = client(&castle.url, issued(&castle.authority, &Subject::Master { member: 4711 }));
    assert_eq!(invented.admit("127.0.0.1:1").await.unwrap_err().reason, Reason::Unauthorized);
}

/// Reaches nobody, but tells who would have been called where.
#[derive(Debug)]
struct Told(mpsc::UnboundedSender<(MemberId, String)>);

impl Dial for Told {
    fn dial(&self, to: MemberId, contact: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let _ = self.0.send((to, contact.to_owned()));
        Box::pin(async { Err(io::ErrorKind::NotConnected.into()) })
    }
}

/// Whether the other side ends a connection.
async fn ends(stream: &mut TlsStream<TcpStream>) -> bool {
    !matches!(soon(stream.read(&mut [0])).await, Ok(1..))
}

#[tokio::test]
async fn what_a_removed_master_says_is_cut_off_and_not_heard_again() {
    let (told, mut called) = mpsc::unbounded_channel();
    let dial = Some(Arc::new(Told(told)) as Arc<dyn Dial>);
    let membership = Membership { contact: "127.0.0.1:1".to_owned(), dial, ..Membership::default() };
    let castle = Castle::of(House::with(membership).await).await;
    let (joined, _) = castle.join(Role::Master, "").await;
    let member = joined.member_id;
    client(&castle.url, issued(&castle.authority, &Subject::Master { member })).admit("127.0.0.1:2").await.unwrap();
    let mut lane = castle.lane(member, "127.0.0.1:3").await;
    // Who is heard is called where it says that it is.
    while soon(called.recv()).await.unwrap() != (MemberId(member), "127.0.0.1:3".to_owned()) {}

    castle.admin.remove_member(member).await.unwrap();

    assert!(ends(&mut lane).await, "its connection ends");
    let mut again = castle.lane(member, "127.0.0.1:4").await;
    assert!(ends(&mut again).await, "and so does a new one");
    while let Ok((_, contact)) = called.try_recv() {
        assert_ne!(contact, "127.0.0.1:4", "nobody heard where it is now");
    }
}

#[tokio::test]
async fn nodes_hear_who_the_masters_are_and_when_that_changes() {
    let castle = Castle::new().await;
    let (worker, url) = (castle.worker("w1").await, castle.url.clone());
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let beat = || HeartbeatRequest { node: "w1".to_owned(), ..HeartbeatRequest::default() };
        worker.heartbeats(&url, beat, |answer| answer.masters.into_iter().for_each(|group| _ = tell.send(group))).await
    });
    let own = castle.house.registry.status().member.0;
    let first = soon(told.recv()).await.unwrap();
    assert_eq!(first.members, [own]);

    let (joined, _) = castle.join(Role::Master, "").await;
    let member = joined.member_id;
    client(&castle.url, issued(&castle.authority, &Subject::Master { member })).admit("127.0.0.1:2").await.unwrap();
    let second = soon(told.recv()).await.unwrap();
    assert!(second.members.len() == 2 && second.members.contains(&member), "{second:?}");

    castle.admin.remove_member(member).await.unwrap();
    let third = soon(told.recv()).await.unwrap();
    assert_eq!(third.members, [own]);
    assert!(first.applied < second.applied && second.applied < third.applied, "whoever has applied more knows better");
}

#[tokio::test]
async fn a_workers_certificate_names_no_host() {
    let castle = Castle::new().await;
    let (joined, _) = castle.join(Role::Worker, "w1").await;
    let renewed = castle.worker("w2").await.renew(KeyPair::generate().unwrap().request().unwrap()).await.unwrap();
    for chain in [joined.certificate_chain, renewed] {
        let der = rustls_pki_types::CertificateDer::from(pem(&chain));
        assert!(matches!(Subject::of(&der).unwrap(), Subject::Node { uid, .. } if uid.len() == 36));
        let contains = |oid: &[u8]| der.windows(oid.len()).any(|window| window == oid);
        assert!(!contains(&[0x55, 0x1d, 0x11]), "no subjectAltName");
        assert!(!contains(&[0x2b, 6, 1, 5, 5, 7, 3, 1]), "not for servers");
        assert!(contains(&[0x2b, 6, 1, 5, 5, 7, 3, 2]), "for clients");
    }
}

fn pem(chain: &str) -> Vec<u8> {
    rustls_pki_types::pem::PemObject::from_pem_slice(chain.as_bytes())
        .map(|der: rustls_pki_types::CertificateDer<'static>| der.to_vec())
        .unwrap()
}
