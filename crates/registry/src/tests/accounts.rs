//! Tokens of ServiceAccounts: who gets them, whose they are, and when they count no more.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use api::{
    DeleteOptions, Error, Key, Kind, Object, ReadAt, Reason, Timestamp, Write,
    authentication_v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core_v1::{self, Secret},
    kinds::Resource as _,
    well_known::{ACCOUNT_NAME_ANNOTATION, ACCOUNT_TOKEN_TYPE, ACCOUNT_UID_ANNOTATION},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::StreamExt as _;
use rpc::identity::Authority;
use serde_json::Value;

use super::{House, opened, options, soon};
use crate::{Caller, ISSUER, Options, Registry, WriteOptions};

const HOUR_S: i64 = 3600;

/// A house whose masters have keys.
async fn house() -> House {
    let house = House::new().await;
    house.registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    house
}

fn key(kind: Kind, name: &str) -> Key {
    Key::namespaced(kind, "default", name)
}

fn account(name: &str) -> Object {
    let mut account = core_v1::ServiceAccount::default();
    (account.metadata_mut().name, account.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    account.into()
}

fn secret(name: &str) -> Object {
    let mut secret = Secret::default();
    (secret.metadata_mut().name, secret.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    secret.into()
}

fn pod(name: &str, account: &str) -> Object {
    let container = core_v1::Container { name: "c".to_owned(), image: "hello:1".to_owned(), ..Default::default() };
    let spec = core_v1::PodSpec {
        service_account_name: account.to_owned(),
        containers: vec![container],
        ..core_v1::PodSpec::default()
    };
    let mut pod = core_v1::Pod { spec: Some(spec), ..core_v1::Pod::default() };
    (pod.metadata_mut().name, pod.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    pod.into()
}

async fn create(registry: &Registry, object: Object) -> String {
    let written = soon(registry.submit(Write::Create(object), WriteOptions::default())).await.unwrap();
    written.object.object().metadata().unwrap().uid.clone()
}

async fn delete(registry: &Registry, key: Key) {
    let options = DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() };
    soon(registry.submit(Write::Delete(key, options), WriteOptions::default())).await.unwrap();
}

fn bound(kind: &str, name: &str, uid: &str) -> TokenRequestSpec {
    let reference = BoundObjectReference {
        kind: kind.to_owned(),
        api_version: "v1".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    };
    TokenRequestSpec { bound_object_ref: Some(reference), ..TokenRequestSpec::default() }
}

async fn asked(registry: &Registry, account: &str, spec: TokenRequestSpec) -> Result<TokenRequest, Error> {
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    soon(registry.create_token(&key(Kind::ServiceAccount, account), request)).await.map(|(answered, _)| answered)
}

async fn token(registry: &Registry, account: &str, spec: TokenRequestSpec) -> String {
    asked(registry, account, spec).await.unwrap().status.unwrap().token
}

/// Whose a token is, or why it is nobody's.
async fn whose(registry: &Registry, token: &str) -> Result<String, String> {
    match soon(registry.authenticate(token)).await {
        Ok(shown) => Ok(shown.caller.user()),
        Err(error) => {
            assert_eq!(error.reason, Reason::Unauthorized, "{error}");
            assert!(token.is_empty() || !error.message.contains(token), "no error repeats a token");
            Err(error.message)
        }
    }
}

async fn refused(registry: &Registry, token: &str, why: &str) {
    let message = whose(registry, token).await.unwrap_err();
    assert!(message.contains(why), "{message}");
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_in_kubernetes_words() {
    let House { registry, dir: _dir } = house().await;
    let uid = create(&registry, account("till")).await;
    let pod_uid = create(&registry, pod("p", "till")).await;
    let answered = asked(&registry, "till", bound("Pod", "p", &pod_uid)).await.unwrap();
    let (spec, status) = (answered.spec.unwrap(), answered.status.unwrap());
    assert_eq!((spec.audiences, spec.expiration_seconds), (vec![ISSUER.to_owned()], Some(HOUR_S)));
    let said = claims(&status.token);
    assert_eq!(said["sub"], "system:serviceaccount:default:till");
    assert_eq!(said["kubernetes.io"]["serviceaccount"]["uid"], uid.as_str());
    assert_eq!(said["kubernetes.io"]["pod"]["uid"], pod_uid.as_str());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), HOUR_S);
    assert_eq!(said["exp"].as_i64(), status.expiration_timestamp.map(|time| time.seconds));

    let shown = registry.authenticate(&status.token).await.unwrap();
    let Caller::User(user) = &*shown.caller else { panic!("{shown:?}") };
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:default:till", uid.as_str()));
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert!(registry.recognise(&status.token).is_some(), "it is known without waiting");
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_in_kubernetes_words() {
    let House { registry, dir: _dir } = house().await;
    create(&registry, account("till")).await;
    create(&registry, pod("p", "till")).await;
    create(&registry, pod("q", "default")).await;
    let lasting = |seconds| TokenRequestSpec { expiration_seconds: Some(seconds), ..TokenRequestSpec::default() };
    let long = TokenRequestSpec { audiences: vec!["a".repeat(1 << 14)], ..TokenRequestSpec::default() };
    for (spec, reason, why) in [
        (
            lasting(0),
            Reason::Invalid,
            "spec.expirationSeconds: Invalid value: 0: may not specify a duration less than 10 min",
        ),
        (lasting(599), Reason::Invalid, "less than 10 minutes"),
        (lasting(i64::MIN), Reason::Invalid, "less than 10 minutes"),
        (lasting((1 << 32) + 1), Reason::Invalid, "larger than 2^32 seconds"),
        (long, Reason::Invalid, "spec.audiences: Too long"),
        (bound("Pod", "q", ""), Reason::BadRequest, "pod running with different serviceaccount name"),
        (bound("Pod", "none", ""), Reason::NotFound, "pods \"none\" not found"),
        (bound("Pod", "p", "another"), Reason::Conflict, "does not match the UID in record"),
        (bound("Secret", "none", ""), Reason::NotFound, "secrets \"none\" not found"),
        (bound("Node", "none", ""), Reason::NotFound, "nodes \"none\" not found"),
        (bound("ConfigMap", "p", ""), Reason::BadRequest, "cannot bind token to object of type v1, Kind=ConfigMap"),
    ] {
        let error = asked(&registry, "till", spec).await.unwrap_err();
        assert_eq!(error.reason, reason, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!(asked(&registry, "none", TokenRequestSpec::default()).await.unwrap_err().reason, Reason::NotFound);
    let century = TokenRequest { spec: Some(lasting(1 << 32)), ..TokenRequest::default() };
    let till = key(Kind::ServiceAccount, "till");
    let (given, warnings) = soon(registry.create_token(&till, century)).await.unwrap();
    assert_eq!(given.spec.unwrap().expiration_seconds, Some(365 * 24 * HOUR_S));
    assert_eq!(warnings, ["requested expiration of 4294967296 seconds shortened to 31536000 seconds"]);
    let user = registry.authenticate(&token(&registry, "till", lasting(600)).await).await.unwrap();
    let theirs = registry.for_caller(user.caller);
    let asked = asked(&theirs, "till", TokenRequestSpec::default()).await.unwrap_err();
    assert_eq!(asked.reason, Reason::Forbidden, "an account gives nobody tokens");
    assert_eq!(theirs.review_token("a.b.c", &[]).await.unwrap_err().reason, Reason::Forbidden);
}

#[tokio::test]
async fn a_token_ends_with_what_it_speaks_of() {
    let House { registry, dir: _dir } = house().await;
    for kind in [Kind::Pod, Kind::Secret, Kind::Node, Kind::ServiceAccount] {
        let key = |kind, name: &str| if kind == Kind::Node { Key::cluster(kind, name) } else { key(kind, name) };
        let make = |kind| match kind {
            Kind::Pod => pod("thing", "till"),
            Kind::Secret => secret("thing"),
            Kind::Node => {
                let mut node = core_v1::Node::default();
                "thing".clone_into(&mut node.metadata_mut().name);
                node.into()
            }
            _ => account("till"),
        };
        let name = if kind == Kind::ServiceAccount { "till" } else { "thing" };
        if kind != Kind::ServiceAccount {
            create(&registry, account("till")).await;
        }
        create(&registry, make(kind)).await;
        let spec =
            if kind == Kind::ServiceAccount { TokenRequestSpec::default() } else { bound(&kind.to_string(), name, "") };
        let token = token(&registry, "till", spec).await;
        assert!(whose(&registry, &token).await.is_ok());
        let shown = registry.authenticate(&token).await.unwrap();
        assert!(registry.counts_still(&shown));
        let before = shown.clone();
        let (watcher, open) = (registry.clone(), registry.clone());
        tokio::spawn(async move { watcher.watch_presence().await });
        let ended = tokio::spawn(async move { open.until_revoked(&shown).await });
        delete(&registry, key(kind, name)).await;
        assert!(!registry.counts_still(&before), "{kind}");
        refused(&registry, &token, "was deleted").await;
        soon(ended).await.unwrap();
        create(&registry, make(kind)).await;
        refused(&registry, &token, "made anew").await;
        assert!(!registry.counts_still(&before), "{kind}");
        delete(&registry, key(kind, name)).await;
        if kind != Kind::ServiceAccount {
            delete(&registry, key(Kind::ServiceAccount, "till")).await;
        }
    }
}

static LATER_MS: AtomicI64 = AtomicI64::new(0);

/// Only one test has this clock.
#[tokio::test]
async fn keys_are_rotated_and_tokens_outlive_that_and_end_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let now = || Timestamp(1_000_000_000_000 + LATER_MS.load(Ordering::Relaxed));
    let registry = opened(dir.path(), Options { now, ..options() }).await;
    registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    create(&registry, account("till")).await;
    let pass = |time: Duration| {
        LATER_MS.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    };
    let kids = || {
        let keys = registry.json_web_keys().unwrap();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let year = TokenRequestSpec { expiration_seconds: Some(365 * 24 * HOUR_S), ..TokenRequestSpec::default() };
    let (long, short) =
        (token(&registry, "till", year).await, token(&registry, "till", TokenRequestSpec::default()).await);
    let first = kids();
    assert_eq!(first.len(), 1);
    soon(registry.refresh_keys()).await.unwrap();
    assert_eq!(kids(), first, "it is not due");
    let shown = registry.authenticate(&short).await.unwrap();
    pass(Duration::from_secs(3599));
    assert!(registry.counts_still(&shown));
    assert!(whose(&registry, &short).await.is_ok());
    pass(Duration::from_secs(1));
    assert!(!registry.counts_still(&shown));
    refused(&registry, &short, "expired").await;

    pass(Duration::from_secs(30 * 24 * 3600));
    soon(registry.refresh_keys()).await.unwrap();
    let second = kids();
    assert_eq!((second.len(), &second[1]), (2, &first[0]), "the newest first");
    assert!(whose(&registry, &long).await.is_ok(), "the key of before is still known");
    let new = token(&registry, "till", TokenRequestSpec::default()).await;
    let header = BASE64_URL_SAFE_NO_PAD.decode(new.split('.').next().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&header).unwrap()["kid"], second[0].as_str());
    pass(Duration::from_secs(335 * 24 * 3600));
    refused(&registry, &long, "expired").await;
}

/// Nobody reads the keys, not even who may read everything; and who deletes them ends all tokens.
#[tokio::test]
async fn keys_are_sealed_and_who_deletes_them_ends_all_tokens() {
    let House { registry, dir: _dir } = house().await;
    create(&registry, account("till")).await;
    let before = token(&registry, "till", TokenRequestSpec::default()).await;
    let place = Key::namespaced(Kind::Secret, "kube-system", "service-account-keys");
    let found = registry.get(&place, ReadAt::Latest).await.unwrap().object();
    let sealed = found.get::<Secret>().unwrap().data["sealed"].clone();
    for word in ["signing", "retired", "kid", "MIG"] {
        assert!(!sealed.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word}");
    }
    let shown = registry.authenticate(&before).await.unwrap();
    assert!(registry.counts_still(&shown));
    delete(&registry, place.clone()).await;
    assert!(!registry.counts_still(&shown));
    refused(&registry, &before, "no keys").await;
    let after = token(&registry, "till", TokenRequestSpec::default()).await;
    assert!(whose(&registry, &after).await.is_ok());
    refused(&registry, &before, "none of this cluster's keys").await;

    // Somebody writes something else there: no key of theirs is believed.
    let mut other = found.get::<Secret>().unwrap().clone();
    other.data.insert("sealed".to_owned(), "nonsense".into());
    other.metadata_mut().resource_version.clear();
    other.metadata_mut().uid.clear();
    let write = Write::Update(other.into(), api::Subresource::None);
    soon(registry.submit(write, WriteOptions::default())).await.unwrap();
    assert!(whose(&registry, &after).await.is_err());
    soon(registry.refresh_keys()).await.unwrap();
    let new = token(&registry, "till", TokenRequestSpec::default()).await;
    assert!(whose(&registry, &new).await.is_ok());
}

#[tokio::test]
async fn a_review_says_whose_a_token_is_and_for_whom() {
    let House { registry, dir: _dir } = house().await;
    create(&registry, account("till")).await;
    let audiences = |of: &[&str]| of.iter().copied().map(str::to_owned).collect::<Vec<_>>();
    let spec = TokenRequestSpec { audiences: audiences(&["vault", "bank"]), ..TokenRequestSpec::default() };
    let token = token(&registry, "till", spec).await;
    refused(&registry, &token, "another audience").await;
    let review = |token: &str, of: &[&str]| {
        let (registry, token, of) = (registry.clone(), token.to_owned(), audiences(of));
        async move { soon(registry.review_token(&token, &of)).await.unwrap().whose }
    };
    let (user, of) = review(&token, &["bank", "shop"]).await.unwrap();
    assert_eq!((user.name.as_str(), of), ("system:serviceaccount:default:till", audiences(&["bank"])));
    assert!(review(&token, &["shop"]).await.unwrap_err().contains("another audience"));
    assert!(review(&token, &[]).await.unwrap_err().contains("another audience"), "masters are none of them");
    assert!(review("kapelle", &[]).await.unwrap_err().contains("does not count"));
    assert_eq!(registry.review_token("", &[]).await.unwrap_err().reason, Reason::BadRequest);
}

/// A Secret that asks for the token of an account.
fn asking(name: &str, account: &str) -> Object {
    let mut secret = secret(name).get::<Secret>().unwrap().clone();
    secret.r#type = ACCOUNT_TOKEN_TYPE.to_owned();
    if !account.is_empty() {
        secret.metadata_mut().annotations.insert(ACCOUNT_NAME_ANNOTATION.to_owned(), account.to_owned());
    }
    secret.into()
}

/// Waits until something holds of a Secret, which may be gone.
async fn until<T>(registry: &Registry, name: &str, holds: impl Fn(Option<&Secret>) -> Option<T>) -> T {
    let mut feed = Box::pin(registry.feed(&[Kind::Secret]));
    soon(async {
        loop {
            let found = registry.get(&key(Kind::Secret, name), ReadAt::Latest).await.ok().map(|found| found.object());
            if let Some(held) = holds(found.as_ref().and_then(|object| object.get())) {
                return held;
            }
            feed.next().await.unwrap();
        }
    })
    .await
}

/// The Secret as soon as it has a token.
async fn filled(registry: &Registry, name: &str) -> Secret {
    until(registry, name, |secret| secret.filter(|secret| secret.data.contains_key("token")).cloned()).await
}

async fn gone(registry: &Registry, name: &str) {
    until(registry, name, |secret| secret.is_none().then_some(())).await;
}

#[tokio::test]
async fn a_secret_that_asks_for_it_holds_a_token_without_end() {
    let House { registry, dir: _dir } = house().await;
    let keeper = registry.clone();
    tokio::spawn(async move { keeper.keep_account_secrets().await });
    let nameless =
        soon(registry.submit(Write::Create(asking("nameless", "")), WriteOptions::default())).await.unwrap_err();
    assert!(
        nameless.message.contains("metadata.annotations[kubernetes.io/service-account.name]: Required"),
        "{nameless}"
    );
    let uid = create(&registry, account("till")).await;
    create(&registry, asking("till-token", "till")).await;
    let made = filled(&registry, "till-token").await;
    assert_eq!(made.metadata.as_ref().unwrap().annotations[ACCOUNT_UID_ANNOTATION], uid);
    assert!(made.data["ca.crt"].starts_with(b"-----BEGIN CERTIFICATE-----") && made.data["namespace"] == "default");
    let token = String::from_utf8(made.data["token"].to_vec()).unwrap();
    assert_eq!(claims(&token)["iss"], "kubernetes/serviceaccount");
    assert_eq!(whose(&registry, &token).await.unwrap(), "system:serviceaccount:default:till");

    // It counts as long as it stands there, and is made anew where it does not.
    let mut other = made.clone();
    other.data.remove("token");
    soon(registry.submit(Write::Update(other.into(), api::Subresource::None), WriteOptions::default())).await.unwrap();
    let again = filled(&registry, "till-token").await;
    let second = String::from_utf8(again.data["token"].to_vec()).unwrap();
    assert!(second != token && whose(&registry, &second).await.is_ok());
    refused(&registry, &token, "its Secret \"till-token\" was deleted").await;
    delete(&registry, key(Kind::Secret, "till-token")).await;
    refused(&registry, &second, "was deleted").await;

    // It goes with its account, and one without an account does not stay.
    create(&registry, asking("more", "till")).await;
    let third = String::from_utf8(filled(&registry, "more").await.data["token"].to_vec()).unwrap();
    delete(&registry, key(Kind::ServiceAccount, "till")).await;
    refused(&registry, &third, "its ServiceAccount \"till\" was deleted").await;
    gone(&registry, "more").await;
    create(&registry, asking("nobodys", "none")).await;
    gone(&registry, "nobodys").await;
}

#[tokio::test]
async fn another_cluster_believes_none_of_them() {
    let (ours, theirs) = (house().await, house().await);
    create(&ours.registry, account("till")).await;
    create(&theirs.registry, account("till")).await;
    let foreign = token(&theirs.registry, "till", TokenRequestSpec::default()).await;
    token(&ours.registry, "till", TokenRequestSpec::default()).await;
    refused(&ours.registry, &foreign, "none of this cluster's keys").await;
    refused(&ours.registry, "", "base64url").await;
}

#[tokio::test]
async fn a_node_asks_for_tokens_of_its_own_pods_alone() {
    let House { registry, dir: _dir } = house().await;
    create(&registry, account("till")).await;
    let on = |name: &str, node: &str| {
        let mut pod = pod(name, "till").get::<core_v1::Pod>().unwrap().clone();
        let token = core_v1::ServiceAccountTokenProjection {
            audience: "vault".to_owned(),
            path: "token".to_owned(),
            ..Default::default()
        };
        let source = core_v1::VolumeProjection { service_account_token: Some(token.into()), ..Default::default() };
        let projected = core_v1::ProjectedVolumeSource { sources: vec![source], ..Default::default() };
        let source = core_v1::VolumeSource { projected: Some(Box::new(projected)), ..Default::default() };
        let spec = pod.spec.get_or_insert_default();
        spec.automount_service_account_token = Some(false);
        spec.volumes.push(core_v1::Volume { name: "t".to_owned(), volume_source: Some(source) });
        node.clone_into(&mut spec.node_name);
        Object::from(pod)
    };
    let (mine, theirs) = (create(&registry, on("mine", "w1")).await, create(&registry, on("theirs", "w2")).await);
    let node = registry.for_caller(Caller::Node { name: "w1".to_owned(), uid: "u".to_owned(), from: None });
    let vault = |spec| TokenRequestSpec { audiences: vec!["vault".to_owned()], ..spec };
    for (spec, why) in [
        (TokenRequestSpec::default(), "not bound to a pod"),
        (bound("Secret", "s", "u"), "not bound to a pod"),
        (bound("Pod", "mine", ""), "without a uid"),
        (vault(bound("Pod", "theirs", &theirs)), "bound to a pod scheduled on a different node"),
        (vault(bound("Pod", "none", &theirs)), "bound to a pod scheduled on a different node"),
        (TokenRequestSpec { audiences: vec!["bank".to_owned()], ..bound("Pod", "mine", &mine) }, "audience \"bank\""),
    ] {
        let error = asked(&node, "till", spec).await.unwrap_err();
        assert_eq!(error.reason, Reason::Forbidden, "{error}");
        assert!(
            error.message.contains(&format!("node requested token {why}")) || error.message.contains(why),
            "{error}"
        );
    }
    let own = asked(&node, "till", bound("Pod", "mine", &mine)).await.unwrap_err();
    assert!(own.message.contains("no volume of the pod names"), "masters are another audience: {own}");
    let token = token(&node, "till", vault(bound("Pod", "mine", &mine))).await;
    assert_eq!(claims(&token)["aud"], serde_json::json!(["vault"]));
    assert!(
        asked(&node, "default", vault(bound("Pod", "mine", &mine))).await.is_err(),
        "the Pod runs as another account"
    );
}
