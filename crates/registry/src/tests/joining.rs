//! Who may join, under which name and address.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use api::{
    Cidr, Error, Key, Kind, Object, ReadAt, Reason, Subresource, Timestamp, Write, conditions,
    core_v1::{self, Node},
    kinds::Resource as _,
};

use super::{House, soon};
use crate::{Caller, Invitation, JoinAs, Options, Presented, Registry, TOKEN_LIFE_MAX, Worker, WriteOptions};

const LIFE: Duration = Duration::from_secs(3600);

fn ranges() -> [Cidr; 2] {
    ["10.244.0.0/16".parse().unwrap(), "10.96.0.0/12".parse().unwrap()]
}

fn invitation(id: &str, node: &str) -> Invitation {
    let (id, secret_hash) = (id.to_owned(), "c0ffee".to_owned());
    Invitation { id, secret_hash, role: JoinAs::Worker, node: node.to_owned(), address: None }
}

fn token(id: &str) -> Presented {
    Presented { id: id.to_owned(), secret_hash: "c0ffee".to_owned() }
}

/// A worker that connects from the address that it claims.
fn worker(name: &str, address: &str) -> Worker {
    Worker { name: name.to_owned(), address: Some(address.parse().unwrap()), from: address.parse().unwrap() }
}

async fn take(registry: &Registry, id: &str, worker: &Worker) -> Result<String, Error> {
    soon(registry.take_worker(&token(id), worker, ranges())).await
}

/// Takes a worker in with a token that is made for it; a refusal leaves the token as it was.
async fn invited(registry: &Registry, invitation: Invitation, worker: &Worker) -> Result<String, (Reason, String)> {
    registry.invite(&invitation, LIFE).await.unwrap();
    let taken = take(registry, &invitation.id, worker).await;
    taken.map_err(|error| (error.reason, error.message))
}

async fn node(registry: &Registry, name: &str) -> Node {
    let object = registry.get(&Key::cluster(Kind::Node, name), ReadAt::Latest).await.unwrap().object();
    object.get::<Node>().unwrap().clone()
}

fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> Reason {
    result.unwrap_err().reason
}

#[tokio::test]
async fn a_token_lets_one_in_once_and_as_what_it_says() {
    let house = House::new().await;
    let registry = &house.registry;
    registry.invite(&invitation("first1", "w1"), LIFE).await.unwrap();
    registry.invite(&invitation("anyone", ""), LIFE).await.unwrap();
    let w1 = worker("w1", "10.0.0.1");

    let wrong = Presented { secret_hash: "bad".to_owned(), ..token("first1") };
    assert_eq!(reason(registry.take_worker(&wrong, &w1, ranges()).await), Reason::Unauthorized);
    assert_eq!(reason(registry.take_master(&token("first1"), 7).await), Reason::Forbidden);
    assert_eq!(reason(take(registry, "first1", &worker("w2", "10.0.0.2")).await), Reason::Forbidden);
    let uid = take(registry, "first1", &w1).await.unwrap();
    assert_eq!(node(registry, "w1").await.uid(), uid);
    assert_eq!(reason(take(registry, "first1", &w1).await), Reason::Unauthorized, "used up");

    let (w3, w4) = (worker("w3", "10.0.0.3"), worker("w4", "10.0.0.4"));
    let (one, other) = tokio::join!(take(registry, "anyone", &w3), take(registry, "anyone", &w4));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "of two at once one is let in");

    for life in [Duration::ZERO, TOKEN_LIFE_MAX + LIFE] {
        assert_eq!(reason(registry.invite(&invitation("toolong", ""), life).await.map(drop)), Reason::BadRequest);
    }
    let as_node = registry.for_caller(Caller::Node { name: "w1".to_owned(), uid, from: None });
    assert_eq!(reason(as_node.invite(&invitation("sneaky", ""), LIFE).await.map(drop)), Reason::Forbidden);
}

#[tokio::test]
async fn masters_make_the_node_and_say_where_it_is() {
    let house = House::new().await;
    let registry = &house.registry;
    invited(registry, invitation("a", ""), &worker("w1", "10.0.0.1")).await.unwrap();
    let made = node(registry, "w1").await;
    assert_eq!(made.metadata.unwrap().labels["kubernetes.io/hostname"], "w1");
    let addresses: Vec<String> = made.status.unwrap().addresses.into_iter().map(|known| known.address).collect();
    assert_eq!(addresses, ["10.0.0.1", "w1"]);

    let from = |worker: Worker, from: &str| Worker { from: from.parse().unwrap(), ..worker };
    let refused = |result: Result<String, (Reason, String)>| result.unwrap_err().1;
    // It claims an address that it does not call from: a master's, or that of a neighbour.
    let liar = from(worker("w2", "10.0.0.9"), "10.0.0.2");
    assert!(refused(invited(registry, invitation("b", ""), &liar).await).contains("--address 10.0.0.9"));
    // What an administrator names in the token is believed, and nothing else.
    let named = Invitation { address: Some(Ipv4Addr::new(10, 0, 0, 9)), ..invitation("c", "") };
    invited(registry, named.clone(), &liar).await.unwrap();
    let other = Invitation { id: "d".to_owned(), address: Some(Ipv4Addr::new(10, 0, 0, 8)), ..named };
    assert!(refused(invited(registry, other, &worker("w3", "10.0.0.3")).await).contains("the token names 10.0.0.8"));
    // Nor may it have another node's address, or one of a Pod or Service.
    let twice = refused(invited(registry, invitation("e", ""), &worker("w3", "10.0.0.1")).await);
    assert!(twice.contains("10.0.0.1 is that of the node \"w1\""), "{twice}");
    let inside = refused(invited(registry, invitation("f", ""), &worker("w3", "10.244.1.1")).await);
    assert!(inside.contains("within 10.244.0.0/16"), "{inside}");
    let six = Worker { name: "w3".to_owned(), address: None, from: "fd00::1".parse::<IpAddr>().unwrap() };
    assert!(refused(invited(registry, invitation("g", ""), &six).await).contains("IPv4"));
    // Nothing was lost by the refusals.
    let mapped = from(worker("w3", "10.0.0.3"), "::ffff:10.0.0.3");
    take(registry, "g", &mapped).await.unwrap();
}

/// A clock that the test below moves on.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

fn moved() -> Timestamp {
    let now = (super::options().now)();
    Timestamp(now.0 + AHEAD_MS.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_name_that_lives_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let registry = super::opened(dir.path(), Options { now: moved, ..super::options() }).await;
    let w1 = worker("w1", "10.0.0.1");
    let first = invited(&registry, invitation("a", ""), &w1).await.unwrap();
    registry.heartbeat("w1").unwrap();
    annotate_and_cordon(&registry).await;

    // A token for new names is good for no name that exists.
    let (why, message) = invited(&registry, invitation("b", ""), &w1).await.unwrap_err();
    assert_eq!(why, Reason::Forbidden);
    assert!(message.contains("token create --role worker --node-name w1"), "{message}");
    // One for the name is good once its node is silent.
    let (why, message) = invited(&registry, invitation("c", "w1"), &w1).await.unwrap_err();
    assert_eq!(why, Reason::Conflict);
    assert!(message.contains("is alive") && message.contains("kubectl delete node w1"), "{message}");
    AHEAD_MS.store(39_000, Ordering::Relaxed);
    assert_eq!(reason(take(&registry, "c", &w1).await), Reason::Conflict);
    AHEAD_MS.store(41_000, Ordering::Relaxed);
    let second = take(&registry, "c", &worker("w1", "10.0.0.7")).await.unwrap();

    assert_ne!(first, second, "the certificate from before is worth nothing");
    let anew = node(&registry, "w1").await;
    assert_eq!(anew.uid(), second);
    assert_eq!(anew.status.as_ref().unwrap().addresses[0].address, "10.0.0.7");
    assert!(anew.status.unwrap().conditions.is_empty(), "what it had said of itself is forgotten");
    let spec = anew.spec.unwrap();
    assert!(spec.unschedulable && spec.pod_cidr == "10.244.3.0/24", "what others said of it stays: {spec:?}");
}

async fn annotate_and_cordon(registry: &Registry) {
    let mut w1 = node(registry, "w1").await;
    let spec = w1.spec.get_or_insert_default();
    (spec.unschedulable, spec.pod_cidr) = (true, "10.244.3.0/24".to_owned());
    spec.pod_cidrs = vec![spec.pod_cidr.clone()];
    registry.submit(Write::Update(w1.into(), Subresource::None), WriteOptions::default()).await.unwrap();
}

/// Right after its start a master has heard nobody, and must not take that for silence.
#[tokio::test]
async fn a_master_that_has_just_begun_waits_before_it_calls_a_node_silent() {
    let house = House::new().await;
    let w1 = worker("w1", "10.0.0.1");
    invited(&house.registry, invitation("a", ""), &w1).await.unwrap();
    let mut ready = node(&house.registry, "w1").await;
    let condition: core_v1::NodeCondition =
        conditions::new("Ready", conditions::ConditionStatus::True, "", "", house.registry.now());
    conditions::set(&mut ready.status.get_or_insert_default().conditions, condition);
    let said = Write::Update(Object::from(ready), Subresource::Status);
    house.registry.submit(said, WriteOptions::default()).await.unwrap();

    let (why, _) = invited(&house.registry, invitation("b", "w1"), &w1).await.unwrap_err();

    assert_eq!(why, Reason::Conflict);
}
