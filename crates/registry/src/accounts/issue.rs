//! Tokens that are asked for: Kubernetes' TokenRequest.

use std::collections::BTreeSet;

use api::{
    Error, Key, Kind, ReadAt, Reason, Subresource, Timestamp, Verb,
    authentication_v1::{BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus},
    core_v1::Pod,
    error::Cause,
};
use store::View;
use uuid::Uuid;

use super::{
    bound,
    claims::{About, Claims, ISSUER, Named, seconds, user_name},
    jose::TOKEN_BYTES_MAX,
    keyring::LIFE_MAX,
};
use crate::{
    Registry,
    access::{Access, Caller},
    nodes::is_on,
};

/// The life of a token for which nobody says one, in seconds: Kubernetes' hour.
const LIFE_S: i64 = 3600;

/// The shortest life of a token, in seconds: Kubernetes' ten minutes.
const LIFE_MIN_S: i64 = 600;

/// The longest life that may be asked for, in seconds, whatever is given; Kubernetes' 2^32.
const LIFE_ASKED_MAX_S: i64 = 1 << 32;

/// The longest life that is given, in seconds.
const LIFE_MAX_S: i64 = LIFE_MAX.as_secs() as i64;

const _: () = assert!(LIFE_MIN_S <= LIFE_S && LIFE_S <= LIFE_MAX_S && LIFE_MAX_S <= LIFE_ASKED_MAX_S);

/// What is asked for, as far as the request alone tells.
struct Wanted {
    audiences: Vec<String>,
    life_s: i64,
    warnings: Vec<String>,
}

impl Registry {
    /// Makes a token of an account. Answers the request with the token and what was chosen for it, and what its sender should know.
    /// Nothing is stored.
    ///
    /// # Errors
    /// If the caller may not, the account or what the token is to be bound to is not there, or what is asked for cannot be.
    pub async fn create_token(
        &self,
        account: &Key,
        request: TokenRequest,
    ) -> Result<(TokenRequest, Vec<String>), Error> {
        self.authorise(Access::to_subresource(Verb::Create, account, Subresource::Token)).await?;
        let mut spec = request.spec.unwrap_or_default();
        let wanted = wanted(&spec)?;
        let keys = self.keys().await?;
        let now = self.now();
        let about = match self.about(&self.state(), account, &spec) {
            Ok(about) => about,
            // Who has just made an account or a Pod by another master asks for what this one has not heard of.
            Err(_) => self.about(&self.view(ReadAt::Latest).await?, account, &spec)?,
        };
        let begin = seconds(now);
        let end = begin.saturating_add(wanted.life_s);
        let claims = Claims {
            sub: user_name(&about),
            aud: wanted.audiences.clone(),
            exp: end,
            iat: begin,
            iss: ISSUER.to_owned(),
            jti: Uuid::new_v4().to_string(),
            about,
            nbf: begin,
        };
        let token = keys.keyring().signing().sign(&claims).map_err(Error::internal)?;
        if token.len() > TOKEN_BYTES_MAX {
            let message = format!("Too long: the token would have {} of at most {TOKEN_BYTES_MAX} bytes", token.len());
            return Err(invalid("spec.audiences", "FieldValueTooLong", message));
        }
        (spec.audiences, spec.expiration_seconds) = (wanted.audiences, Some(wanted.life_s));
        let ends = Timestamp(end.saturating_mul(1000)).into();
        let mut metadata = request.metadata.unwrap_or_default();
        (metadata.name, metadata.namespace) = (account.name.to_string(), account.namespace.to_string());
        metadata.creation_timestamp = Some(now.into());
        let status = TokenRequestStatus { token, expiration_timestamp: Some(ends) };
        Ok((TokenRequest { metadata: Some(metadata), spec: Some(spec), status: Some(status) }, wanted.warnings))
    }
}

impl Registry {
    /// Of what the token speaks, in a state in which it may.
    fn about(&self, view: &View, account: &Key, spec: &TokenRequestSpec) -> Result<About, Error> {
        self.may_ask(view, account, spec)?;
        let about = about(view, account, spec.bound_object_ref.as_ref())?;
        bound::check(view, &about, self.now()).map_err(|_| Error::not_found(account))?;
        Ok(about)
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

fn wanted(spec: &TokenRequestSpec) -> Result<Wanted, Error> {
    let asked = spec.expiration_seconds.unwrap_or(LIFE_S);
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
    let warnings = (life_s < asked)
        .then(|| format!("requested expiration of {asked} seconds shortened to {life_s} seconds"))
        .into_iter()
        .collect();
    Ok(Wanted { audiences: audiences_of(spec), life_s, warnings })
}

/// For whom a token is: masters if nobody is named.
fn audiences_of(spec: &TokenRequestSpec) -> Vec<String> {
    if spec.audiences.is_empty() { vec![ISSUER.to_owned()] } else { spec.audiences.clone() }
}

/// The objects of which the token speaks.
fn about(view: &View, account: &Key, bound: Option<&BoundObjectReference>) -> Result<About, Error> {
    let mut about = About {
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
fn named(view: &View, key: &Key) -> Result<Named, Error> {
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

fn invalid(field: &str, reason: &'static str, message: String) -> Error {
    let cause = Cause { reason, field: field.to_owned(), message };
    Error::invalid_request("TokenRequest.authentication.k8s.io", vec![cause])
}
