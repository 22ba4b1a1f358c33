//! Questions about the asker. There is no authentication yet: whoever reaches the socket may do everything, and that is
//! what these answers say.

use serde_json::{Value, json};

use super::path::Review;

/// Why everything is allowed.
const REASON: &str = "this server authenticates nobody: whoever reaches it may do everything";

/// The answer; `spec` is the question, as far as it is known.
pub(crate) fn answer(review: Review, spec: Value) -> Value {
    let (group, kind, status) = match review {
        Review::Access => ("authorization", "SelfSubjectAccessReview", json!({ "allowed": true, "reason": REASON })),
        Review::Rules => ("authorization", "SelfSubjectRulesReview", rules()),
        Review::Myself => ("authentication", "SelfSubjectReview", json!({ "userInfo": myself() })),
    };
    let mut answer = json!({
        "kind": kind,
        "apiVersion": format!("{group}.k8s.io/v1"),
        "metadata": { "creationTimestamp": null },
        "status": status,
    });
    if review != Review::Myself {
        answer["spec"] = spec;
    }
    answer
}

fn rules() -> Value {
    json!({
        "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        "incomplete": false,
    })
}

fn myself() -> Value {
    json!({ "username": "system:admin", "groups": ["system:masters", "system:authenticated"] })
}
