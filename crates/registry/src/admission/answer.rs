//! What a webhook answers: an AdmissionReview, held against what Kubernetes demands of one.

use std::collections::BTreeMap;

use api::{
    Error, Reason,
    error::{Aside, Denial},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::panel::ReviewVersion;

/// What a webhook says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Why it refuses, if it does.
    pub(super) denial: Option<Denied>,
    /// What it wants to change: operations of RFC 6902.
    pub(super) patch: Option<Value>,
    pub(super) warnings: Vec<String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The `Status` with which a webhook refuses.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Denied {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    allowed: Option<bool>,
    #[serde(default)]
    status: Option<Denied>,
    #[serde(default)]
    patch: Option<String>,
    #[serde(default)]
    patch_type: Option<String>,
    #[serde(default)]
    audit_annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// Who was asked what, so far as the answer must fit it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) uid: &'a str,
    pub(super) version: ReviewVersion,
    pub(super) mutating: bool,
}

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, in Kubernetes' words.
pub(super) fn read(bytes: &[u8], asked: Asked<'_>) -> Result<Answer, String> {
    let review: Review = serde_json::from_slice(bytes)
        .map_err(|error| format!("failed to call webhook: couldn't get version/kind; json parse error: {error}"))?;
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let Some(response) = review.response else { return Err(invalid("webhook response was absent".to_owned())) };
    let uid = response.uid.as_deref().unwrap_or_default();
    if asked.version == ReviewVersion::V1 {
        if uid != asked.uid {
            return Err(invalid(format!("expected response.uid={:?}, got {uid:?}", asked.uid)));
        }
        let (version, kind) = (review.api_version.unwrap_or_default(), review.kind.unwrap_or_default());
        if (version.as_str(), kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
            let why = "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got";
            return Err(invalid(format!("{why} {version}, Kind={kind}")));
        }
        checked(&response, asked.mutating).map_err(|why| invalid(why.to_owned()))?;
    }
    let patch = response.patch.filter(|patch| asked.mutating && !patch.is_empty());
    let patch = patch.map(|patch| decoded(&patch)).transpose()?;
    if patch.is_some() && response.patch_type.as_deref().is_some_and(|of| of != "JSONPatch") {
        return Err(format!("unsupported patch type {:?}", response.patch_type.unwrap_or_default()));
    }
    let denial = (!response.allowed.unwrap_or_default()).then(|| response.status.unwrap_or_default());
    Ok(Answer {
        denial,
        patch: patch.filter(|patch| patch.as_array().is_none_or(|operations| !operations.is_empty())),
        warnings: response.warnings.unwrap_or_default(),
        annotations: response.audit_annotations.unwrap_or_default(),
    })
}

/// A patch and its type come together, or neither.
fn checked(response: &Response, mutating: bool) -> Result<(), &'static str> {
    let has_patch = response.patch.as_ref().is_some_and(|patch| !patch.is_empty());
    match (mutating, has_patch, &response.patch_type) {
        (true, true, None) => Err("webhook returned response.patch but not response.patchType"),
        (true, false, Some(_)) => Err("webhook returned response.patchType but not response.patch"),
        (true, true, Some(of)) if of.is_empty() => Err("webhook returned invalid response.patchType of \"\""),
        (false, true, _) => Err("validating webhook may not return response.patch"),
        (false, false, Some(_)) => Err("validating webhook may not return response.patchType"),
        (true, true, Some(_)) | (_, false, None) => Ok(()),
    }
}

fn decoded(patch: &str) -> Result<Value, String> {
    let undecodable = |why: String| format!("received undecodable patch in webhook response: {why}");
    let bytes = STANDARD.decode(patch).map_err(|error| undecodable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| undecodable(error.to_string()))
}

impl Denied {
    /// The refusal as the asker is told it.
    pub(super) fn told(&self, webhook: &str) -> Error {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let by = format!("admission webhook {webhook:?} denied the request");
        let message = match text(&self.message).or_else(|| text(&self.reason)) {
            Some(why) => format!("{by}: {why}"),
            None => format!("{by} without explanation"),
        };
        let code = self.code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
        let code = code.unwrap_or(400);
        let denial = Denial { code, reason: self.reason.clone().unwrap_or_default() };
        let aside = Aside { denial: Some(denial), ..Aside::default() };
        Error { aside: Some(Box::new(aside)), retry_after_s: None, ..Error::new(nearest(code), message) }
    }
}

/// The reason of ours that asks the same of a caller as somebody else's code.
fn nearest(code: u16) -> Reason {
    match code {
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        409 => Reason::Conflict,
        413 => Reason::RequestEntityTooLarge,
        422 => Reason::Invalid,
        429 => Reason::TooManyRequests,
        503 => Reason::ServiceUnavailable,
        504 => Reason::Timeout,
        500.. => Reason::InternalError,
        _ => Reason::BadRequest,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn read_as(mutating: bool, review: &Value) -> Result<Answer, String> {
        read(review.to_string().as_bytes(), Asked { uid: "u", version: ReviewVersion::V1, mutating })
    }

    fn review(response: Value) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }

    #[test]
    fn nonsense_is_told_in_kubernetes_words() {
        let patch = STANDARD.encode("[]");
        for (mutating, review, why) in [
            (true, json!({}), "received invalid webhook response: webhook response was absent"),
            (true, review(json!({})), "received invalid webhook response: expected response.uid=\"u\", got \"\""),
            (
                true,
                json!({"response": {"uid": "u"}}),
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, \
                 got , Kind=",
            ),
            (
                true,
                review(json!({"uid": "u", "patch": patch})),
                "received invalid webhook response: webhook returned response.patch but not response.patchType",
            ),
            (
                true,
                review(json!({"uid": "u", "patchType": "JSONPatch"})),
                "received invalid webhook response: webhook returned response.patchType but not response.patch",
            ),
            (
                false,
                review(json!({"uid": "u", "patch": patch, "patchType": "JSONPatch"})),
                "received invalid webhook response: validating webhook may not return response.patch",
            ),
            (
                true,
                review(json!({"uid": "u", "patch": patch, "patchType": "Merge"})),
                "unsupported patch type \"Merge\"",
            ),
            (
                true,
                review(json!({"uid": "u", "patch": "%", "patchType": "JSONPatch"})),
                "received undecodable patch in webhook response: Invalid symbol 37, offset 0.",
            ),
        ] {
            assert_eq!(read_as(mutating, &review).map(drop).unwrap_err(), why);
        }
        let why =
            read(b"<html>", Asked { uid: "u", version: ReviewVersion::V1, mutating: false }).map(drop).unwrap_err();
        assert!(why.starts_with("failed to call webhook: couldn't get version/kind; json parse error: "), "{why}");
    }

    #[test]
    fn an_older_review_is_read_leniently() {
        let review = json!({"response": {"allowed": true, "patch": STANDARD.encode("[{}]")}});
        let asked = Asked { uid: "u", version: ReviewVersion::V1Beta1, mutating: true };
        let answer = read(review.to_string().as_bytes(), asked).unwrap();
        assert_eq!((answer.patch, answer.denial.is_none()), (Some(json!([{}])), true));
    }

    #[test]
    fn a_refusal_keeps_its_words() {
        let denied = |status: Value| {
            let review = review(json!({"uid": "u", "allowed": false, "status": status}));
            let error = read_as(false, &review).unwrap().denial.unwrap().told("a.b.c");
            (error.code(), error.reason, error.message)
        };
        let by = "admission webhook \"a.b.c\" denied the request";
        assert_eq!(denied(json!({"code": 403, "message": "no"})), (403, Reason::Forbidden, format!("{by}: no")));
        assert_eq!(
            denied(json!({"reason": "Teapot", "code": 418})),
            (418, Reason::BadRequest, format!("{by}: Teapot"))
        );
        assert_eq!(denied(json!({"code": 200})), (400, Reason::BadRequest, format!("{by} without explanation")));
        assert_eq!(denied(Value::Null).0, 400);
    }
}
