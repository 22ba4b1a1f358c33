//! Documents about the server itself: version, health, discovery, OpenAPI. All of them follow from the table of kinds and
//! are the same for the life of the process.

use std::sync::LazyLock;

use api::Error;
use axum::body::Body;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    accept::{self, Discovery, Encoding},
    answer,
    compress::Packed,
    discovery,
    path::Endpoint,
};

/// The Kubernetes version whose API this is. Clients choose their behaviour by the minor version.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "32";

/// The media type of OpenAPI v2 in protobuf. Clients write `v2@v1.0`, but Go's own parser refuses the `@` in an answer.
const OPENAPI_V2_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The answer for an endpoint that is a document; `None` for those that are not.
pub(crate) fn answer(endpoint: &Endpoint, headers: &HeaderMap) -> Option<Result<Response<Body>, Error>> {
    Some(Ok(match endpoint {
        Endpoint::Version => answer::json(StatusCode::OK, &version()),
        Endpoint::CoreGroup => return Some(discover(&[""], discovery::core_group(host(headers)), headers)),
        Endpoint::Groups => {
            let groups: Vec<&str> = discovery::groups().into_iter().filter(|group| !group.is_empty()).collect();
            return Some(discover(&groups, discovery::group_list(), headers));
        }
        Endpoint::Group(group) => return Some(plain(&discovery::group(group), headers)),
        Endpoint::GroupVersion(group, version) => {
            return Some(plain(&discovery::resource_list(group, version), headers));
        }
        Endpoint::OpenApiV2 => return Some(openapi_v2(headers)),
        Endpoint::OpenApiIndex => answer::document(answer::JSON, openapi_index().to_string(), headers),
        Endpoint::OpenApiDocument(group, version) => return openapi_document(group, version, headers),
        Endpoint::Definitions => return Some(plain(&definitions(), headers)),
        Endpoint::Alive | Endpoint::Ready | Endpoint::Review(_) | Endpoint::Objects(_) => return None,
    }))
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

/// Users cannot define kinds yet. `kubectl` looks whether one of them is meant before it says that there is no such kind.
fn definitions() -> Value {
    json!({
        "kind": "CustomResourceDefinitionList",
        "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": { "resourceVersion": "" },
        "items": [],
    })
}

/// An answer without a form of its own, as the client wants it written.
fn plain(value: &Value, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    Ok(answer::value(StatusCode::OK, accept::plain(headers)?, value))
}

fn discover(groups: &[&str], legacy: Value, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    Ok(match accept::discovery(headers)? {
        Discovery::Legacy(Encoding::Json) => answer::document(answer::JSON, legacy.to_string(), headers),
        Discovery::Legacy(encoding) => answer::value(StatusCode::OK, encoding, &legacy),
        Discovery::Aggregated(version) => {
            let body = discovery::aggregated(groups, version).to_string();
            answer::document(version.content_type(), body, headers)
        }
    })
}

/// One version of one group in OpenAPI v3.
struct Document {
    group: &'static str,
    version: &'static str,
    packed: Packed,
}

/// Made when the first client asks, so that starting does not wait for it.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let versions = |group| discovery::versions(group).into_iter().map(move |version| (group, version));
    let document = |(group, version)| {
        let packed = Packed::new(api::openapi::document(group, version).to_string().as_bytes());
        Document { group, version, packed }
    };
    discovery::groups().into_iter().flat_map(versions).map(document).collect()
});

/// All groups and versions in OpenAPI v2, as JSON.
static DOCUMENT_V2: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(api::openapi::document_v2().to_string().as_bytes()));

/// As [`DOCUMENT_V2`], in protobuf, in which nearly all clients ask for it.
static DOCUMENT_V2_PROTOBUF: LazyLock<Packed> =
    LazyLock::new(|| Packed::new(&api::openapi::encode_v2(&api::openapi::document_v2())));

/// The hash stands in the URL, since clients keep what they read from a URL for good.
fn openapi_index() -> Value {
    let entry = |document: &Document| {
        let path = discovery::api_path(document.group, document.version);
        let url = format!("/openapi/v3/{path}?hash={}", document.packed.hash());
        (path, json!({ "serverRelativeURL": url }))
    };
    json!({ "paths": DOCUMENTS.iter().map(entry).collect::<Map<_, _>>() })
}

fn openapi_document(group: &str, version: &str, headers: &HeaderMap) -> Option<Result<Response<Body>, Error>> {
    let document = DOCUMENTS.iter().find(|document| document.group == group && document.version == version)?;
    Some(accept::json(headers).map(|()| answer::packed(answer::JSON, &document.packed, headers)))
}

fn openapi_v2(headers: &HeaderMap) -> Result<Response<Body>, Error> {
    Ok(if accept::openapi_v2(headers)? {
        answer::packed(OPENAPI_V2_TYPE, &DOCUMENT_V2_PROTOBUF, headers)
    } else {
        answer::packed(answer::JSON, &DOCUMENT_V2, headers)
    })
}
