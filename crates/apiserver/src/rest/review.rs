//! Questions who the asker is, and who shows a token.

use api::{Error, authentication_v1::TokenReview, json::Strictness};
use registry::{Caller, Registry, User};
use serde_json::{Value, json};

use super::{body::Content, questions::TOKEN_REVIEW};

/// Who the asker is, in a version of the question's group.
pub(crate) fn myself(api_version: &str, caller: &Caller) -> Value {
    answered(api_version, "SelfSubjectReview", json!({ "userInfo": user_info(&caller.described()) }))
}

/// Whose the token is that was sent.
pub(crate) async fn token(content: &Content, registry: &Registry) -> Result<Value, Error> {
    let (sent, _) = content.message::<TokenReview>(TOKEN_REVIEW, Strictness::Warn)?;
    let spec = sent.spec.unwrap_or_default();
    let status = match registry.review_token(&spec.token, &spec.audiences).await?.whose {
        Ok((user, audiences)) => json!({ "authenticated": true, "user": user_info(&user), "audiences": audiences }),
        Err(why) => json!({ "user": {}, "error": why }),
    };
    let mut answer = answered("authentication.k8s.io/v1", "TokenReview", status);
    answer["spec"] = json!({ "token": spec.token, "audiences": spec.audiences });
    Ok(answer)
}

fn answered(api_version: &str, kind: &str, status: Value) -> Value {
    json!({
        "kind": kind,
        "apiVersion": api_version,
        "metadata": { "creationTimestamp": null },
        "status": status,
    })
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
