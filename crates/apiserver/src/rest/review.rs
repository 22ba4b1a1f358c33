//! Questions that are answered and not kept: who the asker is, who shows a token, and what somebody may do.

use api::{
    Error,
    authentication_v1::{
        ExtraValue, SelfSubjectReview, SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo,
    },
    authorization_v1::{
        LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
    },
    json::Strictness,
    kinds::KindInfo,
    reviews::{AUTHENTICATION, REVIEWS},
};
use axum::body::Body;
use http::{Method, Response, StatusCode};
use prost::Message;
use registry::{Registry, Reviewed, User};
use serde_json::{Value, json};

use super::{Asked, Rest, accept, answer, body, body::Content, only, path::Review, render};
use crate::rights;

/// A question and what is to be told beside its answer.
type Answered = Result<(Value, Vec<String>), Error>;

impl Rest {
    /// Answers a question with itself, and what it asked for. Nothing is kept, so that it makes no difference if it is only tried.
    pub(super) async fn review(&self, review: Review, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        // Everybody may ask about itself.
        match &review {
            Review::Token => self.registry.may_review_tokens().await?,
            Review::OfOthers(namespace) => rights::may_ask(&self.registry, namespace).await?,
            Review::Access | Review::Rules | Review::Myself | Review::MyselfBeta => {}
        }
        only(&asked.method, &Method::POST)?;
        let encoding = accept::plain(&asked.headers)?;
        let strictness = asked.query.write()?.strictness;
        let question = Question { content: body::read(&asked.headers, body).await?, strictness };
        let (answered, warnings) = question.answered(review, &self.registry).await?;
        let mut response = answer::value(StatusCode::CREATED, encoding, &answered);
        answer::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// A question as it was sent, and what is to become of fields that nobody knows.
struct Question {
    content: Content,
    strictness: Strictness,
}

impl Question {
    async fn answered(&self, review: Review, registry: &Registry) -> Answered {
        match review {
            Review::Access => self.of("SelfSubjectAccessReview", |review: &mut SelfSubjectAccessReview| {
                review.status = Some(rights::own(registry, &review.spec.clone().unwrap_or_default())?);
                Ok(())
            }),
            Review::Rules => self.of("SelfSubjectRulesReview", |review: &mut SelfSubjectRulesReview| {
                let namespace = review.spec.as_ref().map_or("", |spec| &spec.namespace);
                review.status = Some(rights::own_rules(registry, namespace)?);
                Ok(())
            }),
            Review::OfOthers(namespace) if namespace.is_empty() => {
                self.of("SubjectAccessReview", |review: &mut SubjectAccessReview| {
                    let spec = review.spec.clone().unwrap_or_default();
                    review.status = Some(rights::of_others(registry, &spec, "")?);
                    Ok(())
                })
            }
            Review::OfOthers(namespace) => {
                self.of("LocalSubjectAccessReview", |review: &mut LocalSubjectAccessReview| {
                    let spec = review.spec.clone().unwrap_or_default();
                    review.status = Some(rights::of_others(registry, &spec, &namespace)?);
                    Ok(())
                })
            }
            Review::Myself | Review::MyselfBeta => {
                let (mut answered, warnings) = self.of("SelfSubjectReview", |review: &mut SelfSubjectReview| {
                    review.status =
                        Some(SelfSubjectReviewStatus { user_info: Some(told(registry.caller().described())) });
                    Ok(())
                })?;
                if review == Review::MyselfBeta {
                    answered["apiVersion"] = format!("{AUTHENTICATION}/v1beta1").into();
                }
                Ok((answered, warnings))
            }
            Review::Token => {
                let info = info("TokenReview")?;
                let (mut review, warnings) = self.content.message::<TokenReview>(info.message, self.strictness)?;
                let spec = review.spec.clone().unwrap_or_default();
                review.status = Some(shown_by(registry.review_token(&spec.token, &spec.audiences).await?));
                Ok((written(info, &review), warnings))
            }
        }
    }

    /// Reads a question of a kind, and writes it with its answer.
    fn of<Q: Message + Default>(&self, kind: &str, answer: impl FnOnce(&mut Q) -> Result<(), Error>) -> Answered {
        let info = info(kind)?;
        let (mut question, warnings) = self.content.message::<Q>(info.message, self.strictness)?;
        answer(&mut question)?;
        Ok((written(info, &question), warnings))
    }
}

fn info(kind: &str) -> Result<&'static KindInfo, Error> {
    REVIEWS.iter().find(|info| info.kind == kind).ok_or_else(|| Error::internal(format!("{kind} is no question")))
}

fn written(info: &KindInfo, question: &impl Message) -> Value {
    let mut value = render::message(info.message, question);
    (value["kind"], value["apiVersion"]) = (info.kind.into(), info.api_version().into());
    // Clients look for a name there, even of what has none.
    if value["metadata"].is_null() {
        value["metadata"] = json!({});
    }
    value
}

/// What is answered to who asks whose a token is.
pub(crate) fn shown_by(reviewed: Reviewed) -> TokenReviewStatus {
    match reviewed.whose {
        Ok((user, audiences)) => {
            TokenReviewStatus { authenticated: true, user: Some(told(user)), audiences, ..TokenReviewStatus::default() }
        }
        Err(error) => TokenReviewStatus { error, ..TokenReviewStatus::default() },
    }
}

/// A user as clients read it.
pub(crate) fn told(User { name: username, uid, groups, extra }: User) -> UserInfo {
    let extra = extra.into_iter().map(|(name, items)| (name, ExtraValue { items })).collect();
    UserInfo { username, uid, groups, extra }
}
