//! One backend: the way to it, what it is told, and what it said last that it offers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Error, Key, Kind, Reason,
    apiregistration_v1::ApiServiceSpec,
    kinds::apiregistration::api_service::PORT,
    users::MASTERS,
    well_known::{REMOTE_GROUP_HEADER, REMOTE_USER_HEADER},
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use registry::{Caller, Reach, Registry};
use rpc::{
    forward::Tunnel,
    identity::{Believed, FrontProxy},
};
use tokio::time::{Instant, timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::offered::{self, Offered};
use crate::rest::{
    Asked, endpoints, etag,
    passing::{self, heads},
};

/// How long a backend may take to accept a connection and prove itself.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it may take to begin an answer, as Kubernetes has it. Watches begin theirs at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to say what it offers.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often its schemas are asked for.
const DOCUMENT_EVERY: Duration = Duration::from_secs(60);

/// The longest list of what a backend offers, in bytes.
pub(super) const OFFERED_BYTES_MAX: usize = 512 << 10;

/// The longest document of a backend's schemas, in bytes: several times that of the masters' largest group.
pub(super) const DOCUMENT_BYTES_MAX: usize = 2 << 20;

/// As whom a master asks what a backend offers, as in Kubernetes.
const MYSELF: &str = "system:kube-aggregator";
const MY_GROUPS: [&str; 1] = [MASTERS];

/// How headers begin that only masters may set.
const REMOTE: &str = "x-remote-";

/// One backend.
pub(in crate::rest) struct Backend {
    /// Of its APIService.
    pub(super) name: String,
    pub(super) spec: ApiServiceSpec,
    service: Key,
    port: String,
    /// By this name its certificate knows it.
    host: String,
    /// How it is called, or why it cannot be.
    tls: Result<(Arc<ClientConfig>, ServerName<'static>), String>,
    state: Mutex<State>,
}

/// What a backend said last.
#[derive(Default)]
struct State {
    offered: Option<Arc<Offered>>,
    /// Whether it said so when it was asked last.
    is_fresh: bool,
    document: Option<Document>,
    /// When to ask for the document again.
    document_due: Option<Instant>,
}

/// The schemas of what a backend offers, in OpenAPI v3.
#[derive(Clone)]
pub(in crate::rest) struct Document {
    pub(in crate::rest) bytes: Bytes,
    pub(super) hash: String,
    /// The backend's own tag for it.
    tag: Option<HeaderValue>,
}

impl State {
    /// Keeps what a backend offers. What it has said before stays what it was, so that documents of it do too.
    fn keep(&mut self, offered: Offered) {
        if self.offered.as_deref() != Some(&offered) {
            self.offered = Some(Arc::new(offered));
        }
    }
}

impl Backend {
    pub(super) fn new(name: String, spec: ApiServiceSpec, front: &Arc<FrontProxy>) -> Self {
        let to = spec.service.clone().unwrap_or_default();
        let host = format!("{}.{}.svc", to.name, to.namespace);
        Self {
            tls: tls(&spec, &host, front),
            name,
            spec,
            service: Key::namespaced(Kind::Service, to.namespace.as_str(), to.name.as_str()),
            port: to.port.unwrap_or(PORT).to_string(),
            host,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it offers, and whether it said so when it was asked last.
    pub(super) fn offered(&self) -> (Option<Arc<Offered>>, bool) {
        let state = self.state();
        (state.offered.clone(), state.is_fresh)
    }

    /// The schemas of what it offers.
    pub(in crate::rest) fn document(&self) -> Option<Document> {
        self.state().document.clone()
    }

    fn unavailable(&self, why: impl std::fmt::Display) -> Error {
        let message = format!("the backend of APIService {} does not answer: {why}", self.name);
        Error::new(Reason::ServiceUnavailable, message)
    }

    /// Passes a request on, for somebody.
    pub(super) async fn pass(
        &self,
        myself: &Registry,
        caller: &Caller,
        asked: &Asked,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let path = asked.uri.path();
        plain(path)?;
        let mut request = heads::request(asked, path, body)?;
        identify(request.headers_mut(), &self.host, &caller.user(), &caller.groups())?;
        let (stream, reach) = self.connect(myself).await.map_err(|why| self.unavailable(why))?;
        let answered = timeout(ANSWER_TIMEOUT, passing::send(stream, request, reach)).await;
        let late = |_| self.unavailable(format_args!("it said nothing within {ANSWER_TIMEOUT:?}"));
        let response = answered.map_err(late)?.map_err(|error| self.unavailable(error))?;
        let is_redirect = response.status().is_redirection() && response.headers().contains_key(header::LOCATION);
        if is_redirect {
            let why = "the backend attempted to redirect this request, which is not permitted";
            return Err(Error::new(Reason::ServiceUnavailable, why));
        }
        Ok(response)
    }

    async fn connect(&self, myself: &Registry) -> Result<(TlsStream<Tunnel>, Reach), String> {
        let (config, name) = self.tls.clone()?;
        let told = |error: Error| error.message;
        let connected = async {
            let (reach, port) = endpoints::behind(myself, &self.service, &self.port).await.map_err(told)?;
            let tunnel = reach.open(port).await.map_err(told)?;
            let stream = TlsConnector::from(config).connect(name, tunnel).await.map_err(|error| error.to_string())?;
            Ok((stream, reach))
        };
        let connected = timeout(CONNECT_TIMEOUT, connected).await;
        connected.unwrap_or_else(|_| Err(format!("no connection within {CONNECT_TIMEOUT:?}")))
    }

    /// Asks what it offers; twice if it has answered before, since a connection may break as a Pod gives way to the next. What it
    /// said before stays if it does not answer.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(super) async fn refresh(&self, myself: &Registry) -> Result<(), String> {
        let was_fresh = self.state().is_fresh;
        let asked = timeout(REFRESH_TIMEOUT, async {
            match self.ask(myself).await {
                Err(_) if was_fresh => self.ask(myself).await,
                asked => asked,
            }
        });
        let asked = asked.await;
        let asked = asked.unwrap_or_else(|_| Err(format!("nothing came within {REFRESH_TIMEOUT:?}")));
        self.state().is_fresh = asked.is_ok();
        asked.map_err(|why| {
            let (host, port, path) = (&self.host, &self.port, self.path());
            format!("failing or missing response from https://{host}:{port}{path}: {why}")
        })
    }

    fn path(&self) -> String {
        format!("/apis/{}/{}", self.spec.group, self.spec.version)
    }

    async fn ask(&self, myself: &Registry) -> Result<(), String> {
        let found = self.fetch(myself, &self.path(), None, OFFERED_BYTES_MAX).await?;
        let (bytes, _) = found.ok_or_else(|| "it has none".to_owned())?;
        let offered = offered::read(&self.spec.group, &self.spec.version, &bytes)?;
        self.state().keep(offered);
        if self.state().document_due.is_none_or(|due| due <= Instant::now()) {
            // A backend without schemas is of use as well.
            if let Err(why) = self.ask_for_document(myself).await {
                tracing::debug!(why, name = self.name, "a backend tells no schemas");
            }
            self.state().document_due = Some(Instant::now() + DOCUMENT_EVERY);
        }
        Ok(())
    }

    async fn ask_for_document(&self, myself: &Registry) -> Result<(), String> {
        let known = self.document().and_then(|document| document.tag);
        let path = format!("/openapi/v3{}", self.path());
        let Some((bytes, tag)) = self.fetch(myself, &path, known, DOCUMENT_BYTES_MAX).await? else { return Ok(()) };
        offered::check_document(&bytes)?;
        self.state().document = Some(Document { hash: etag::hash(&bytes), bytes, tag });
        Ok(())
    }

    /// What a backend has at a path, with its tag; nothing if it is what is known.
    async fn fetch(
        &self,
        myself: &Registry,
        path: &str,
        known: Option<HeaderValue>,
        bytes_max: usize,
    ) -> Result<Option<(Bytes, Option<HeaderValue>)>, String> {
        let request = Request::get(path).header(header::ACCEPT, "application/json").body(Body::empty());
        let mut request = request.map_err(|error| error.to_string())?;
        request.headers_mut().extend(known.map(|tag| (header::IF_NONE_MATCH, tag)));
        identify(request.headers_mut(), &self.host, MYSELF, &MY_GROUPS).map_err(|error| error.message)?;
        let (stream, reach) = self.connect(myself).await?;
        let response = passing::send(stream, request, reach).await.map_err(|error| error.to_string())?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(None),
            code if !code.is_success() => return Err(format!("bad status: {code}")),
            _ => {}
        }
        let tag = response.headers().get(header::ETAG).cloned();
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => format!("it is longer than {bytes_max} bytes"),
            None => error.to_string(),
        })?;
        Ok(Some((body.to_bytes(), tag)))
    }
}

fn tls(
    spec: &ApiServiceSpec,
    host: &str,
    front: &Arc<FrontProxy>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let believed = if spec.insecure_skip_tls_verify {
        Believed::Anybody
    } else if spec.ca_bundle.is_empty() {
        return Err("spec.caBundle: name the authority of its certificate; there are no others to believe".to_owned());
    } else {
        Believed::SignedBy(&spec.ca_bundle)
    };
    let config = front.calling(believed).map_err(|error| format!("spec.caBundle: {error}"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("spec.service: {host}: {error}"))?;
    Ok((config, name))
}

/// Refuses paths that a backend might read as others than they were allowed as.
fn plain(path: &str) -> Result<(), Error> {
    let is_dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    match path.split('/').find(|segment| is_dots(segment)) {
        Some(dots) => Err(Error::bad_request(format!("the path: {dots:?} leads out of it; name what is meant"))),
        None => Ok(()),
    }
}

/// Says whose request it is, whatever its sender has said of that.
fn identify(headers: &mut HeaderMap, host: &str, user: &str, groups: &[&str]) -> Result<(), Error> {
    let claims = |name: &&HeaderName| name.as_str().replace('_', "-").starts_with(REMOTE);
    let claimed: Vec<HeaderName> = headers.keys().filter(claims).cloned().collect();
    claimed.iter().for_each(|name| _ = headers.remove(name));
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).map_err(Error::internal);
    let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).map_err(Error::internal);
    headers.insert(header::HOST, value(host)?);
    headers.insert(name(REMOTE_USER_HEADER)?, value(user)?);
    for group in groups {
        headers.append(name(REMOTE_GROUP_HEADER)?, value(group)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nobody_but_the_master_says_who_asks() {
        let mut headers = HeaderMap::new();
        for name in ["X-Remote-User", "x-remote-group", "X-Remote-Extra-Scopes", "X-Remote-Uid", "x_remote_user"] {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("root"));
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        identify(&mut headers, "m.default.svc", "ann", &["a", "b"]).unwrap();
        let mut told: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        told.sort_unstable();
        let wanted =
            ["accept: */*", "host: m.default.svc", "x-remote-group: a", "x-remote-group: b", "x-remote-user: ann"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn paths_lead_nowhere_else() {
        assert!(plain("/apis/g/v1/namespaces/a/things/b%2Fc/...").is_ok());
        for path in ["/apis/g/v1/..", "/apis/g/v1/../../v1/secrets", "/apis/g/v1/%2e%2E/x", "/apis/./g"] {
            assert_eq!(plain(path).unwrap_err().reason, Reason::BadRequest, "{path}");
        }
    }
}
