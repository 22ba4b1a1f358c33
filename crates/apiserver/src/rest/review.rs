//! Questions about the asker: who is it, and what may it do?

use registry::Caller;
use serde_json::{Value, json};

use super::path::Review;

/// The answer; `spec` is the question, as far as it is known.
///
/// Whoever is in `system:masters` may do everything. What a node may do depends on its Pods, so the answer for a node is
/// that the request itself will tell.
pub(crate) fn answer(review: Review, spec: Value, caller: &Caller) -> Value {
    let (api_version, kind, status) = match review {
        Review::Access => ("authorization.k8s.io/v1", "SelfSubjectAccessReview", access(caller)),
        Review::Rules => ("authorization.k8s.io/v1", "SelfSubjectRulesReview", rules(caller)),
        Review::Myself => ("authentication.k8s.io/v1", "SelfSubjectReview", myself(caller)),
        Review::MyselfBeta => ("authentication.k8s.io/v1beta1", "SelfSubjectReview", myself(caller)),
    };
    let mut answer = json!({
        "kind": kind,
        "apiVersion": api_version,
        "metadata": { "creationTimestamp": null },
        "status": status,
    });
    match review {
        Review::Access | Review::Rules => answer["spec"] = spec,
        Review::Myself | Review::MyselfBeta => {}
    }
    answer
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
    json!({ "userInfo": { "username": caller.user(), "groups": caller.groups() } })
}
