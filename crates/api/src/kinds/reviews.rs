//! The kinds of what is only asked and answered: no object of them is kept, so that they have no row in the table of kinds.

pub mod selectors;

use crate::object::{KindInfo, Served, Source, Verb};

/// The groups of questions about who somebody is, and about what somebody may do.
pub const AUTHENTICATION: &str = "authentication.k8s.io";
/// See [`AUTHENTICATION`].
pub const AUTHORIZATION: &str = "authorization.k8s.io";

/// Every question, as discovery lists it. All are asked by creating one, and answered with it.
pub static REVIEWS: [KindInfo; 6] = [
    question(("TokenReview", "tokenreviews", "tokenreview"), AUTHENTICATION, "kapelle.authentication.v1.TokenReview"),
    question(
        ("SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview"),
        AUTHENTICATION,
        "kapelle.authentication.v1.SelfSubjectReview",
    ),
    KindInfo {
        namespaced: true,
        ..question(
            ("LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview"),
            AUTHORIZATION,
            "kapelle.authorization.v1.LocalSubjectAccessReview",
        )
    },
    question(
        ("SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview"),
        AUTHORIZATION,
        "kapelle.authorization.v1.SelfSubjectAccessReview",
    ),
    question(
        ("SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview"),
        AUTHORIZATION,
        "kapelle.authorization.v1.SelfSubjectRulesReview",
    ),
    question(
        ("SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview"),
        AUTHORIZATION,
        "kapelle.authorization.v1.SubjectAccessReview",
    ),
];

const fn question(
    (kind, plural, singular): (&'static str, &'static str, &'static str),
    group: &'static str,
    message: &'static str,
) -> KindInfo {
    KindInfo {
        kind,
        list_kind: "",
        group,
        version: "v1",
        plural,
        singular,
        short_names: &[],
        namespaced: false,
        categories: &[],
        subresources: &[],
        message,
        verbs: &[Verb::Create],
        source: Source::State,
        deprecated: None,
        code: 0,
    }
}

/// All that is served without a definition: objects and questions.
pub fn served() -> impl Iterator<Item = &'static KindInfo> {
    Served::all().map(Served::info).chain(&REVIEWS)
}
