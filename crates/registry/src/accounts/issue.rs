//! Tokens that are asked for: Kubernetes' TokenRequest.

use std::collections::BTreeSet;

use api::{
    Error, Key, Kind, ReadAt, Reason, Subresource, Timestamp, Verb,
    authentication_v1::{BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus},
    core_v1::Pod,
    error::Cause,
    json::{self, Strictness},
};
use prost::Message as _;
use serde_json::Value;
use store::View;
use uuid::Uuid;

use super::{
    bound,
    claims::{About, Claims, ISSUER, Named, OfAccount, seconds},
    jose::TOKEN_BYTES_MAX,
    keyring::LIFE_MAX,
    keys::Opened,
};
use crate::{
    Registry,
    access::{Access, Caller},
    admission::Settled,
    nodes::is_on,
};

/// The life of a token for which nobody says one, in seconds: Kubernetes' hour.
const LIFE_S: i64 = 3600;

/// The shortest life of a token that may be asked for, in seconds: Kubernetes' ten minutes.
const LIFE_MIN_S: i64 = 600;

/// The longest life that may be asked for, in seconds, whatever is given; Kubernetes' 2^32.
const LIFE_ASKED_MAX_S: i64 = 1 << 32;

/// The longest life that is given, in seconds.
pub(super) const LIFE_MAX_S: i64 = LIFE_MAX.as_secs() as i64;

const _: () = assert!(LIFE_MIN_S <= LIFE_S && LIFE_S <= LIFE_MAX_S && LIFE_MAX_S <= LIFE_ASKED_MAX_S);

const MESSAGE: &str = "kapelle.authentication.v1.TokenRequest";

/// What is asked for, as far as the request alone tells.
pub(super) struct Wanted {
    audiences: Vec<String>,
    pub(super) life_s: i64,
    warnings: Vec<String>,
}

impl Registry {
    /// Makes a token of a ServiceAccount or a User. Answers the request with the token and what was chosen for it, and what its
    /// sender should know. Nothing is stored.
    ///
    /// # Errors
    /// If the caller may not, the account or what the token is to be bound to is not there, or what is asked for cannot be.
    pub async fn create_token(&self, whose: &Key, request: TokenRequest) -> Result<(TokenRequest, Vec<String>), Error> {
        self.authorise(Access::to_subresource(Verb::Create, whose, Subresource::Token)).await?;
        let (is_of_user, now) = (whose.kind == Kind::User, self.now());
        let life_s = if is_of_user { LIFE_MAX_S } else { LIFE_S };
        let (request, warnings) = self.admit_token(whose, request, life_s).await?;
        let spec = request.spec.clone().unwrap_or_default();
        let mut wanted = wanted(&spec, life_s)?;
        let keys = self.keys().await?;
        let about = if is_of_user {
            self.about_user(&self.view(ReadAt::Latest).await?, whose, &spec, &mut wanted)?
        } else {
            match self.about_account(&self.state(), whose, &spec, now) {
                Ok(about) => about,
                // Who has just made an account or a Pod by another master asks for what this one has not heard of.
                Err(_) => self.about_account(&self.view(ReadAt::Latest).await?, whose, &spec, now)?,
            }
        };
        wanted.warnings.extend(warnings);
        let status = signed(&keys, about, &wanted, now)?;
        let spec = TokenRequestSpec { audiences: wanted.audiences, expiration_seconds: Some(wanted.life_s), ..spec };
        let mut metadata = request.metadata.unwrap_or_default();
        (metadata.name, metadata.namespace) = (whose.name.to_string(), whose.namespace.to_string());
        metadata.creation_timestamp = Some(now.into());
        Ok((TokenRequest { metadata: Some(metadata), spec: Some(spec), status: Some(status) }, wanted.warnings))
    }

    /// The request as webhooks and policies have made it, if they let it in, and what its sender should know.
    async fn admit_token(
        &self,
        whose: &Key,
        request: TokenRequest,
        life_s: i64,
    ) -> Result<(TokenRequest, Vec<String>), Error> {
        let settle = |question: Value| {
            let mut request = heard(&question)?;
            let spec = request.spec.get_or_insert_default();
            wanted(spec, life_s)?;
            spec.audiences = audiences_of(spec);
            Ok(told(whose, &request))
        };
        let defaulted = || {
            let mut request = request.clone();
            request.spec.get_or_insert_default().expiration_seconds.get_or_insert(life_s);
            told(whose, &request)
        };
        match self.admit_request(whose, Subresource::Token, defaulted, settle).await? {
            Some(Settled { question, warnings }) => Ok((heard(&question)?, warnings)),
            None => Ok((request, Vec::new())),
        }
    }
}

/// The request as webhooks and policies are told it.
fn told(whose: &Key, request: &TokenRequest) -> Value {
    let mut value = json::encode_message(MESSAGE, &request.encode_to_vec()).unwrap_or_default();
    (value["apiVersion"], value["kind"]) = ("authentication.k8s.io/v1".into(), "TokenRequest".into());
    (value["metadata"]["name"], value["metadata"]["namespace"]) = ((*whose.name).into(), (*whose.namespace).into());
    value
}

/// The request that webhooks and policies are told.
fn heard(value: &Value) -> Result<TokenRequest, Error> {
    let (bytes, _) = json::decode_made_message(MESSAGE, value, Strictness::Ignore)?;
    TokenRequest::decode(bytes).map_err(Error::internal)
}

/// A token that speaks of something, and when it ends.
fn signed(keys: &Opened, about: About, wanted: &Wanted, now: Timestamp) -> Result<TokenRequestStatus, Error> {
    let iat = seconds(now);
    let exp = iat.saturating_add(wanted.life_s);
    let claims = Claims { aud: wanted.audiences.clone(), exp, iat, jti: Uuid::new_v4().to_string(), about };
    let token = keys.keyring().signing().sign(&claims).map_err(Error::internal)?;
    if token.len() > TOKEN_BYTES_MAX {
        let message = format!("Too long: the token would have {} of at most {TOKEN_BYTES_MAX} bytes", token.len());
        return Err(invalid("spec.audiences", "FieldValueTooLong", message));
    }
    Ok(TokenRequestStatus { token, expiration_timestamp: Some(Timestamp(exp.saturating_mul(1000)).into()) })
}

impl Wanted {
    /// Gives less than was asked for.
    pub(super) fn shorten(&mut self, life_s: i64, asked: Option<i64>) {
        self.life_s = life_s;
        self.warnings = asked.map(|asked| shortened(asked, life_s)).into_iter().collect();
    }
}

fn shortened(asked: i64, given: i64) -> String {
    format!("requested expiration of {asked} seconds shortened to {given} seconds")
}

impl Registry {
    /// Of what a token of an account speaks, in a state in which it may be asked for.
    fn about_account(
        &self,
        view: &View,
        account: &Key,
        spec: &TokenRequestSpec,
        now: Timestamp,
    ) -> Result<About, Error> {
        self.may_ask(view, account, spec)?;
        let about = about(view, account, spec.bound_object_ref.as_ref())?;
        bound::check(view, &about, now).map_err(|_| Error::not_found(account))?;
        Ok(About::Account(about))
    }

    /// A node asks only for its Pods, for tokens that end with them, and for audiences that they name: Kubernetes'
    /// `NodeRestriction`.
    fn may_ask(&self, view: &View, account: &Key, spec: &TokenRequestSpec) -> Result<(), Error> {
        let Caller::Node { name: node, .. } = self.caller() else { return Ok(()) };
        let no = |why: &str| {
            let message = format!("serviceaccounts \"{}\" is forbidden: node requested token {why}", account.name);
            Err(Error::new(Reason::Forbidden, message).about(account))
        };
        let Some(reference) = spec.bound_object_ref.as_ref().filter(|reference| reference.kind == "Pod") else {
            return no("not bound to a pod");
        };
        if reference.uid.is_empty() {
            return no("with a pod binding without a uid");
        }
        let pod = Key::namespaced(Kind::Pod, account.namespace.clone(), reference.name.as_str());
        let Some(record) = view.get(&pod).filter(|record| is_on(record, node)) else {
            return no("bound to a pod scheduled on a different node");
        };
        let object = record.object();
        let named = object.get::<Pod>().map(audiences).unwrap_or_default();
        match audiences_of(spec).iter().find(|audience| !named.contains(audience.as_str())) {
            Some(other) => no(&format!("with audience {other:?}, which no volume of the pod names")),
            None => Ok(()),
        }
    }
}

/// The audiences of the tokens that a Pod projects.
fn audiences(pod: &Pod) -> BTreeSet<&str> {
    let volumes = pod.spec.iter().flat_map(|spec| &spec.volumes).filter_map(|volume| volume.volume_source.as_ref());
    let sources = volumes.flat_map(|source| &source.projected).flat_map(|projected| &projected.sources);
    let tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    tokens.map(|token| if token.audience.is_empty() { ISSUER } else { token.audience.as_str() }).collect()
}

/// `usual` is the life of a token for which nobody says one.
fn wanted(spec: &TokenRequestSpec, usual: i64) -> Result<Wanted, Error> {
    let asked = spec.expiration_seconds.unwrap_or(usual);
    let wrong = |why: &str| {
        let message = format!("Invalid value: {asked}: may not specify a duration {why}");
        Err(invalid("spec.expirationSeconds", "FieldValueInvalid", message))
    };
    if asked < LIFE_MIN_S {
        return wrong("less than 10 minutes");
    }
    if asked > LIFE_ASKED_MAX_S {
        return wrong("larger than 2^32 seconds");
    }
    let life_s = asked.min(LIFE_MAX_S);
    let warnings = (life_s < asked).then(|| shortened(asked, life_s)).into_iter().collect();
    Ok(Wanted { audiences: audiences_of(spec), life_s, warnings })
}

/// For whom a token is: masters if nobody is named.
fn audiences_of(spec: &TokenRequestSpec) -> Vec<String> {
    if spec.audiences.is_empty() { vec![ISSUER.to_owned()] } else { spec.audiences.clone() }
}

/// The objects of which the token speaks.
fn about(view: &View, account: &Key, bound: Option<&BoundObjectReference>) -> Result<OfAccount, Error> {
    let mut about = OfAccount {
        namespace: account.namespace.to_string(),
        node: None,
        pod: None,
        secret: None,
        serviceaccount: named(view, account)?,
        warnafter: None,
    };
    let Some(reference) = bound else { return Ok(about) };
    let name = reference.name.as_str();
    let beside = |kind| Key::namespaced(kind, account.namespace.clone(), name);
    match (reference.api_version.as_str(), reference.kind.as_str()) {
        ("v1", "Pod") => {
            let key = beside(Kind::Pod);
            about.pod = Some(same(named(view, &key)?, &key, reference)?);
            about.node = node_of(view, &key, account)?;
        }
        ("v1", "Secret") => {
            let key = beside(Kind::Secret);
            about.secret = Some(same(named(view, &key)?, &key, reference)?);
        }
        ("v1", "Node") => {
            let key = Key::cluster(Kind::Node, name);
            about.node = Some(same(named(view, &key)?, &key, reference)?);
        }
        (version, kind) => {
            let message = format!(
                "cannot bind token to object of type {version}, Kind={kind}: spec.boundObjectRef names a Pod, a Secret or a Node \
                 of apiVersion v1"
            );
            return Err(Error::bad_request(message));
        }
    }
    Ok(about)
}

/// An object that is there, and its uid.
pub(super) fn named(view: &View, key: &Key) -> Result<Named, Error> {
    let record = view.get(key).ok_or_else(|| Error::not_found(key))?;
    let uid = record.object().metadata().map(|meta| meta.uid.clone()).unwrap_or_default();
    Ok(Named { name: key.name.to_string(), uid })
}

/// The object, if it is the one that is meant.
fn same(found: Named, key: &Key, reference: &BoundObjectReference) -> Result<Named, Error> {
    if reference.uid.is_empty() || reference.uid == found.uid {
        return Ok(found);
    }
    let why = format!(
        "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then \
         recreated",
        reference.uid
    );
    Err(Error::conflict(key, why))
}

/// The node of a Pod that runs as the account.
fn node_of(view: &View, pod: &Key, account: &Key) -> Result<Option<Named>, Error> {
    let object = view.get(pod).ok_or_else(|| Error::not_found(pod))?.object();
    let spec = object.get::<Pod>().and_then(|pod| pod.spec.as_ref());
    if spec.is_none_or(|spec| *spec.service_account_name != *account.name) {
        let message = format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            &*account.name
        );
        return Err(Error::bad_request(message));
    }
    let node = spec.map(|spec| spec.node_name.as_str()).filter(|node| !node.is_empty());
    Ok(node.and_then(|node| named(view, &Key::cluster(Kind::Node, node)).ok()))
}

pub(super) fn invalid(field: &str, reason: &'static str, message: String) -> Error {
    let cause = Cause { reason, field: field.to_owned(), message };
    Error::invalid_request("TokenRequest.authentication.k8s.io", vec![cause])
}
