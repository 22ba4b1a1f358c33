//! The Kubernetes REST API, in front of the [`Registry`]: what `kubectl`, Helm and the client libraries speak.
//!
//! A request goes through four steps, a module each: [`path`] and [`query`] read what is asked for, [`body`] what comes
//! with it, [`objects`] and its neighbours ask the Registry, and [`render`] gives the answer the form that the client
//! accepts. Deciding what a write does is the Registry's.

mod accept;
pub(crate) mod aggregate;
mod answer;
mod body;
mod compress;
mod connecting;
mod discovery;
mod documents;
mod endpoints;
mod etag;
mod gather;
mod lines;
mod missing;
mod objects;
mod passing;
pub(crate) mod path;
mod portforward;
mod protobuf;
mod proxy;
pub(crate) mod query;
mod remote;
mod render;
pub(crate) mod review;
mod subresources;
#[cfg(test)]
mod tests;
mod tokens;
mod watch;
mod yaml;

use std::sync::Arc;

use api::{Error, Key, Kind, ReadAt, Reason, well_known::DEFAULT_NAMESPACE};
use axum::{body::Body, extract::State};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use registry::{Caller, Registry};
use tokio::task::spawn_blocking;

use crate::sender;
use accept::Encoding;
use aggregate::Aggregator;
use documents::Documents;
use gather::Watches;
use lines::Lines;
use path::Endpoint;
use query::{FIELD_MANAGER_BYTES_MAX, Query, WriteParams};

/// The REST API of a Registry, and of the backends of the API. It answers every path; unknown ones with 404 and a `Status`.
pub fn router(registry: Registry, aggregator: Aggregator) -> axum::Router {
    let (lines, watches, documents) = (Arc::default(), Watches::default(), Arc::default());
    let rest = Rest { registry, aggregator, lines, watches, documents };
    axum::Router::new().fallback(serve).with_state(rest)
}

/// What all requests share.
#[derive(Clone)]
struct Rest {
    registry: Registry,
    aggregator: Aggregator,
    lines: Arc<Lines>,
    watches: Watches,
    documents: Arc<Documents>,
}

/// A request without its body.
struct Asked {
    method: Method,
    uri: Uri,
    query: Query,
    headers: HeaderMap,
}

impl Asked {
    /// How to write. Who does not say its name is known by the program that it uses.
    fn write(&self) -> Result<WriteParams, Error> {
        let mut params = self.query.write()?;
        if params.field_manager.is_empty() {
            params.field_manager = program(&self.headers).to_owned();
        }
        Ok(params)
    }

    /// How answers without a form of their own are written.
    fn encoding(&self) -> Encoding {
        accept::encoding(&self.headers)
    }
}

async fn serve(State(rest): State<Rest>, request: Request<Body>) -> Response<Body> {
    let registry = rest.registry.for_caller(sender::caller(request.extensions()));
    let rest = Rest { registry, ..rest };
    let (encoding, compressed) = (accept::encoding(request.headers()), accept::gzip(request.headers()));
    match rest.answer(request).await {
        Ok(response) if compressed => compress::answer(response),
        Ok(response) => response,
        Err(error) => answer::error(encoding, &error),
    }
}

/// The answer to a request of which nothing else was looked at.
pub(crate) fn refusal(error: &Error) -> Response<Body> {
    answer::error(Encoding::Json, error)
}

impl Rest {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        if let Some(place) = self.aggregator.place(head.uri.path()) {
            let (method, uri, headers) = (head.method, head.uri, head.headers);
            return self.elsewhere(place, &Asked { method, uri, query: Query::default(), headers }, body).await;
        }
        let endpoint = self.endpoint(head.uri.path()).await?;
        let query = Query::parse(head.uri.query())?;
        let asked = Asked { method: head.method, uri: head.uri, query, headers: head.headers };
        match endpoint {
            Endpoint::Objects(target) => self.objects(target, &asked, body).await,
            Endpoint::Review(review) => self.review(review, &asked, body).await,
            Endpoint::Issuer => {
                only(&asked.method, &Method::GET)?;
                Ok(answer::bytes(StatusCode::OK, answer::JSON, tokens::issuer().to_string()))
            }
            Endpoint::JsonWebKeys => {
                only(&asked.method, &Method::GET)?;
                let keys = self.registry.json_web_keys()?;
                Ok(answer::bytes(StatusCode::OK, tokens::JSON_WEB_KEYS, keys.to_string()))
            }
            Endpoint::Alive => Ok(healthy()),
            Endpoint::Ready => self.ready().await,
            document => {
                only(&asked.method, &Method::GET)?;
                let (rest, path) = (self.clone(), asked.uri.path().to_owned());
                let offered = move || rest.documents.of(&rest.registry.definitions(), rest.aggregator.listing());
                // What tells of thousands of kinds takes its time, which nobody else is to wait for.
                let answered = spawn_blocking(move || documents::answer(&document, offered, &asked)).await;
                answered.map_err(Error::internal)?.unwrap_or_else(|| Err(missing::error(&path)))
            }
        }
    }

    /// What a path names. Whoever was told a moment ago by another master that a kind is served may ask here before this master
    /// knows, so that it finds out what is newest before it says that nothing has the path.
    async fn endpoint(&self, path: &str) -> Result<Endpoint, Error> {
        let found = path::parse(path, || self.registry.definitions());
        if found.is_some() || !may_be_defined(path) {
            return found.ok_or_else(|| missing::error(path));
        }
        let latest = self.registry.latest_definitions().await.unwrap_or_default();
        path::parse(path, || latest.clone()).ok_or_else(|| missing::error(path))
    }

    /// Ready is who can find out what the masters agree on.
    async fn ready(&self) -> Result<Response<Body>, Error> {
        let namespaces = Key::cluster(Kind::Namespace, DEFAULT_NAMESPACE);
        let myself = self.registry.for_caller(Caller::Cluster);
        match myself.get(&namespaces, ReadAt::Latest).await {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(healthy()),
        }
    }
}

/// Whether a path could be that of something which a user defines: in a group of a domain.
fn may_be_defined(path: &str) -> bool {
    let group = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/openapi/v3/apis/"));
    group.and_then(|group| group.split('/').next()).is_some_and(|group| group.contains('.'))
}

fn healthy() -> Response<Body> {
    answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok")
}

/// The name of the client's program: its `User-Agent` up to the first slash, as much of it as may be a name.
fn program(headers: &HeaderMap) -> &str {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    let end = name.find(|letter: char| letter.is_control()).unwrap_or(name.len());
    &name[..name.floor_char_boundary(end.min(FIELD_MANAGER_BYTES_MAX))]
}

/// HEAD is GET without the body, which the HTTP server leaves out.
fn only(method: &Method, allowed: &Method) -> Result<(), Error> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    if method == allowed { Ok(()) } else { Err(Error::method_not_allowed()) }
}
