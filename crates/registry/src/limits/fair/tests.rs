//! Seats of the shares of a state.

#![expect(clippy::unwrap_used, reason = "tests")]

use api::{Key, Kind, Object, core_v1, flow_control, flowcontrol_v1::PriorityLevelConfiguration, kinds::Resource as _};
use store::{Expect, Op, State, Txn};

use super::*;
use crate::access::{ResourceAttributes, User};

fn put(state: &mut State, object: impl Into<Object>) {
    let object = object.into();
    let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any };
    state.apply(&Txn { ops: vec![op] }).unwrap();
}

fn user(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Caller::User(Arc::new(User { name: name.to_owned(), groups, ..User::default() }))
}

fn account(name: &str) -> Caller {
    user(name, &["system:serviceaccounts", "system:authenticated"])
}

fn list() -> Attributes<'static> {
    Attributes::Resource(ResourceAttributes { verb: "list", resource: "pods", ..ResourceAttributes::default() })
}

fn founded() -> State {
    let mut state = State::default();
    flow_control::levels().for_each(|level| put(&mut state, level));
    flow_control::schemas().for_each(|schema| put(&mut state, schema));
    state
}

#[test]
fn accounts_of_a_namespace_are_one_party() {
    for (name, expected) in [
        ("system:serviceaccount:shop:till", "system:serviceaccount:shop"),
        ("system:serviceaccount:shop:", "system:serviceaccount:shop"),
        ("system:serviceaccount:shop", "system:serviceaccount:shop"),
        ("ann", "ann"),
        ("", ""),
    ] {
        assert_eq!(party(name), expected);
    }
}

#[tokio::test]
async fn a_namespace_that_asks_in_a_loop_waits_for_itself() {
    let (state, shares) = (founded(), FairShares::default());
    let class = |caller: &Caller| shares.class(shares.of(&state.view()), caller, &list(), None);
    let (till, clerk) = (account("system:serviceaccount:shop:till"), account("system:serviceaccount:shop:clerk"));
    let mut seats = Vec::new();
    for _ in 0..FLOW_REQUESTS_MAX {
        seats.push(shares.seat(&class(&till)).await.unwrap());
    }
    let of_clerk = class(&clerk);
    let mut waiting = Box::pin(shares.seat(&of_clerk));
    assert!(futures::poll!(waiting.as_mut()).is_pending(), "another account of the namespace");
    for other in [account("system:serviceaccount:park:till"), user("ann", &["system:authenticated"])] {
        assert!(shares.seat(&class(&other)).await.is_ok(), "{other:?}");
    }
    seats.pop();
    drop(waiting.await.unwrap());
    // Who gives up while it waits leaves nothing behind.
    seats.push(shares.seat(&class(&till)).await.unwrap());
    let mut given_up = Box::pin(shares.seat(&of_clerk));
    assert!(futures::poll!(given_up.as_mut()).is_pending());
    drop((given_up, seats));
    assert!(shares.seat(&of_clerk).await.is_ok());
}

#[tokio::test]
async fn what_is_written_counts_for_the_next_request() {
    let (mut state, shares) = (founded(), FairShares::default());
    let mut small = flow_control::level("catch-all").unwrap();
    small.metadata_mut().name = "small".to_owned();
    let limited = small.spec.as_mut().and_then(|spec| spec.limited.as_mut()).unwrap();
    (limited.nominal_concurrency_shares, limited.borrowing_limit_percent) = (Some(0), Some(0));
    put(&mut state, small);
    let ann = user("ann", &["system:authenticated"]);
    let before = state.view();
    assert!(shares.seat(&shares.class(shares.of(&before), &ann, &list(), None)).await.is_ok());
    let mut schema = flow_control::schema("catch-all").unwrap();
    schema.metadata_mut().name = "of-ann".to_owned();
    let spec = schema.spec.as_mut().unwrap();
    spec.matching_precedence = 5;
    spec.priority_level_configuration.as_mut().unwrap().name = "small".to_owned();
    put(&mut state, schema.clone());
    let class = shares.class(shares.of(&state.view()), &ann, &list(), None);
    let refused = shares.seat(&class).await.map(drop).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after_s), (Reason::TooManyRequests, Some(1)));
    assert!(refused.message.contains("\"small\"") && refused.message.contains("\"of-ann\""), "{}", refused.message);
    // What has nothing to do with it changes nothing.
    let scheme = shares.of(&state.view());
    put(
        &mut state,
        core_v1::ConfigMap {
            metadata: Some(api::meta_v1::ObjectMeta {
                name: "a".to_owned(),
                namespace: "b".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        },
    );
    assert!(Arc::ptr_eq(&scheme, &shares.of(&state.view())));
    // Without its level the schema counts for nothing.
    let op = Op::Delete { key: Key::cluster(PriorityLevelConfiguration::KIND, "small"), expect: Expect::Any };
    state.apply(&Txn { ops: vec![op] }).unwrap();
    assert!(shares.seat(&shares.class(shares.of(&state.view()), &ann, &list(), None)).await.is_ok());
    assert_eq!(state.view().count(Kind::FlowSchema), 12);
}

/// Nothing of this is measured by a clock that other tests disturb; it shows the order of what a request costs.
#[tokio::test]
async fn a_decision_is_quick() {
    let (mut state, shares) = (founded(), FairShares::default());
    for number in 0..1_000 {
        let mut schema = flow_control::schema("kube-scheduler").unwrap();
        schema.metadata_mut().name = format!("s{number}");
        let rule = &mut schema.spec.as_mut().unwrap().rules[0];
        rule.subjects[0].user.as_mut().unwrap().name = format!("u{number}");
        put(&mut state, schema);
    }
    let (view, till) = (state.view(), account("system:serviceaccount:shop:till"));
    drop(shares.class(shares.of(&view), &till, &list(), None));
    let (begin, rounds) = (std::time::Instant::now(), 20_000);
    for _ in 0..rounds {
        drop(shares.seat(&shares.class(shares.of(&view), &till, &list(), None)).await.unwrap());
    }
    let each = begin.elapsed() / rounds;
    println!("{each:?} for a decision and a seat among 1,000 schemas");
    assert!(each < Duration::from_micros(200), "{each:?}");
}
