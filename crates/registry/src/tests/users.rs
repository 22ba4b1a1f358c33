//! Users: who makes them, whose tokens they have, and when those count no more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use api::{
    DeleteOptions, Error, Key, Kind, Object, Reason, Subresource, Timestamp, Write,
    authentication_v1::{BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus},
    identity_v1,
    kinds::Resource as _,
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject},
};
use rpc::identity::Authority;

use super::{House, opened, options, soon};
use crate::{Caller, Options, Registry, User, WriteOptions};

async fn house() -> House {
    let house = House::new().await;
    house.registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    house
}

fn key(name: &str) -> Key {
    Key::cluster(Kind::User, name)
}

fn user(name: &str, groups: &[&str], end: Option<Timestamp>) -> Object {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let spec = identity_v1::UserSpec { groups, expiration_timestamp: end.map(Into::into) };
    let mut user = identity_v1::User { spec: Some(spec), ..identity_v1::User::default() };
    name.clone_into(&mut user.metadata_mut().name);
    user.into()
}

async fn create(registry: &Registry, object: impl Into<Object>) -> Result<(), Error> {
    soon(registry.submit(Write::Create(object.into()), WriteOptions::default())).await.map(drop)
}

async fn update(registry: &Registry, object: Object) -> Result<(), Error> {
    soon(registry.submit(Write::Update(object, Subresource::None), WriteOptions::default())).await.map(drop)
}

async fn revoke(registry: &Registry, name: &str) {
    soon(registry.submit(Write::Delete(key(name), DeleteOptions::default()), WriteOptions::default())).await.unwrap();
}

async fn asked(registry: &Registry, name: &str, spec: TokenRequestSpec) -> Result<(TokenRequest, Vec<String>), Error> {
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    soon(registry.create_token(&key(name), request)).await
}

async fn token(registry: &Registry, name: &str) -> String {
    let (made, warnings) = asked(registry, name, TokenRequestSpec::default()).await.unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let TokenRequestStatus { token, expiration_timestamp } = made.status.unwrap();
    assert!(expiration_timestamp.is_some());
    token
}

/// The groups of whoever shows a token, or why it is nobody's.
async fn groups(registry: &Registry, token: &str) -> Result<Vec<String>, String> {
    match soon(registry.authenticate(token)).await {
        Ok(shown) => Ok(shown.caller.groups().into_iter().map(str::to_owned).collect()),
        Err(error) => {
            assert_eq!(error.reason, Reason::Unauthorized, "{error}");
            Err(error.message)
        }
    }
}

async fn refused(registry: &Registry, token: &str, why: &str) {
    let message = groups(registry, token).await.unwrap_err();
    assert!(message.contains(why), "{message}");
}

#[tokio::test]
async fn a_user_is_in_its_groups_of_now_until_it_is_deleted() {
    let House { registry, dir: _dir } = house().await;
    create(&registry, user("ann@example.org", &["devs", "ops"], None)).await.unwrap();
    let first = token(&registry, "ann@example.org").await;
    let shown = soon(registry.authenticate(&first)).await.unwrap();
    assert_eq!(shown.caller.user(), "ann@example.org");
    assert_eq!(groups(&registry, &first).await.unwrap(), ["devs", "ops", "system:authenticated"]);
    assert!(registry.recognise(&first).is_some(), "it is known without waiting");
    update(&registry, user("ann@example.org", &["ops"], None)).await.unwrap();
    assert_eq!(groups(&registry, &first).await.unwrap(), ["ops", "system:authenticated"]);

    revoke(&registry, "ann@example.org").await;
    refused(&registry, &first, "its User \"ann@example.org\" was deleted, or made anew since").await;
    create(&registry, user("ann@example.org", &["ops"], None)).await.unwrap();
    refused(&registry, &first, "made anew").await;
    assert!(groups(&registry, &token(&registry, "ann@example.org").await).await.is_ok());
    assert_eq!(asked(&registry, "bob", TokenRequestSpec::default()).await.unwrap_err().reason, Reason::NotFound);
}

/// Whoever reads on is cut off when it is not any more who it was; to become more cuts off nobody.
#[tokio::test]
async fn what_is_open_ends_when_a_user_or_a_group_of_it_goes() {
    let House { registry, dir: _dir } = house().await;
    let watcher = registry.clone();
    tokio::spawn(async move { watcher.watch_presence().await });
    create(&registry, user("ann", &["devs"], None)).await.unwrap();
    let open = |token: &str| {
        let (registry, shown) = (registry.clone(), registry.recognise(token).unwrap());
        tokio::spawn(async move { registry.until_revoked(&shown).await })
    };
    let token = token(&registry, "ann").await;
    let reading = open(&token);
    update(&registry, user("ann", &["devs", "ops"], None)).await.unwrap();
    let both = open(&token);
    update(&registry, user("ann", &["devs"], None)).await.unwrap();
    soon(both).await.unwrap();
    assert!(!reading.is_finished());
    revoke(&registry, "ann").await;
    soon(reading).await.unwrap();
}

static LATER_MS: AtomicI64 = AtomicI64::new(0);

/// Only one test has this clock.
#[tokio::test]
async fn a_token_lives_no_longer_than_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let now = || Timestamp(1_000_000_000_000 + LATER_MS.load(Ordering::Relaxed));
    let registry = opened(dir.path(), Options { now, ..options() }).await;
    registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    let day = Duration::from_secs(24 * 3600);
    create(&registry, user("ann", &[], Some(now().after(day)))).await.unwrap();
    let lasting = |seconds| TokenRequestSpec { expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
    let (made, warnings) = asked(&registry, "ann", lasting(7 * 24 * 3600)).await.unwrap();
    assert_eq!(made.spec.unwrap().expiration_seconds, Some(24 * 3600));
    assert_eq!(warnings, ["requested expiration of 604800 seconds shortened to 86400 seconds"]);
    let first = made.status.unwrap().token;
    assert!(groups(&registry, &first).await.is_ok());

    // A user may end before its tokens do.
    update(&registry, user("ann", &[], Some(now().after(day / 2)))).await.unwrap();
    LATER_MS.fetch_add(12 * 3600 * 1000, Ordering::Relaxed);
    refused(&registry, &first, "its User \"ann\" has expired").await;
    let error = asked(&registry, "ann", TokenRequestSpec::default()).await.unwrap_err();
    assert!(error.message.contains("spec.expirationTimestamp: the User expired at"), "{error}");
    update(&registry, user("ann", &[], None)).await.unwrap();
    assert!(groups(&registry, &first).await.is_ok(), "it was given more time, and so was what it has");
    LATER_MS.fetch_add(12 * 3600 * 1000, Ordering::Relaxed);
    refused(&registry, &first, "expired").await;
    assert_eq!(asked(&registry, "ann", lasting(599)).await.unwrap_err().reason, Reason::Invalid);
    let reference = BoundObjectReference { kind: "Pod".to_owned(), ..BoundObjectReference::default() };
    let bound = TokenRequestSpec { bound_object_ref: Some(reference), ..TokenRequestSpec::default() };
    let error = asked(&registry, "ann", bound).await.unwrap_err();
    assert!(error.message.contains("spec.boundObjectRef: Forbidden"), "{error}");
}

#[tokio::test]
async fn nobody_takes_the_name_of_the_clusters_own() {
    let House { registry, dir: _dir } = house().await;
    for (name, groups, why) in [
        ("system:admin", &[][..], "metadata.name: Invalid value: \"system:admin\""),
        ("system:node:w1", &[], "begins the names of the cluster's own users"),
        ("a b", &[], "must consist of visible ASCII characters"),
        ("a/b", &[], "may not contain '/'"),
        ("ann", &["system:nodes"], "spec.groups[0]: Invalid value: \"system:nodes\""),
        ("ann", &["system:serviceaccounts:kube-system"], "no User"),
        ("ann", &["devs", "devs"], "spec.groups[1]: Duplicate value: \"devs\""),
        ("ann", &[""], "spec.groups[0]: Required value"),
    ] {
        let error = create(&registry, user(name, groups, None)).await.unwrap_err();
        assert_eq!(error.reason, Reason::Invalid, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    let many: Vec<String> = (0..=api::limits::USER_GROUPS_MAX).map(|number| format!("g{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(create(&registry, user("ann", &many, None)).await.is_err());
    assert!(create(&registry, user("ann", &many[1..], None)).await.is_ok());
}

/// Gives `bob` some rights everywhere.
async fn give(registry: &Registry, name: &str, rules: Vec<PolicyRule>) {
    let mut role = ClusterRole { rules, ..ClusterRole::default() };
    name.clone_into(&mut role.metadata_mut().name);
    create(registry, role).await.unwrap();
    let subject = Subject { kind: "User".to_owned(), name: "bob".to_owned(), ..Subject::default() };
    let of = RoleRef { kind: "ClusterRole".to_owned(), name: name.to_owned(), ..RoleRef::default() };
    let mut binding =
        ClusterRoleBinding { role_ref: Some(of), subjects: vec![subject], ..ClusterRoleBinding::default() };
    name.clone_into(&mut binding.metadata_mut().name);
    create(registry, binding).await.unwrap();
}

fn rule(verbs: &[&str], group: &str, resources: &[&str], names: &[&str]) -> PolicyRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    PolicyRule {
        verbs: words(verbs),
        api_groups: words(&[group]),
        resources: words(resources),
        resource_names: words(names),
        ..PolicyRule::default()
    }
}

/// Whoever may write Users is none of them yet: that takes the right to act as each.
#[tokio::test]
async fn nobody_makes_a_user_as_whom_it_may_not_act() {
    let House { registry: root, dir: _dir } = house().await;
    let bob = User { name: "bob".to_owned(), groups: vec!["system:authenticated".to_owned()], ..User::default() };
    let bob = root.for_caller(Caller::User(Arc::new(bob)));
    let forbidden = |error: Error, why: &str| {
        assert_eq!(error.reason, Reason::Forbidden, "{error}");
        assert!(error.message.contains(why), "{error}");
    };
    // As an `edit` user: nothing of Users at all.
    forbidden(create(&bob, user("eve", &[], None)).await.unwrap_err(), "cannot create resource \"users\"");
    give(&root, "writes", vec![rule(&["create", "update", "patch"], "kapelle.dev", &["users", "users/token"], &[])])
        .await;
    forbidden(create(&bob, user("eve", &[], None)).await.unwrap_err(), "as whom it may not act");
    let own =
        vec![rule(&["impersonate"], "", &["users"], &["eve"]), rule(&["impersonate"], "", &["groups"], &["devs"])];
    give(&root, "acts", own).await;
    create(&bob, user("eve", &["devs"], None)).await.unwrap();
    assert!(groups(&root, &token(&bob, "eve").await).await.is_ok());
    for (name, of, why) in [
        ("eve", &["devs", "system:masters"][..], "Resources:[\"groups\"], ResourceNames:[\"system:masters\"]"),
        ("eve", &["ops"], "ResourceNames:[\"ops\"]"),
        ("max", &["devs"], "Resources:[\"users\"], ResourceNames:[\"max\"]"),
    ] {
        let made = if name == "eve" {
            update(&bob, user(name, of, None)).await
        } else {
            create(&bob, user(name, of, None)).await
        };
        forbidden(made.unwrap_err(), why);
    }
    // Of somebody who is more than it may be it gets no token, and cannot make it last.
    create(&root, user("chief", &["system:masters"], None)).await.unwrap();
    forbidden(asked(&bob, "chief", TokenRequestSpec::default()).await.unwrap_err(), "as whom it may not act");
    forbidden(update(&bob, user("chief", &["system:masters"], Some(Timestamp(0)))).await.unwrap_err(), "may not act");
    let chief = soon(root.authenticate(&token(&root, "chief").await)).await.unwrap();
    create(&root.for_caller(chief.caller), user("max", &["system:masters"], None)).await.unwrap();
}
