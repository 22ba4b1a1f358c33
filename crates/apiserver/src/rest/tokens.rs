//! Tokens of ServiceAccounts and Users: made on request, and what verifiers elsewhere need to know.

use api::{Error, authentication_v1::TokenRequest};
use axum::body::Body;
use http::{Response, StatusCode};
use registry::ISSUER;
use serde_json::{Value, json};

use super::{Asked, Rest, answer, body, path::Target, render};

const TOKEN_REQUEST: &str = "kapelle.authentication.v1.TokenRequest";

/// The type of a set of keys.
pub(super) const JSON_WEB_KEYS: &str = "application/jwk-set+json";

impl Rest {
    pub(super) async fn create_token(
        &self,
        target: &Target,
        asked: &Asked,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let params = asked.write()?;
        let content = body::read(&asked.headers, body).await?;
        let (request, mut warnings) = content.message::<TokenRequest>(TOKEN_REQUEST, params.strictness)?;
        let key = target.key();
        request.metadata.iter().try_for_each(|meta| target.is_named(meta))?;
        let (answered, more) = self.registry.create_token(&key, request).await?;
        warnings.extend(more);
        let mut value = render::message(TOKEN_REQUEST, &answered);
        (value["kind"], value["apiVersion"]) = ("TokenRequest".into(), "authentication.k8s.io/v1".into());
        let mut response = answer::value(StatusCode::CREATED, asked.encoding(), &value);
        answer::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// Who signs the tokens, as OpenID Connect tells it.
pub(super) fn issuer() -> Value {
    json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}
