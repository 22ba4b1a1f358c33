//! Documents about the server itself: version, health, discovery, OpenAPI. All of them follow from the table of kinds and
//! are the same for the life of the process.

use std::sync::LazyLock;

use api::Error;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    accept::{self, Discovery},
    answer, discovery,
    path::Endpoint,
};

/// The Kubernetes version whose API this is. Clients choose their behaviour by the minor version.
const KUBERNETES_MAJOR: &str = "1";
const KUBERNETES_MINOR: &str = "32";

/// The media type of OpenAPI v2 in protobuf, the only form in which clients ask for it. They write `v2@v1.0`, but Go's own
/// parser refuses the `@` in an answer.
const OPENAPI_V2_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `Document{swagger: "2.0", info: {title: "kapelle", version: "v1"}, paths: {}}` of the OpenAPI v2 protobuf. Clients that
/// know v3 only look whether it parses; older ones find no schemas in it and leave validation to the server.
const OPENAPI_V2: &[u8] = b"\x0a\x032.0\x12\x0d\x0a\x07kapelle\x12\x02v1\x42\x00";

/// The answer for an endpoint that is a document; `None` for those that are not.
pub(crate) fn answer(endpoint: &Endpoint, headers: &HeaderMap) -> Option<Result<Response<Body>, Error>> {
    Some(Ok(match endpoint {
        Endpoint::Version => answer::json(StatusCode::OK, &version()),
        Endpoint::CoreGroup => return Some(discover(&[""], discovery::core_group(host(headers)), headers)),
        Endpoint::Groups => {
            let groups: Vec<&str> = discovery::groups().into_iter().filter(|group| !group.is_empty()).collect();
            return Some(discover(&groups, discovery::group_list(), headers));
        }
        Endpoint::Group(group) => answer::json(StatusCode::OK, &discovery::group(group)),
        Endpoint::GroupVersion(group, version) => {
            answer::json(StatusCode::OK, &discovery::resource_list(group, version))
        }
        Endpoint::OpenApiV2 => answer::document(OPENAPI_V2_TYPE, OPENAPI_V2, headers.get(header::IF_NONE_MATCH)),
        Endpoint::OpenApiIndex => answer::json(StatusCode::OK, &openapi_index()),
        Endpoint::OpenApiDocument(group, version) => openapi_document(group, version, headers)?,
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

fn discover(groups: &[&str], legacy: Value, headers: &HeaderMap) -> Result<Response<Body>, Error> {
    let known = headers.get(header::IF_NONE_MATCH);
    Ok(match accept::discovery(headers)? {
        Discovery::Legacy => answer::document("application/json", legacy.to_string(), known),
        Discovery::Aggregated(version) => {
            let body = discovery::aggregated(groups, version).to_string();
            answer::document(version.content_type(), body, known)
        }
    })
}

/// One version of one group in OpenAPI v3.
struct Document {
    group: &'static str,
    version: &'static str,
    bytes: Bytes,
    hash: String,
}

/// Encoded once: some hundred KiB that every new client asks for.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let versions = |group| discovery::versions(group).into_iter().map(move |version| (group, version));
    let document = |(group, version)| {
        let bytes = Bytes::from(api::openapi::document(group, version).to_string());
        Document { group, version, hash: answer::hash(&bytes), bytes }
    };
    discovery::groups().into_iter().flat_map(versions).map(document).collect()
});

/// The hash stands in the URL, since clients keep what they read from a URL for good.
fn openapi_index() -> Value {
    let entry = |document: &Document| {
        let path = discovery::api_path(document.group, document.version);
        let url = format!("/openapi/v3/{path}?hash={}", document.hash);
        (path, json!({ "serverRelativeURL": url }))
    };
    json!({ "paths": DOCUMENTS.iter().map(entry).collect::<Map<_, _>>() })
}

fn openapi_document(group: &str, version: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let document = DOCUMENTS.iter().find(|document| document.group == group && document.version == version)?;
    Some(answer::document("application/json", document.bytes.clone(), headers.get(header::IF_NONE_MATCH)))
}
