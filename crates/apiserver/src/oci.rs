//! The OCI distribution API under `/v2/`, so that standard tools push and pull modules.
//!
//! Everybody of the cluster may read, administrators and masters may write, as the [gate](crate::gate) says. Repositories share blobs, so mounting one from another repository only asks whether it is there.

use std::io;

use api::{Error, Reason};
use axum::{Router, body::Body, extract::State};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};

use crate::{
    blobs::{BadDigest, Blobs, Digest, MANIFEST_BYTES_MAX, UploadError},
    gallery::{Gallery, Manifest, parts},
    rest::{broken, text},
};

/// The longest name of a repository, in bytes, with room for the host in a reference of 255.
const NAME_BYTES_MAX: usize = 200;

/// The longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// What a manifest is if its sender does not say.
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Carries the digest of what was answered or stored.
const DIGEST_HEADER: &str = "docker-content-digest";

/// The OCI distribution API over some images.
pub(crate) fn router(gallery: Gallery) -> Router {
    Router::new().fallback(serve).with_state(gallery)
}

/// Whether an image can have a name: a repository and a tag or digest.
///
/// # Errors
/// If not; says what would do.
pub(crate) fn check_name(name: &str, reference: &str) -> Result<(), Error> {
    let parts: Vec<&str> = name.split('/').collect();
    repository(&parts).map_err(|refusal| Error::bad_request(refusal.message))?;
    if is_tag(reference) || reference.parse::<Digest>().is_ok() {
        return Ok(());
    }
    Err(Error::bad_request(bad_reference(reference)))
}

fn bad_reference(reference: &str) -> String {
    format!("\"{reference}\" is neither a digest nor a tag of letters, digits, '_', '.' and '-'")
}

/// What a path names. Names of repositories may have slashes in them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
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
}

async fn serve(State(gallery): State<Gallery>, request: Request<Body>) -> Response<Body> {
    versioned(answer(&gallery, request).await.unwrap_or_else(Refusal::response))
}

/// A refusal of the door, in the specification's words.
pub(crate) fn refusal(error: Error) -> Response<Body> {
    versioned(Refusal::from(error).response())
}

fn versioned(mut response: Response<Body>) -> Response<Body> {
    let version = header::HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert("docker-distribution-api-version", version);
    response
}

async fn answer(gallery: &Gallery, request: Request<Body>) -> Answer {
    let blobs = &gallery.blobs;
    let (head, body) = request.into_parts();
    let query = text::pairs(head.uri.query().unwrap_or_default());
    let query = query.ok_or_else(|| Refusal::unsupported("the query has a broken percent escape"))?;
    let asked = Asked { method: head.method, query, headers: head.headers };
    let place = place(head.uri.path())?;
    let method = if asked.method == Method::HEAD { Method::GET } else { asked.method.clone() };
    match (method, place) {
        (Method::GET, Place::Base) => Ok(json_answer(&json!({}))),
        (Method::GET, Place::Catalog) => catalog(blobs, &asked).await,
        (Method::GET, Place::Tags { name }) => tags(blobs, &asked, &name).await,
        (Method::GET, Place::Manifest { name, reference }) => get_manifest(gallery, &asked, &name, &reference).await,
        (Method::PUT, Place::Manifest { name, reference }) => {
            put_manifest(gallery, &asked, &name, &reference, body).await
        }
        (Method::DELETE, Place::Manifest { name, reference }) => delete_manifest(gallery, &name, &reference).await,
        (Method::GET, Place::Blob { digest, .. }) => get_blob(gallery, &asked, &digest.parse()?).await,
        (Method::POST, Place::Uploads { name }) => begin(blobs, &asked, &name, body).await,
        (Method::GET, Place::Upload { name, id }) => {
            Ok(progress(StatusCode::NO_CONTENT, &name, &id, blobs.length(&id).await?))
        }
        (Method::PATCH, Place::Upload { name, id }) => append(blobs, &asked, &name, &id, body).await,
        (Method::PUT, Place::Upload { name, id }) => finish(blobs, &asked, &name, &id, body).await,
        (Method::DELETE, Place::Upload { id, .. }) => {
            blobs.cancel(&id).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::unsupported("this registry does not do that; blobs are never deleted")),
    }
}

fn place(path: &str) -> Result<Place, Refusal> {
    let rest = path.strip_prefix("/v2").unwrap_or(path).trim_start_matches('/');
    let parts: Vec<&str> = rest.split('/').collect();
    let place = match parts.as_slice() {
        [""] => return Ok(Place::Base),
        ["_catalog"] => return Ok(Place::Catalog),
        [name @ .., "tags", "list"] => Place::Tags { name: repository(name)? },
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Place::Uploads { name: repository(name)? }
        }
        [name @ .., "blobs", "uploads", id] => Place::Upload { name: repository(name)?, id: (*id).to_owned() },
        [name @ .., "blobs", digest] => Place::Blob { name: repository(name)?, digest: (*digest).to_owned() },
        [name @ .., "manifests", reference] => {
            Place::Manifest { name: repository(name)?, reference: (*reference).to_owned() }
        }
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this path")),
    };
    Ok(place)
}

/// Lower-case words with single separators within, joined by slashes. Such names are also safe as paths.
fn repository(parts: &[&str]) -> Result<String, Refusal> {
    let name = parts.join("/");
    if !parts.is_empty() && name.len() <= NAME_BYTES_MAX && parts.iter().all(|part| is_component(part)) {
        return Ok(name);
    }
    let message =
        format!("\"{name}\": use lower-case letters, digits, and '.', '_', '-' between them, in parts joined by '/'");
    Err(Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", message))
}

fn is_component(part: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|run| !run.is_empty());
    ends && separators.into_iter().all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(word);
    first && tag.len() <= TAG_BYTES_MAX && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
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

async fn find(gallery: &Gallery, name: &str, reference: &str) -> Result<Manifest, Refusal> {
    let unknown = || {
        let message = format!("no manifest \"{reference}\" in repository \"{name}\"");
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    };
    if reference.parse::<Digest>().is_err() && !is_tag(reference) {
        return Err(unknown());
    }
    gallery.manifest(name, reference).await?.ok_or_else(unknown)
}

async fn get_manifest(gallery: &Gallery, asked: &Asked, name: &str, reference: &str) -> Answer {
    let Manifest { digest, media_type, content } = find(gallery, name, reference).await?;
    let builder =
        Response::builder().header(header::CONTENT_TYPE, media_type).header(DIGEST_HEADER, digest.to_string());
    let builder = builder.header(header::CONTENT_LENGTH, content.len()).header(header::ETAG, format!("\"{digest}\""));
    let body = if asked.method == Method::HEAD { Body::empty() } else { Body::from(content) };
    built(builder.body(body))
}

async fn put_manifest(gallery: &Gallery, asked: &Asked, name: &str, reference: &str, body: Body) -> Answer {
    let blobs = &gallery.blobs;
    let wanted = reference.parse::<Digest>().ok();
    if wanted.is_none() && !is_tag(reference) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", bad_reference(reference)));
    }
    let content = match Limited::new(body, MANIFEST_BYTES_MAX).collect().await {
        Ok(content) => content.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the manifest is larger than {MANIFEST_BYTES_MAX} bytes");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
        }
        Err(error) => return Err(broken(axum::Error::new(error)).into()),
    };
    let manifest: Value = serde_json::from_slice(&content)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("not JSON: {error}")))?;
    if let Some(wanted) = &wanted
        && *wanted != Digest::of(&content)
    {
        return Err(Refusal::digest(format!("the content has the digest {}", Digest::of(&content))));
    }
    known_parts(blobs, &manifest).await?;
    let sent = asked.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = manifest["mediaType"].as_str().or(sent).unwrap_or(MANIFEST_TYPE);
    let digest = blobs.put_manifest(name, media_type, &content).await?;
    if wanted.is_none() {
        blobs.tag(name, reference, &digest).await?;
    }
    gallery.tell_others(name, reference).await;
    created(&format!("/v2/{name}/manifests/{digest}"), &digest)
}

/// A manifest is stored only when everything it refers to is there, so that what can be named can be pulled.
async fn known_parts(blobs: &Blobs, manifest: &Value) -> Result<(), Refusal> {
    let malformed = |error: BadDigest| {
        Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("a descriptor's digest: {error}"))
    };
    for digest in parts(manifest).map_err(malformed)? {
        if blobs.size(&digest).await?.is_none() {
            let message = format!("{digest} is not here; push it before the manifest");
            return Err(Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message));
        }
    }
    Ok(())
}

async fn delete_manifest(gallery: &Gallery, name: &str, reference: &str) -> Answer {
    let blobs = &gallery.blobs;
    let digest = find(gallery, name, reference).await?.digest;
    if reference.parse::<Digest>().is_ok() {
        blobs.forget(name, &digest).await?;
    } else {
        blobs.untag(name, reference).await?;
    }
    Ok(empty(StatusCode::ACCEPTED))
}

async fn get_blob(gallery: &Gallery, asked: &Asked, digest: &Digest) -> Answer {
    gallery.fetch(digest).await?;
    let blobs = &gallery.blobs;
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("no blob {digest}"));
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

async fn begin(blobs: &Blobs, asked: &Asked, name: &str, body: Body) -> Answer {
    if let Some(digest) = asked.query("mount") {
        let digest: Digest = digest.parse()?;
        if blobs.size(&digest).await?.is_some() {
            return created(&format!("/v2/{name}/blobs/{digest}"), &digest);
        }
    }
    let id = blobs.begin().await?;
    if asked.query("digest").is_some() {
        return finish(blobs, asked, name, &id, body).await;
    }
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// The pieces of a body as they come.
fn pieces(body: Body) -> impl Stream<Item = Result<Bytes, Error>> + Unpin {
    body.into_data_stream().map(|piece| piece.map_err(broken)).boxed()
}

async fn append(blobs: &Blobs, asked: &Asked, name: &str, id: &str, body: Body) -> Answer {
    let length = blobs.append(id, asked.begins()?, pieces(body)).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, length))
}

async fn finish(blobs: &Blobs, asked: &Asked, name: &str, id: &str, body: Body) -> Answer {
    let digest =
        asked.query("digest").ok_or_else(|| Refusal::digest("digest: say what the content must be".to_owned()))?;
    let digest: Digest = digest.parse()?;
    blobs.append(id, asked.begins()?, pieces(body)).await?;
    blobs.finish(id, &digest).await?;
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
        tracing::error!(%error, "the image store failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", format!("the image store failed: {error}"))
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
