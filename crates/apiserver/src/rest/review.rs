//! Questions about the asker, and about who shows a token: who is it, and what may it do?

use std::collections::BTreeMap;

use api::{Error, authentication_v1::TokenReview, json::Strictness};
use registry::{Caller, Registry, Reviewed, User};
use serde_json::{Value, json};

use super::{body::Content, path::Review, questions::TOKEN_REVIEW};

/// The answer to what was sent.
///
/// Whoever is in `system:masters` may do everything. What a node may do depends on its Pods, so the answer for a node is
/// that the request itself will tell.
pub(crate) async fn answer(review: Review, content: &Content, registry: &Registry) -> Result<Value, Error> {
    let caller = registry.caller();
    let sent = || content.value().unwrap_or_default();
    let spec = || sent().get("spec").cloned().unwrap_or_else(|| json!({}));
    Ok(match review {
        Review::Access => answered("authorization.k8s.io/v1", "SelfSubjectAccessReview", Some(spec()), access(caller)),
        Review::Rules => answered("authorization.k8s.io/v1", "SelfSubjectRulesReview", Some(spec()), rules(caller)),
        Review::Myself => answered("authentication.k8s.io/v1", "SelfSubjectReview", None, myself(caller)),
        Review::MyselfBeta => answered("authentication.k8s.io/v1beta1", "SelfSubjectReview", None, myself(caller)),
        Review::Token => {
            let (sent, _) = content.message::<TokenReview>(TOKEN_REVIEW, Strictness::Warn)?;
            let spec = sent.spec.unwrap_or_default();
            let status = token(&registry.review_token(&spec.token, &spec.audiences).await?);
            let spec = json!({ "token": spec.token, "audiences": spec.audiences });
            answered("authentication.k8s.io/v1", "TokenReview", Some(spec), status)
        }
    })
}

fn answered(api_version: &str, kind: &str, spec: Option<Value>, status: Value) -> Value {
    let mut answer = json!({
        "kind": kind,
        "apiVersion": api_version,
        "metadata": { "creationTimestamp": null },
        "status": status,
    });
    if let Some(spec) = spec {
        answer["spec"] = spec;
    }
    answer
}

fn token(reviewed: &Reviewed) -> Value {
    match &reviewed.whose {
        Ok((user, audiences)) => {
            json!({ "authenticated": true, "user": user_info(user), "audiences": audiences })
        }
        Err(why) => json!({ "user": {}, "error": why }),
    }
}

/// A user as Kubernetes' clients read it; what is empty is left out.
fn user_info(User { name, uid, groups, extra }: &User) -> Value {
    let mut info = json!({ "username": name, "groups": groups });
    if !uid.is_empty() {
        info["uid"] = uid.as_str().into();
    }
    if !extra.is_empty() {
        info["extra"] = json!(extra);
    }
    info
}

/// A caller as a user.
pub(crate) fn user(caller: &Caller) -> User {
    match caller {
        Caller::User(user) => User::clone(user),
        Caller::Cluster
        | Caller::Master { .. }
        | Caller::Newcomer { .. }
        | Caller::Admin { .. }
        | Caller::Node { .. }
        | Caller::Nobody => User {
            name: caller.user(),
            uid: String::new(),
            groups: caller.groups().into_iter().map(str::to_owned).collect(),
            extra: BTreeMap::new(),
        },
    }
}

fn access(caller: &Caller) -> Value {
    if caller.may_everything() {
        json!({ "allowed": true, "reason": "system:masters may do everything" })
    } else {
        json!({ "allowed": false, "reason": "what a node may do depends on its Pods; ask for the object itself" })
    }
}

fn rules(caller: &Caller) -> Value {
    let all = caller.may_everything();
    let (resources, urls) = if all {
        (
            json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]),
            json!([{ "verbs": ["*"], "nonResourceURLs": ["*"] }]),
        )
    } else {
        (json!([]), json!([]))
    };
    json!({ "resourceRules": resources, "nonResourceRules": urls, "incomplete": !all })
}

fn myself(caller: &Caller) -> Value {
    json!({ "userInfo": user_info(&user(caller)) })
}
