//! Whether a request is allowed, as far as its head tells: checked before a byte of its body is read.
//!
//! Whatever is not named here is closed: nobody may use a new service or path until it is added to this file. Requests for
//! objects are checked again by the [`Registry`], with the object's name.

use std::{sync::Arc, time::Duration};

use api::{Error, Verb};
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use images::oci::MayMount;
use registry::{
    Access, Caller, Registry,
    fair::{Class, Seat},
};

use crate::{
    asked, impersonate,
    rest::{self, path},
};

/// In which answers say to which schema and level their requests belonged.
const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// What became of a request at the gate.
pub(crate) struct Passed {
    /// Where it belongs.
    class: Class,
    /// As whom it came in, its sender or whoever the sender wants to be and may, and its seat; or why not.
    pub(crate) entry: Result<(Arc<Caller>, Seat), Error>,
}

/// Lets a request in, or says why not, by its head alone. It takes a seat before anything else is asked about it: first its
/// sender's, and then, in place of it, that of whoever the sender wants to be.
pub(crate) async fn pass(
    registry: &Registry,
    sender: Arc<Caller>,
    language: Language,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
) -> Passed {
    let (path, mut lower) = (asked::unescaped(uri.path()), String::new());
    let asked = asked::attributes(method, uri, &path, &mut lower);
    let own = registry.for_caller(sender.clone());
    let limit = asked::limit(uri);
    let mut class = own.class(&asked, limit);
    let entry = async {
        let seat = own.seat(&class).await?;
        let Some(caller) = impersonate::wanted(&own, headers).await? else {
            own.authorise(language.access(method, uri.path())).await?;
            return Ok((sender, seat));
        };
        // Whoever holds one seat while it waits for another could wait for itself.
        drop(seat);
        let theirs = registry.for_caller(caller.clone());
        class = theirs.class(&asked, limit);
        let seat = theirs.seat(&class).await?;
        theirs.authorise(language.access(method, uri.path())).await?;
        Ok((caller, seat))
    }
    .await;
    Passed { class, entry }
}

impl Passed {
    /// For how long the seat is kept after the answer has begun, at most, if it is.
    pub(crate) fn kept_for(&self) -> Option<Duration> {
        self.class.kept_for()
    }

    /// What answers tell of where their requests belonged; nothing of what nobody has made yet.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let uids = [(SCHEMA_HEADER, self.class.schema_uid()), (LEVEL_HEADER, self.class.level_uid())];
        let told = uids.map(|(name, uid)| Some((name, HeaderValue::from_str(uid).ok().filter(|uid| !uid.is_empty())?)));
        told.into_iter().flatten()
    }
}

/// Notes beside a request that it may mount a blob from another repository, if it wants to and may read there.
pub(crate) async fn note_mount(registry: &Registry, request: &mut Request<Body>) {
    let uri = request.uri();
    let Some(from) = images::oci::mounted_from(uri.path(), uri.query().unwrap_or_default()) else { return };
    if registry.authorise(Access::Images(Verb::Get, &from)).await.is_ok() {
        request.extensions_mut().insert(MayMount(from));
    }
}

/// The language of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// gRPC.
    Grpc,
    /// The OCI distribution API.
    Oci,
    /// The Kubernetes REST API.
    Rest,
}

impl Language {
    /// The language in which a request is written.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        let content = headers.get(http::header::CONTENT_TYPE);
        if content.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            Self::Grpc
        } else if path == "/v2" || path.starts_with("/v2/") {
            Self::Oci
        } else {
            Self::Rest
        }
    }

    /// How this language says no.
    pub(crate) fn refusal(self, error: Error) -> Response<Body> {
        match self {
            Self::Grpc => rpc::status::to_tonic(&error).into_http(),
            Self::Oci => images::oci::refusal(error),
            Self::Rest => rest::refusal(&error),
        }
    }

    /// What a request in this language wants.
    fn access<'a>(self, method: &Method, path: &'a str) -> Access<'a> {
        match self {
            Self::Grpc => grpc(path),
            Self::Oci => oci(method, path),
            Self::Rest => rest(path),
        }
    }
}

/// What stands at a path and is open to everybody is what Kubernetes opens as well.
fn rest(path: &str) -> Access<'static> {
    match path::parse(path, Arc::default) {
        Some(
            path::Endpoint::Version
            | path::Endpoint::Alive
            | path::Endpoint::Ready
            | path::Endpoint::Issuer
            | path::Endpoint::JsonWebKeys,
        ) => Access::Public,
        _ => Access::Inside,
    }
}

fn oci<'a>(method: &Method, path: &'a str) -> Access<'a> {
    let rest = path.strip_prefix("/v2").unwrap_or(path).trim_start_matches('/');
    let verb = match *method {
        Method::GET | Method::HEAD if rest == "_catalog" => Verb::List,
        Method::GET | Method::HEAD => Verb::Get,
        Method::DELETE => Verb::Delete,
        _ => Verb::Create,
    };
    if rest.is_empty() && verb == Verb::Get {
        // Clients ask so whether they are known here.
        return Access::Inside;
    }
    // Read by the registry itself, so that what is allowed is what is done.
    Access::Images(verb, images::oci::repository_of(path))
}

fn grpc(path: &str) -> Access<'static> {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match (service, method) {
        ("grpc.health.v1.Health", _) | ("kapelle.api.v1.Join", "Join") => Access::Public,
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _)
        | (
            "kapelle.api.v1.Objects"
            | "kapelle.api.v1.Logs"
            | "kapelle.api.v1.Ports"
            | "kapelle.api.v1.Nodes"
            | "kapelle.api.v1.Identities"
            | "kapelle.api.v1.Rights",
            _,
        ) => Access::Inside,
        ("kapelle.api.v1.Images", "ReadManifest" | "ReadBlob") => Access::SomeImages(Verb::Get),
        ("kapelle.api.v1.Images", "Push") => Access::SomeImages(Verb::Create),
        ("kapelle.api.v1.Join", "Renew") => Access::Renew,
        ("kapelle.api.v1.Images", _) => Access::Administer("tell masters of images"),
        ("kapelle.api.v1.Cluster", "Status") => Access::SeeMasters,
        ("kapelle.api.v1.Cluster", "Admit") => Access::Admit,
        ("kapelle.api.v1.Cluster", "Backup") => Access::Administer("make a backup"),
        ("kapelle.api.v1.Cluster", "CreateToken") => Access::Administer("create tokens"),
        _ => Access::Administer("change the group of masters"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_of_images_name_a_repository() {
        let cases = [
            ("GET /v2/", "Inside"),
            ("GET /v2", "Inside"),
            ("GET /v2/_catalog", "Images(List, \"\")"),
            ("GET /v2/team/app/tags/list", "Images(Get, \"team/app\")"),
            ("HEAD /v2/app/manifests/v1", "Images(Get, \"app\")"),
            ("PUT /v2/team/app/manifests/v1", "Images(Create, \"team/app\")"),
            ("POST /v2/team/app/blobs/uploads/", "Images(Create, \"team/app\")"),
            ("POST /v2/team/app/blobs/uploads", "Images(Create, \"team/app\")"),
            ("PATCH /v2/team/app/blobs/uploads/1", "Images(Create, \"team/app\")"),
            ("DELETE /v2/team/app/manifests/v1", "Images(Delete, \"team/app\")"),
            ("GET /v2/team/manifests/blobs/sha256:0", "Images(Get, \"team/manifests\")"),
            ("GET /v2/team/blobs/blobs/sha256:0", "Images(Get, \"team/blobs\")"),
            ("GET /v2/team/app", "Images(Get, \"\")"),
            ("GET /v2/team/../other/manifests/v1", "Images(Get, \"\")"),
            ("GET /v2/team/app/manifests/tags/list", "Images(Get, \"team/app/manifests\")"),
            ("POST /v2/", "Images(Create, \"\")"),
        ];
        for (line, expected) in cases {
            let (method, path) = line.split_once(' ').unwrap();
            let access = Language::Oci.access(&method.parse().unwrap(), path);
            assert_eq!(format!("{access:?}"), expected, "{line}");
        }
    }
}
