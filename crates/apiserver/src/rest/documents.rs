//! Documents about the server itself: version, health, discovery, OpenAPI. They follow from the table of kinds, and from what
//! users have defined beside it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use api::{
    Error, Served,
    custom::{Definitions, Version},
};
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    accept::{self, Discovery, Encoding},
    answer,
    compress::Packed,
    discovery::{self, Catalogue},
    etag,
    path::Endpoint,
};

/// The Kubernetes version whose API this is. Clients choose their behaviour by the minor version.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "32";

/// The media type of OpenAPI v2 in protobuf. Clients write `v2@v1.0`, but Go's own parser refuses the `@` in an answer.
const OPENAPI_V2_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Everything that is served, and the documents about it that were asked for.
pub(crate) struct Offered {
    all: Catalogue,
    defined: Arc<Definitions>,
    /// Documents about all that is served, by what they are: large where much is defined.
    made: Mutex<HashMap<String, Arc<Packed>>>,
}

/// What is served now. What users define comes and goes.
#[derive(Default)]
pub(crate) struct Documents(Mutex<Option<Arc<Offered>>>);

impl Documents {
    /// What is served beside the table of kinds: the documents of before, as long as nothing was defined since.
    pub(crate) fn of(&self, defined: &Arc<Definitions>) -> Arc<Offered> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(offered) = kept.as_ref().filter(|offered| Arc::ptr_eq(&offered.defined, defined)) {
            return offered.clone();
        }
        let all = Catalogue::of(Served::all().chain(defined.served()));
        let offered = Arc::new(Offered { all, defined: defined.clone(), made: Mutex::default() });
        *kept = Some(offered.clone());
        offered
    }
}

impl Offered {
    /// A document, made when it is first asked for.
    fn document(&self, what: &str, make: impl FnOnce() -> Packed) -> Arc<Packed> {
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = made().get(what) {
            return document.clone();
        }
        let document = Arc::new(make());
        made().insert(what.to_owned(), document.clone());
        document
    }

    /// Every version that a user has defined.
    fn versions(&self) -> impl Iterator<Item = &Version> + Clone {
        self.defined.versions()
    }
}

/// The answer for an endpoint that is a document; `None` for those that are not. `offered` is asked only if the document says
/// what is served: who may see nothing else may see the version.
pub(crate) fn answer(
    endpoint: &Endpoint,
    offered: impl FnOnce() -> Arc<Offered>,
    headers: &HeaderMap,
) -> Option<Result<Response<Body>, Error>> {
    if *endpoint == Endpoint::Version {
        return Some(Ok(answer::json(StatusCode::OK, &version())));
    }
    let offered = &*offered();
    let all = &offered.all;
    Some(match endpoint {
        Endpoint::CoreGroup => discover(offered, Groups::Core, || discovery::core_group(all, host(headers)), headers),
        Endpoint::Groups => discover(offered, Groups::Named, || discovery::group_list(all), headers),
        Endpoint::Group(group) => plain(&discovery::group(all, group), headers),
        Endpoint::GroupVersion(group, version) => plain(&discovery::resource_list(all, group, version), headers),
        Endpoint::OpenApiV2 => openapi_v2(offered, headers),
        Endpoint::OpenApiIndex => {
            let document = offered.document("index", || Packed::new(openapi_index(offered).to_string().as_bytes()));
            Ok(answer::packed(answer::JSON, &document, headers))
        }
        Endpoint::OpenApiDocument(group, version) => return openapi_document(offered, group, version, headers),
        Endpoint::Version | Endpoint::Alive | Endpoint::Ready | Endpoint::Review(_) | Endpoint::Objects(_) => {
            return None;
        }
    })
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn version() -> Value {
    json!({
        "major": KUBERNETES_MAJOR,
        "minor": KUBERNETES_MINOR,
        "gitVersion": format!("v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.0+kapelle.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// An answer without a form of its own, as the client wants it written.
fn plain(value: &Value, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    Ok(answer::value(StatusCode::OK, accept::plain(headers)?, value))
}

/// The groups that one document of discovery tells of.
#[derive(Clone, Copy, Debug)]
enum Groups {
    /// The core group.
    Core,
    /// All others.
    Named,
}

impl Groups {
    fn of(self, all: &Catalogue) -> Vec<&'static str> {
        let is_meant = |group: &&str| matches!((self, group.is_empty()), (Self::Core, true) | (Self::Named, false));
        all.groups().filter(is_meant).collect()
    }
}

fn discover(
    offered: &Offered,
    groups: Groups,
    legacy: impl FnOnce() -> Value,
    headers: &HeaderMap,
) -> Result<Response<Body>, Error> {
    Ok(match accept::discovery(headers)? {
        Discovery::Legacy(Encoding::Json) => answer::document(answer::JSON, legacy().to_string(), headers),
        Discovery::Legacy(encoding) => answer::value(StatusCode::OK, encoding, &legacy()),
        Discovery::Aggregated(version) => {
            let make = || discovery::aggregated(&offered.all, &groups.of(&offered.all), version).to_string();
            let document =
                offered.document(&format!("{groups:?} {}", version.word()), || Packed::new(make().as_bytes()));
            answer::packed(version.content_type(), &document, headers)
        }
    })
}

/// One version of one group in OpenAPI v3, with nothing in it that users have defined.
struct Document {
    group: &'static str,
    version: &'static str,
    packed: Packed,
}

/// Made when the first client asks, so that starting does not wait for it.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let all = Catalogue::of(Served::all());
    let versions = |group| all.versions(group).into_iter().map(move |version| (group, version));
    let document = |(group, version)| {
        let packed = Packed::new(api::openapi::document(group, version, []).to_string().as_bytes());
        Document { group, version, packed }
    };
    all.groups().flat_map(versions).map(document).collect()
});

/// All groups and versions of the table of kinds in OpenAPI v2, as JSON.
static DOCUMENT_V2: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(api::openapi::document_v2().to_string().as_bytes()));

/// As [`DOCUMENT_V2`], in protobuf, in which nearly all clients ask for it.
static DOCUMENT_V2_PROTOBUF: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(&api::openapi::encode_v2(&api::openapi::document_v2())));

fn document_of_table(group: &str, version: &str) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.group == group && document.version == version)
}

/// The hash stands in the URL, since clients keep what they read from a URL for good.
fn openapi_index(offered: &Offered) -> Value {
    let entry = |(group, version): (&'static str, &'static str), hash: &str| {
        let path = discovery::api_path(group, version);
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path, json!({ "serverRelativeURL": url }))
    };
    let mut paths: Map<String, Value> =
        DOCUMENTS.iter().map(|document| entry((document.group, document.version), document.packed.hash())).collect();
    // Such a document is large and may be one of a thousand: it is made when somebody asks for it.
    let hash = |(group, version)| {
        let said: Vec<String> = offered.defined.of_version(group, version).map(Version::identity).collect();
        etag::hash(said.join(",").as_bytes())
    };
    paths.extend(offered.defined.group_versions().map(|of| entry(of, &hash(of))));
    json!({ "paths": paths })
}

fn openapi_document(
    offered: &Offered,
    group: &str,
    version: &str,
    headers: &HeaderMap,
) -> Option<Result<Response<Body>, Error>> {
    if offered.defined.has_group_version(group, version) {
        let make = || api::openapi::document(group, version, offered.defined.of_version(group, version)).to_string();
        return Some(accept::json(headers).map(|()| answer::document(answer::JSON, make(), headers)));
    }
    let document = document_of_table(group, version)?;
    Some(accept::json(headers).map(|()| answer::packed(answer::JSON, &document.packed, headers)))
}

/// What users define is written bit by bit into what is compressed: as a whole the document of a thousand kinds is large.
fn openapi_v2(offered: &Offered, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    let is_protobuf = accept::openapi_v2(headers)?;
    let content_type = if is_protobuf { OPENAPI_V2_TYPE } else { answer::JSON };
    if offered.versions().next().is_none() {
        let document = if is_protobuf { &DOCUMENT_V2_PROTOBUF } else { &DOCUMENT_V2 };
        return Ok(answer::packed(content_type, document, headers));
    }
    let document = offered.document(content_type, || {
        Packed::written(|into| {
            if is_protobuf {
                api::openapi::write_v2_protobuf(offered.versions(), into)
            } else {
                api::openapi::write_v2(offered.versions(), into)
            }
        })
    });
    Ok(answer::packed(content_type, &document, headers))
}
