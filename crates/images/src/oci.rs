//! The OCI distribution API under `/v2/`, so that standard tools push and pull modules.
//!
//! Who may read and who may write is asked before a request gets here, and so is whether a blob may be mounted from another
//! repository ([`MayMount`]). A repository answers with what was brought to it, and with nothing else.

use std::io;

use api::{Error, Reason};
use axum::{Router, body::Body, extract::State};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rpc::{status::body_error, url};
use serde_json::{Value, json};

use crate::{
    blobs::{BadDigest, Blobs, Digest, MANIFEST_BYTES_MAX, UploadError},
    manifest::{self, Manifest},
    name::{bad_reference, check_repository, is_reference},
    replication::{Images, failed},
};

/// Stands beside a request that wants to mount a blob from another repository, if it may read there.
#[derive(Clone, Debug)]
pub struct MayMount(
    /// The other repository.
    pub String,
);

/// How clients are told to say who they are: by a token, as the password of anybody.
const CHALLENGE: &str = "Basic realm=\"kapelle\", charset=\"UTF-8\"";

/// Carries the digest of what was answered or stored.
const DIGEST_HEADER: &str = "docker-content-digest";

/// The OCI distribution API over some images.
pub fn router(images: Images) -> Router {
    Router::new().fallback(serve).with_state(images)
}

/// What a path names. Names of repositories may have slashes in them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Base,
    Catalog,
    Tags { name: String },
    Manifest { name: String, reference: String },
    Blob { name: String, digest: String },
    Uploads { name: String },
    Upload { name: String, id: String },
}

/// Why a request failed, in the specification's terms.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

type Answer = Result<Response<Body>, Refusal>;

/// A request without its path and body.
struct Asked {
    method: Method,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    /// From where a blob may be mounted.
    may_mount: Option<String>,
}

async fn serve(State(images): State<Images>, request: Request<Body>) -> Response<Body> {
    versioned(answer(&images, request).await.unwrap_or_else(Refusal::response))
}

/// Why a request did not get here, in the specification's words.
#[must_use]
pub fn refusal(error: Error) -> Response<Body> {
    versioned(Refusal::from(error).response())
}

fn versioned(mut response: Response<Body>) -> Response<Body> {
    let version = header::HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert("docker-distribution-api-version", version);
    response
}

async fn answer(images: &Images, request: Request<Body>) -> Answer {
    let blobs = &images.blobs;
    let (head, body) = request.into_parts();
    let query = url::pairs(head.uri.query().unwrap_or_default());
    let query = query.ok_or_else(|| Refusal::unsupported("the query has a broken percent escape"))?;
    let may_mount = head.extensions.get::<MayMount>().map(|from| from.0.clone());
    let asked = Asked { method: head.method, query, headers: head.headers, may_mount };
    let endpoint = endpoint(head.uri.path())?;
    let method = if asked.method == Method::HEAD { Method::GET } else { asked.method.clone() };
    match (method, endpoint) {
        (Method::GET, Endpoint::Base) => Ok(json_answer(&json!({}))),
        (Method::GET, Endpoint::Catalog) => catalog(blobs, &asked).await,
        (Method::GET, Endpoint::Tags { name }) => tags(blobs, &asked, &name).await,
        (Method::GET, Endpoint::Manifest { name, reference }) => get_manifest(images, &asked, &name, &reference).await,
        (Method::PUT, Endpoint::Manifest { name, reference }) => {
            put_manifest(images, &asked, &name, &reference, body).await
        }
        (Method::DELETE, Endpoint::Manifest { name, reference }) => delete_manifest(images, &name, &reference).await,
        (Method::GET, Endpoint::Blob { name, digest }) => get_blob(images, &asked, &name, &digest.parse()?).await,
        (Method::POST, Endpoint::Uploads { name }) => begin(images, &asked, &name, body).await,
        (Method::GET, Endpoint::Upload { name, id }) => {
            Ok(progress(StatusCode::NO_CONTENT, &name, &id, blobs.length(&name, &id).await?))
        }
        (Method::PATCH, Endpoint::Upload { name, id }) => append(blobs, &asked, &name, &id, body).await,
        (Method::PUT, Endpoint::Upload { name, id }) => finish(blobs, &asked, &name, &id, body).await,
        (Method::DELETE, Endpoint::Upload { name, id }) => {
            blobs.cancel(&name, &id).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::unsupported("this registry does not do that; blobs are never deleted")),
    }
}

/// The repository that a path is about; empty if it is about none, or if there is nothing at it.
#[must_use]
pub fn repository_of(path: &str) -> &str {
    let name = match endpoint(path) {
        Ok(
            Endpoint::Tags { name }
            | Endpoint::Manifest { name, .. }
            | Endpoint::Blob { name, .. }
            | Endpoint::Uploads { name }
            | Endpoint::Upload { name, .. },
        ) => name,
        Ok(Endpoint::Base | Endpoint::Catalog) | Err(_) => return "",
    };
    &below(path)[..name.len()]
}

/// The repository from which a request wants to mount a blob; `None` if it wants nothing of the kind.
#[must_use]
pub fn mounted_from(path: &str, query: &str) -> Option<String> {
    let Ok(Endpoint::Uploads { .. }) = endpoint(path) else { return None };
    let pairs = url::pairs(query)?;
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    value("mount")?;
    value("from").filter(|from| check_repository(from).is_ok())
}

/// What a path says behind the version of the protocol. A name of a repository is the beginning of it.
fn below(path: &str) -> &str {
    path.strip_prefix("/v2").unwrap_or(path).trim_start_matches('/')
}

fn endpoint(path: &str) -> Result<Endpoint, Refusal> {
    let parts: Vec<&str> = below(path).split('/').collect();
    let endpoint = match parts.as_slice() {
        [""] => return Ok(Endpoint::Base),
        ["_catalog"] => return Ok(Endpoint::Catalog),
        [name @ .., "tags", "list"] => Endpoint::Tags { name: repository(name)? },
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Endpoint::Uploads { name: repository(name)? }
        }
        [name @ .., "blobs", "uploads", id] => Endpoint::Upload { name: repository(name)?, id: (*id).to_owned() },
        [name @ .., "blobs", digest] => Endpoint::Blob { name: repository(name)?, digest: (*digest).to_owned() },
        [name @ .., "manifests", reference] => {
            Endpoint::Manifest { name: repository(name)?, reference: (*reference).to_owned() }
        }
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this path")),
    };
    Ok(endpoint)
}

fn repository(parts: &[&str]) -> Result<String, Refusal> {
    let name = parts.join("/");
    match check_repository(&name) {
        Ok(()) => Ok(name),
        Err(message) => Err(Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message)),
    }
}

async fn catalog(blobs: &Blobs, asked: &Asked) -> Answer {
    let (names, next) = paged(blobs.repositories().await?, asked)?;
    let link = next.map(|last| format!("</v2/_catalog?last={last}&n={}>; rel=\"next\"", names.len()));
    Ok(linked(json_answer(&json!({ "repositories": names })), link))
}

async fn tags(blobs: &Blobs, asked: &Asked, name: &str) -> Answer {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", format!("no repository \"{name}\""));
    let (tags, next) = paged(blobs.tags(name).await?.ok_or_else(unknown)?, asked)?;
    let link = next.map(|last| format!("</v2/{name}/tags/list?last={last}&n={}>; rel=\"next\"", tags.len()));
    Ok(linked(json_answer(&json!({ "name": name, "tags": tags })), link))
}

/// The part of a list that `n` and `last` ask for, and the last of it if more follows.
fn paged(mut names: Vec<String>, asked: &Asked) -> Result<(Vec<String>, Option<String>), Refusal> {
    if let Some(last) = asked.query("last") {
        names.retain(|name| name.as_str() > last);
    }
    let Some(count) = asked.query("n") else { return Ok((names, None)) };
    let count = count.parse::<usize>().map_err(|_| Refusal::unsupported("n: a number from 0"))?;
    let more = names.len() > count;
    names.truncate(count);
    let next = names.last().cloned().filter(|_| more);
    Ok((names, next))
}

async fn find(images: &Images, name: &str, reference: &str) -> Result<Manifest, Refusal> {
    let unknown = || {
        let message = format!("no manifest \"{reference}\" in repository \"{name}\"");
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    };
    if !is_reference(reference) {
        return Err(unknown());
    }
    images.manifest(name, reference).await?.ok_or_else(unknown)
}

async fn get_manifest(images: &Images, asked: &Asked, name: &str, reference: &str) -> Answer {
    let Manifest { digest, media_type, content } = find(images, name, reference).await?;
    let builder =
        Response::builder().header(header::CONTENT_TYPE, media_type).header(DIGEST_HEADER, digest.to_string());
    let builder = builder.header(header::CONTENT_LENGTH, content.len()).header(header::ETAG, format!("\"{digest}\""));
    let body = if asked.method == Method::HEAD { Body::empty() } else { Body::from(content) };
    built(builder.body(body))
}

async fn put_manifest(images: &Images, asked: &Asked, name: &str, reference: &str, body: Body) -> Answer {
    let blobs = &images.blobs;
    let wanted = reference.parse::<Digest>().ok();
    if !is_reference(reference) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", bad_reference(reference)));
    }
    let content = match Limited::new(body, MANIFEST_BYTES_MAX).collect().await {
        Ok(content) => content.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the manifest is larger than {MANIFEST_BYTES_MAX} bytes");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
        }
        Err(error) => return Err(body_error(error).into()),
    };
    let manifest: Value = serde_json::from_slice(&content)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("not JSON: {error}")))?;
    if let Some(wanted) = &wanted
        && *wanted != Digest::of(&content)
    {
        return Err(Refusal::digest(format!("the content has the digest {}", Digest::of(&content))));
    }
    known_parts(blobs, name, &manifest).await?;
    let sent = asked.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = manifest["mediaType"].as_str().or(sent).unwrap_or(manifest::MEDIA_TYPE);
    let digest = blobs.put_manifest(name, media_type, &content).await?;
    if wanted.is_none() {
        blobs.tag(name, reference, &digest).await?;
    }
    images.tell_others(name, reference).await;
    created(&format!("/v2/{name}/manifests/{digest}"), &digest)
}

/// A manifest is stored only when its repository holds everything it refers to, so that what can be named can be pulled, and
/// nobody gets by a manifest at what was brought elsewhere.
async fn known_parts(blobs: &Blobs, name: &str, manifest: &Value) -> Result<(), Refusal> {
    let malformed = |error: BadDigest| {
        Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("a descriptor's digest: {error}"))
    };
    for digest in manifest::references(manifest).map_err(malformed)? {
        if !blobs.holds(name, &digest).await? {
            let message = format!("{digest} is not in repository \"{name}\"; push it there before the manifest");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message));
        }
    }
    Ok(())
}

async fn delete_manifest(images: &Images, name: &str, reference: &str) -> Answer {
    let blobs = &images.blobs;
    let digest = find(images, name, reference).await?.digest;
    if reference.parse::<Digest>().is_ok() {
        blobs.forget(name, &digest).await?;
    } else {
        blobs.untag(name, reference).await?;
    }
    Ok(empty(StatusCode::ACCEPTED))
}

async fn get_blob(images: &Images, asked: &Asked, name: &str, digest: &Digest) -> Answer {
    images.fetch(name, digest).await?;
    let blobs = &images.blobs;
    let unknown = || {
        let message = format!("no blob {digest} in repository \"{name}\"");
        Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
    };
    if !blobs.holds(name, digest).await? {
        return Err(unknown());
    }
    let size = blobs.size(digest).await?.ok_or_else(unknown)?;
    let range =
        asked.headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(|text| range(text, size));
    let (status, from, length) = match range {
        None => (StatusCode::OK, 0, size),
        Some(Some((from, last))) => (StatusCode::PARTIAL_CONTENT, from, last - from + 1),
        Some(None) => {
            let message = format!("the blob has {size} bytes");
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", message));
        }
    };
    let mut builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{digest}\""))
        .header(DIGEST_HEADER, digest.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        builder = builder.header(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", from + length - 1));
    }
    if asked.method == Method::HEAD {
        return built(builder.body(Body::empty()));
    }
    built(builder.body(Body::from_stream(blobs.read(digest, from..from + length))))
}

/// The first and last byte of a single range, `Some(None)` if it lies outside, `None` if it is not one that is served.
fn range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let count: u64 = to.parse().ok()?;
        return Some((count > 0 && size > 0).then(|| (size.saturating_sub(count), size - 1)));
    }
    let from: u64 = from.parse().ok()?;
    let last = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
    (from <= last).then(|| (from < size).then(|| (from, last.min(size - 1))))
}

async fn begin(images: &Images, asked: &Asked, name: &str, body: Body) -> Answer {
    let blobs = &images.blobs;
    if let Some(digest) = asked.query("mount") {
        let digest: Digest = digest.parse()?;
        if mount(images, asked, name, &digest).await? {
            return created(&format!("/v2/{name}/blobs/{digest}"), &digest);
        }
    }
    let id = blobs.begin(name).await?;
    if asked.query("digest").is_some() {
        return finish(blobs, asked, name, &id, body).await;
    }
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// Brings a blob from another repository to this one; says whether it is here now. Whoever may not read there begins an upload,
/// as if nothing were there.
async fn mount(images: &Images, asked: &Asked, name: &str, digest: &Digest) -> Result<bool, Refusal> {
    let blobs = &images.blobs;
    if blobs.holds(name, digest).await? {
        return Ok(true);
    }
    let Some(from) = &asked.may_mount else { return Ok(false) };
    images.fetch(from, digest).await?;
    let is_there = blobs.holds(from, digest).await?;
    if is_there {
        blobs.link(name, digest).await?;
    }
    Ok(is_there)
}

/// The pieces of a body as they come.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, Error>> + Unpin {
    body.into_data_stream().map(|piece| piece.map_err(|error| body_error(error.into_inner()))).boxed()
}

async fn append(blobs: &Blobs, asked: &Asked, name: &str, id: &str, body: Body) -> Answer {
    let length = blobs.append(name, id, asked.begins()?, pieces(body)).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, length))
}

async fn finish(blobs: &Blobs, asked: &Asked, name: &str, id: &str, body: Body) -> Answer {
    let digest =
        asked.query("digest").ok_or_else(|| Refusal::digest("digest: say what the content must be".to_owned()))?;
    let digest: Digest = digest.parse()?;
    blobs.append(name, id, asked.begins()?, pieces(body)).await?;
    blobs.finish(name, id, &digest).await?;
    created(&format!("/v2/{name}/blobs/{digest}"), &digest)
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Where the body's bytes begin, if the client says so: `Content-Range: 0-1023`.
    fn begins(&self) -> Result<Option<u64>, Refusal> {
        let Some(range) = self.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
        let text = range.to_str().ok().map(|text| text.trim_start_matches("bytes").trim_start_matches([' ', '=']));
        let begin = text.and_then(|text| text.split_once('-')).and_then(|(begin, _)| begin.parse().ok());
        let wrong = || Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "Content-Range: use FIRST-LAST");
        begin.map(Some).ok_or_else(wrong)
    }
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
    }

    fn digest(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    fn response(self) -> Response<Body> {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message, "detail": null }] });
        let mut response = json_answer(&body);
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, code) = match error.reason {
            Reason::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Reason::Forbidden => (StatusCode::FORBIDDEN, "DENIED"),
            Reason::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Reason::BadRequest => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        Self::new(status, code, error.message)
    }
}

impl From<BadDigest> for Refusal {
    fn from(error: BadDigest) -> Self {
        Self::digest(error.to_string())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        failed(&error).into()
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        let (status, code) = match &error {
            UploadError::Unknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            UploadError::TooMany => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            UploadError::Gap(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            UploadError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            UploadError::Mismatch(_) => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            UploadError::Body(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            UploadError::Disk(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        };
        Self::new(status, code, error.to_string())
    }
}

fn json_answer(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn linked(mut response: Response<Body>, link: Option<String>) -> Response<Body> {
    if let Some(link) = link.and_then(|link| header::HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn created(location: &str, digest: &Digest) -> Answer {
    let builder = Response::builder().status(StatusCode::CREATED).header(header::LOCATION, location);
    built(builder.header(DIGEST_HEADER, digest.to_string()).body(Body::empty()))
}

/// How far an upload is. An upload without bytes is told as `0-0`, as all registries do.
fn progress(status: StatusCode, name: &str, id: &str, length: u64) -> Response<Body> {
    let builder = Response::builder()
        .status(status)
        .header(header::LOCATION, format!("/v2/{name}/blobs/uploads/{id}"))
        .header(header::RANGE, format!("0-{}", length.saturating_sub(1)))
        .header("docker-upload-uuid", id);
    builder.body(Body::empty()).unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}

fn built(response: Result<Response<Body>, http::Error>) -> Answer {
    response.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()))
}
