//! What a request asks for, in the words of flow schemas, by its head alone: as Kubernetes reads URLs, whatever is served there.
//! What is asked over gRPC is told by bodies, so that it is a path to schemas, as images are.

use std::borrow::Cow;

use http::{Method, Uri};
use registry::{Attributes, ResourceAttributes};
use rpc::url;

use crate::rest::query::Query;

/// What is asked at a URL.
pub(crate) fn attributes<'a>(method: &'a Method, uri: &Uri, path: &'a str, lower: &'a mut String) -> Attributes<'a> {
    resource(method, uri, path).map_or_else(
        || {
            method.as_str().clone_into(lower);
            lower.make_ascii_lowercase();
            Attributes::NonResource { verb: lower, path }
        },
        Attributes::Resource,
    )
}

/// A path without escapes; one that cannot be read stays as it is.
pub(crate) fn unescaped(path: &str) -> Cow<'_, str> {
    let escaped = path.contains('%').then(|| url::unescape(path)).flatten();
    escaped.map_or(Cow::Borrowed(path), Cow::Owned)
}

fn resource<'a>(method: &Method, uri: &Uri, path: &'a str) -> Option<ResourceAttributes<'a>> {
    let (group, rest) = match path.trim_matches('/').split_once('/')? {
        ("api", rest) => ("", rest),
        ("apis", rest) => rest.split_once('/')?,
        _ => return None,
    };
    let (_version, rest) = rest.split_once('/')?;
    let (namespace, rest) = placed(rest);
    let mut words = rest.splitn(4, '/');
    let mut word = || words.next().unwrap_or_default();
    let (resource, name, subresource) = (word(), word(), word());
    let verb = match (method.as_str(), name) {
        ("GET" | "HEAD", "") if is_watch(uri) => "watch",
        ("GET" | "HEAD", "") => "list",
        ("GET" | "HEAD", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", "") => "deletecollection",
        ("DELETE", _) => "delete",
        _ => "",
    };
    Some(ResourceAttributes { verb, group, resource, subresource, namespace, name })
}

/// The namespace, and what stands in it. A Namespace is in itself.
fn placed(rest: &str) -> (&str, &str) {
    let Some(inside) = rest.strip_prefix("namespaces/") else { return ("", rest) };
    match inside.split_once('/') {
        None => (inside, rest),
        Some((namespace, "status" | "finalize")) => (namespace, rest),
        Some((namespace, inside)) => (namespace, inside),
    }
}

/// How many objects a list is to have at most, if that is said.
pub(crate) fn limit(uri: &Uri) -> Option<usize> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.strip_prefix("limit="));
    pairs.filter_map(|limit| limit.parse().ok()).find(|limit| *limit > 0)
}

fn is_watch(uri: &Uri) -> bool {
    let query = uri.query().filter(|query| query.contains("watch") || query.contains('%'));
    query.is_some_and(|query| Query::parse(Some(query)).and_then(|query| query.is_watch()).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn heads_tell_what_is_asked() {
        for (line, expected) in [
            ("GET /api/v1/pods", "list  pods   "),
            ("GET /api/v1/pods?watch=true", "watch  pods   "),
            ("GET /api/v1/pods?limit=5&w%61tch=1", "watch  pods   "),
            ("GET /api/v1/pods?watch=false", "list  pods   "),
            ("GET /api/v1/namespaces/a/pods", "list  pods  a "),
            ("GET /api/v1/namespaces/a/%70ods/p", "get  pods  a p"),
            ("HEAD /api/v1/namespaces/a/pods/p/log", "get  pods log a p"),
            ("POST /api/v1/namespaces/a/pods/p/proxy/x/y", "create  pods proxy a p"),
            ("PUT /apis/apps/v1/namespaces/a/deployments/d/scale", "update apps deployments scale a d"),
            ("DELETE /apis/example.org/v1/widgets", "deletecollection example.org widgets   "),
            ("DELETE /api/v1/nodes/n", "delete  nodes   n"),
            ("PATCH /api/v1/nodes/n/status", "patch  nodes status  n"),
            ("GET /api/v1/namespaces", "list  namespaces   "),
            ("GET /api/v1/namespaces/a", "get  namespaces  a a"),
            ("PUT /api/v1/namespaces/a/status", "update  namespaces status a a"),
            ("GET /api/v1", "get /api/v1"),
            ("GET /apis/apps/v1", "get /apis/apps/v1"),
            ("GET /version", "get /version"),
            ("POST /kapelle.api.v1.Objects/List", "post /kapelle.api.v1.Objects/List"),
            ("PUT /v2/team/app/manifests/v1", "put /v2/team/app/manifests/v1"),
        ] {
            let (method, uri) = line.split_once(' ').unwrap();
            let (method, uri): (Method, Uri) = (method.parse().unwrap(), uri.parse().unwrap());
            let (path, mut lower) = (unescaped(uri.path()), String::new());
            let told = match attributes(&method, &uri, &path, &mut lower) {
                Attributes::Resource(asked) => {
                    let ResourceAttributes { verb, group, resource, subresource, namespace, name } = asked;
                    format!("{verb} {group} {resource} {subresource} {namespace} {name}")
                }
                Attributes::NonResource { verb, path } => format!("{verb} {path}"),
            };
            assert_eq!(told, expected, "{line}");
        }
    }
}
