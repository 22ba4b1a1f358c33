//! The kinds of what is only asked and answered: no object of them is kept, so that they have no row in the table of kinds.

use api::{
    Verb,
    kinds::{KindInfo, Source},
};

/// The message of a question about a token.
pub(super) const TOKEN_REVIEW: &str = "kapelle.authentication.v1.TokenReview";

/// What discovery says of questions: they are asked and answered, and no object is kept. Those that are not named here are told of
/// with the rights that they are about.
pub(super) static REVIEWS: [KindInfo; 2] = [
    question("TokenReview", "tokenreviews", "tokenreview", TOKEN_REVIEW),
    question(
        "SelfSubjectReview",
        "selfsubjectreviews",
        "selfsubjectreview",
        "kapelle.authentication.v1.SelfSubjectReview",
    ),
];

const fn question(kind: &'static str, plural: &'static str, singular: &'static str, message: &'static str) -> KindInfo {
    KindInfo {
        kind,
        list_kind: "",
        group: "authentication.k8s.io",
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
