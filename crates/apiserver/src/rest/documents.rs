//! Documents about the server itself: version, health, discovery, OpenAPI. They follow from the table of kinds, and from what
//! users have defined and backends of the API offer beside it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

use api::{
    Error, Served,
    custom::{Definitions, Version},
};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    Asked,
    accept::{self, Discovery, DiscoveryVersion, OpenApi, OpenApiForm},
    aggregate::{Listing, Said},
    answer,
    compress::Packed,
    discovery::{self, Catalogue},
    etag,
    path::Endpoint,
};

/// The Kubernetes version whose API this is. Clients choose their behaviour by the minor version.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "32";

/// For how long clients may keep a document whose URL changes with it, as a header says it: a year, as in Kubernetes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// Everything that is served, and the documents about it that were asked for.
pub(crate) struct Offered {
    all: Catalogue,
    defined: Arc<Definitions>,
    backends: Listing,
    /// What the backends had said when the first document was asked for.
    said: Vec<Said>,
    /// Documents about all that is served, by what they are: large where much is defined.
    made: Mutex<HashMap<String, Arc<Packed>>>,
    /// Held while one is made, so that many who ask at once wait for one to be made, not each for one of its own.
    making: Mutex<()>,
}

/// What is served now. What users define and backends offer comes and goes.
#[derive(Default)]
pub(crate) struct Documents(Mutex<Option<Arc<Offered>>>);

impl Documents {
    /// What is served beside the table of kinds: the documents of before, as long as nothing was defined or said since.
    pub(super) fn of(&self, defined: &Arc<Definitions>, backends: Listing) -> Arc<Offered> {
        let said = backends.said();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |offered: &&Arc<Offered>| Arc::ptr_eq(&offered.defined, defined) && offered.said == said;
        if let Some(offered) = kept.as_ref().filter(is_same) {
            return offered.clone();
        }
        let all = Catalogue::of(Served::all().chain(defined.served()));
        let offered = Arc::new(Offered {
            all,
            defined: defined.clone(),
            backends,
            said,
            made: Mutex::default(),
            making: Mutex::default(),
        });
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
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = made().get(what) {
            return document.clone();
        }
        let document = Arc::new(make());
        made().insert(what.to_owned(), document.clone());
        document
    }

    /// All groups but the core one, in the legacy form.
    fn groups(&self) -> Value {
        let mut all = discovery::group_list(&self.all);
        self.backends.complete_groups(&mut all);
        all
    }

    /// One group, in the legacy form.
    fn group(&self, name: &str) -> Value {
        let mut group = discovery::group(&self.all, name);
        self.backends.complete_group(name, &mut group);
        group
    }

    /// Groups in the aggregated form.
    fn aggregated(&self, groups: Groups, version: DiscoveryVersion) -> Value {
        let mut all = discovery::aggregated(&self.all, &groups.of(&self.all), version);
        match groups {
            Groups::Core => {}
            Groups::Named => self.backends.complete_aggregated(&mut all),
        }
        all
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
    asked: &Asked,
) -> Option<Result<Response<Body>, Error>> {
    if *endpoint == Endpoint::Version {
        return Some(Ok(answer::json(StatusCode::OK, &version())));
    }
    let offered = &*offered();
    let (all, headers) = (&offered.all, &asked.headers);
    Some(match endpoint {
        Endpoint::CoreGroup => discover(offered, Groups::Core, || discovery::core_group(all, host(headers)), headers),
        Endpoint::Groups => discover(offered, Groups::Named, || offered.groups(), headers),
        Endpoint::Group(group) => answer::legacy(&offered.group(group), headers),
        Endpoint::GroupVersion(group, version) => {
            answer::legacy(&discovery::resource_list(all, group, version), headers)
        }
        Endpoint::OpenApiV2 => openapi_v2(offered, headers),
        Endpoint::OpenApiIndex => {
            let document = offered.document("index", || Packed::new(openapi_index(offered).to_string().as_bytes()));
            Ok(answer::packed(answer::JSON, &document, headers))
        }
        Endpoint::OpenApiDocument(group, version) => return openapi_document(offered, group, version, asked),
        Endpoint::Version
        | Endpoint::Alive
        | Endpoint::Ready
        | Endpoint::Issuer
        | Endpoint::JsonWebKeys
        | Endpoint::Review(_)
        | Endpoint::Objects(_) => return None,
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
        "platform": format!("{}/{}", std::env::consts::OS, api::well_known::ARCHITECTURE),
    })
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
        Discovery::Legacy(encoding) => {
            let (content_type, body) = answer::written(encoding, &legacy());
            answer::document(content_type, body, headers)
        }
        Discovery::Aggregated(encoding, version) => {
            let all = || offered.aggregated(groups, version);
            let what = format!("{groups:?} {encoding:?} {}", version.word());
            let document = offered.document(&what, || Packed::new(&answer::written(encoding, &all()).1));
            answer::packed(version.content_type(encoding), &document, headers)
        }
    })
}

/// One version of one group in OpenAPI v3, with nothing in it that users have defined.
struct Document {
    group: &'static str,
    version: &'static str,
    json: Packed,
    /// For the few clients that ask for it.
    protobuf: OnceLock<Packed>,
}

impl Document {
    fn new(group: &'static str, version: &'static str) -> Self {
        let json = Packed::new(api::openapi::document(group, version, []).to_string().as_bytes());
        Self { group, version, json, protobuf: OnceLock::new() }
    }

    fn packed(&self, form: OpenApiForm) -> &Packed {
        match form {
            OpenApiForm::Json => &self.json,
            OpenApiForm::Protobuf => self.protobuf.get_or_init(|| {
                Packed::new(&api::openapi::encode_v3(&api::openapi::document(self.group, self.version, [])))
            }),
        }
    }
}

/// Made when the first client asks, so that starting does not wait for it.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let all = Catalogue::of(Served::all());
    let versions = |group| all.versions(group).into_iter().map(move |version| (group, version));
    all.groups().flat_map(versions).map(|(group, version)| Document::new(group, version)).collect()
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

/// Where each document is found.
fn openapi_index(offered: &Offered) -> Value {
    let entry = |group, version, hash: &str| {
        (discovery::api_path(group, version), json!({ "serverRelativeURL": kept_url(group, version, hash) }))
    };
    let of_table = DOCUMENTS.iter().map(|document| entry(document.group, document.version, document.json.hash()));
    let mut paths: Map<String, Value> = of_table.collect();
    let defined = offered.defined.group_versions();
    paths.extend(defined.map(|(group, version)| entry(group, version, &hash_of_defined(offered, group, version))));
    let mut index = json!({ "paths": paths });
    offered.backends.complete_documents(&mut index);
    index
}

/// The URL under which a document is kept for good: it changes with the document.
fn kept_url(group: &str, version: &str, hash: &str) -> String {
    format!("/openapi/v3/{}?hash={hash}", discovery::api_path(group, version))
}

/// What stands for a document in which users have defined something. Such a document is large and may be one of a thousand, so
/// that it is made only when somebody asks for it; other programs may make another one of the same definitions.
fn hash_of_defined(offered: &Offered, group: &str, version: &str) -> String {
    let said = offered.defined.of_version(group, version).map(Version::identity);
    let parts: Vec<String> = said.chain([env!("CARGO_PKG_VERSION").to_owned()]).collect();
    etag::hash(parts.join(",").as_bytes())
}

fn openapi_document(
    offered: &Offered,
    group: &str,
    version: &str,
    asked: &Asked,
) -> Option<Result<Response<Body>, Error>> {
    let form = || accept::openapi(&asked.headers, OpenApi::V3);
    if offered.defined.has_group_version(group, version) {
        let url = kept_url(group, version, &hash_of_defined(offered, group, version));
        return Some(
            form().map(|form| kept(&url, asked, || document_of_defined(offered, (group, version), form, asked))),
        );
    }
    let document = document_of_table(group, version)?;
    let url = kept_url(group, version, document.json.hash());
    let whole = |form| answer::packed(OpenApi::V3.content_type(form), document.packed(form), &asked.headers);
    Some(form().map(|form| kept(&url, asked, || whole(form))))
}

fn document_of_defined(
    offered: &Offered,
    (group, version): (&str, &str),
    form: OpenApiForm,
    asked: &Asked,
) -> Response<Body> {
    let document = api::openapi::document(group, version, offered.defined.of_version(group, version));
    let body = match form {
        OpenApiForm::Json => document.to_string().into_bytes(),
        OpenApiForm::Protobuf => api::openapi::encode_v3(&document),
    };
    answer::document(OpenApi::V3.content_type(form), body, &asked.headers)
}

/// Who names a version of a document that is not this one any more is led to it; who names this one may keep it for good.
fn kept(url: &str, asked: &Asked, whole: impl FnOnce() -> Response<Body>) -> Response<Body> {
    let named = asked.query.text("hash");
    if named.is_empty() {
        return whole();
    }
    if !url.ends_with(&format!("?hash={named}")) {
        return answer::moved(url);
    }
    let mut response = whole();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_GOOD));
    response
}

/// What users define is written bit by bit into what is compressed: as a whole the document of a thousand kinds is large.
fn openapi_v2(offered: &Offered, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    let form = accept::openapi(headers, OpenApi::V2)?;
    let content_type = OpenApi::V2.content_type(form);
    if offered.versions().next().is_none() {
        let document = match form {
            OpenApiForm::Json => &DOCUMENT_V2,
            OpenApiForm::Protobuf => &DOCUMENT_V2_PROTOBUF,
        };
        return Ok(answer::packed(content_type, document, headers));
    }
    let document = offered.document(content_type, || {
        Packed::written(|into| match form {
            OpenApiForm::Json => api::openapi::write_v2(offered.versions(), into),
            OpenApiForm::Protobuf => api::openapi::write_v2_protobuf(offered.versions(), into),
        })
    });
    Ok(answer::packed(content_type, &document, headers))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn a_document_that_many_ask_for_at_once_is_made_once() {
        const MANY: usize = 8;
        let (all, defined) = (Catalogue::of(Served::all()), Arc::default());
        let (backends, said, made, making) = (Listing::default(), Vec::new(), Mutex::default(), Mutex::default());
        let offered = Offered { all, defined, backends, said, made, making };
        let (together, count) = (Barrier::new(MANY), AtomicUsize::new(0));
        let ask = || {
            together.wait();
            offered.document("a", || {
                count.fetch_add(1, Ordering::Relaxed);
                Packed::new(b"a")
            })
        };
        std::thread::scope(|scope| {
            for asked in [(); MANY].map(|()| scope.spawn(ask)) {
                assert!(asked.join().is_ok());
            }
        });
        assert_eq!(count.into_inner(), 1);
    }
}
