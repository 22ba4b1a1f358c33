//! What a URL's path names: one of a closed set of endpoints. Methods and queries are read elsewhere.

use std::sync::Arc;

use api::{Kind, Served, Subresource, custom::Definitions, reviews};
use rpc::url;

/// Something that has a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/version`.
    Version,
    /// `/healthz`, `/livez`: whether the process answers.
    Alive,
    /// `/readyz`: whether it can serve reads and writes.
    Ready,
    /// `/api`: the core group.
    CoreGroup,
    /// `/apis`: all other groups.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`.
    GroupVersion(String, String),
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.
    OpenApiDocument(String, String),
    /// `/.well-known/openid-configuration`: who signs the tokens of ServiceAccounts, for verifiers elsewhere.
    Issuer,
    /// `/openid/v1/jwks`: by which keys they are known.
    JsonWebKeys,
    /// `/apis/authorization.k8s.io/v1/…reviews` and the like: questions about what somebody may do, and about who somebody is.
    Review(Review),
    /// Objects of a kind.
    Objects(Target),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// May I do this?
    Access,
    /// What may I do?
    Rules,
    /// Who am I?
    Myself,
    /// As [`Review::Myself`], in the version that kubectl 1.27 knows.
    MyselfBeta,
    /// Whose is this token?
    Token,
    /// May somebody do this, in a namespace unless it is empty?
    OfOthers(String),
}

/// Objects of one kind: all, those of a namespace, or one of them or a subresource of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind, in the group and version of the URL.
    pub(crate) served: Served,
    /// The namespace; empty for all of them and for kinds that have none.
    pub(crate) namespace: String,
    /// The name; empty for the collection.
    pub(crate) name: String,
    /// What of the object.
    pub(crate) subresource: Subresource,
}

/// The word after which a path is somebody else's.
const PROXY: &str = "proxy";

/// Cuts a path that goes through an object behind the word that says so: what follows is not ours to read.
pub(crate) fn behind_proxy(path: &str) -> Option<(&str, &str)> {
    let segments = || path.split('/').skip(1);
    let before = match segments().nth(2)? {
        // /api/v1/namespaces/NAMESPACE/pods/NAME/proxy
        "namespaces" => 6,
        // /api/v1/nodes/NAME/proxy
        _ => 4,
    };
    if segments().nth(before)? != PROXY {
        return None;
    }
    let length = segments().take(before + 1).map(|segment| segment.len() + 1).sum();
    path.split_at_checked(length)
}

/// Reads a path; `None` if nothing has that URL. `defined` is asked only about what the table of kinds does not have.
pub(crate) fn parse(path: &str, defined: impl Fn() -> Arc<Definitions>) -> Option<Endpoint> {
    let path = behind_proxy(path).map_or(path, |(through, _)| through);
    let trimmed = path.trim_matches('/');
    let segments: Vec<String> = trimmed.split('/').map(url::unescape).collect::<Option<_>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    Some(match segments.as_slice() {
        ["version"] => Endpoint::Version,
        ["healthz" | "livez", ..] => Endpoint::Alive,
        ["readyz", ..] => Endpoint::Ready,
        ["openapi", "v2"] => Endpoint::OpenApiV2,
        ["openapi", "v3"] => Endpoint::OpenApiIndex,
        ["openapi", "v3", "api", version] => document("", version, defined)?,
        ["openapi", "v3", "apis", group, version] => document(group, version, defined)?,
        [".well-known", "openid-configuration"] => Endpoint::Issuer,
        ["openid", "v1", "jwks"] => Endpoint::JsonWebKeys,
        ["api"] => Endpoint::CoreGroup,
        ["apis"] => Endpoint::Groups,
        ["api", version] => group_version("", version, defined)?,
        ["apis", group] => {
            let is_served = reviews::served().any(|info| info.group == *group) || defined().has_group(group);
            is_served.then(|| Endpoint::Group((*group).into()))?
        }
        ["apis", group, version] => group_version(group, version, defined)?,
        ["apis", group, version, resource] if review(group, version, resource).is_some() => {
            Endpoint::Review(review(group, version, resource)?)
        }
        ["apis", reviews::AUTHORIZATION, "v1", "subjectaccessreviews"] => {
            Endpoint::Review(Review::OfOthers(String::new()))
        }
        ["apis", reviews::AUTHORIZATION, "v1", "namespaces", namespace, "localsubjectaccessreviews"]
            if !namespace.is_empty() =>
        {
            Endpoint::Review(Review::OfOthers((*namespace).to_owned()))
        }
        ["api", version, rest @ ..] => Endpoint::Objects(target("", version, rest, defined)?),
        ["apis", group, version, rest @ ..] => Endpoint::Objects(target(group, version, rest, defined)?),
        _ => return None,
    })
}

fn review(group: &str, version: &str, resource: &str) -> Option<Review> {
    Some(match (group, version, resource) {
        (reviews::AUTHORIZATION, "v1", "selfsubjectaccessreviews") => Review::Access,
        (reviews::AUTHORIZATION, "v1", "selfsubjectrulesreviews") => Review::Rules,
        (reviews::AUTHENTICATION, "v1", "selfsubjectreviews") => Review::Myself,
        (reviews::AUTHENTICATION, "v1", "tokenreviews") => Review::Token,
        (reviews::AUTHENTICATION, "v1beta1", "selfsubjectreviews") => Review::MyselfBeta,
        _ => return None,
    })
}

fn served(group: &str, version: &str, defined: impl Fn() -> Arc<Definitions>) -> bool {
    reviews::served().any(|info| info.group == group && info.version == version)
        || defined().has_group_version(group, version)
}

fn group_version(group: &str, version: &str, defined: impl Fn() -> Arc<Definitions>) -> Option<Endpoint> {
    served(group, version, defined).then(|| Endpoint::GroupVersion(group.to_owned(), version.to_owned()))
}

fn document(group: &str, version: &str, defined: impl Fn() -> Arc<Definitions>) -> Option<Endpoint> {
    served(group, version, defined).then(|| Endpoint::OpenApiDocument(group.to_owned(), version.to_owned()))
}

/// What follows the version. `namespaces/x/status` is a subresource of a Namespace, `namespaces/x/pods` a collection in it.
fn target(group: &str, version: &str, rest: &[&str], defined: impl Fn() -> Arc<Definitions>) -> Option<Target> {
    let (namespace, plural, name, subresource) = match *rest {
        ["namespaces", name, subresource] if group.is_empty() && is_of_namespaces(subresource) => {
            ("", "namespaces", name, subresource)
        }
        ["namespaces", namespace, plural] => (namespace, plural, "", ""),
        ["namespaces", namespace, plural, name] => (namespace, plural, name, ""),
        ["namespaces", namespace, plural, name, subresource] => (namespace, plural, name, subresource),
        [plural] => ("", plural, "", ""),
        [plural, name] => ("", plural, name, ""),
        [plural, name, subresource] => ("", plural, name, subresource),
        _ => return None,
    };
    let of_table = Served::from_resource(group, version, plural);
    let served = of_table.or_else(|| defined().from_resource(group, version, plural))?;
    let namespaced = served.info().namespaced;
    let placed = namespaced != namespace.is_empty() || (namespaced && name.is_empty());
    let subresource = if subresource.is_empty() { Subresource::None } else { served.subresource(subresource)? };
    placed.then(|| Target { served, namespace: namespace.to_owned(), name: name.to_owned(), subresource })
}

fn is_of_namespaces(subresource: &str) -> bool {
    Kind::Namespace.subresource(subresource).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str) -> String {
        match parse(path, Arc::default) {
            Some(Endpoint::Objects(Target { served, namespace, name, subresource })) => {
                let (of, kind) = match served {
                    Served::Stored(kind) => (String::new(), kind),
                    Served::Converted(version) => (format!("{version:?} of "), version.kind()),
                    Served::Custom(version) => (format!("{version:?} of "), Kind::Custom(version.kind())),
                };
                format!("{of}{kind} {namespace:?} {name:?} {subresource:?}")
            }
            Some(endpoint) => format!("{endpoint:?}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn what_is_behind_a_proxy_is_left_as_it_is() {
        let pod = "/api/v1/namespaces/a/pods/p/proxy";
        for rest in ["", "/", "/x/../y//%2f%ff/", "/proxy/proxy"] {
            assert_eq!(behind_proxy(&format!("{pod}{rest}")), Some((pod, rest)));
        }
        assert_eq!(behind_proxy("/api/v1/nodes/n/proxy/healthz"), Some(("/api/v1/nodes/n/proxy", "/healthz")));
        for path in ["/api/v1/namespaces/a/pods/proxy", "/api/v1/nodes/proxy", "/proxy", "", "/api/v1/namespaces/proxy"]
        {
            assert_eq!(behind_proxy(path), None, "{path}");
        }
    }

    #[test]
    fn paths_name_endpoints() {
        let cases = [
            ("/version/", "Version"),
            ("/api", "CoreGroup"),
            ("/apis/apps", "Group(\"apps\")"),
            ("/apis/nope", "nothing"),
            ("/api/v1", "GroupVersion(\"\", \"v1\")"),
            ("/api/v2", "nothing"),
            ("/openapi/v3/apis/apps/v1", "OpenApiDocument(\"apps\", \"v1\")"),
            ("/api/v1/pods", "Pod \"\" \"\" None"),
            ("/api/v1/pods/x", "nothing"),
            ("/api/v1/namespaces", "Namespace \"\" \"\" None"),
            ("/api/v1/namespaces/a%2Db", "Namespace \"\" \"a-b\" None"),
            ("/api/v1/namespaces/a/finalize", "Namespace \"\" \"a\" Finalize"),
            ("/api/v1/namespaces/a/pods", "Pod \"a\" \"\" None"),
            ("/api/v1/namespaces/a/pods/p/log", "Pod \"a\" \"p\" Log"),
            ("/api/v1/namespaces/a/pods/p/scale", "nothing"),
            ("/api/v1/namespaces/a/nodes", "nothing"),
            ("/api/v1/nodes/n1/status", "Node \"\" \"n1\" Status"),
            ("/apis/apps/v1/namespaces/a/deployments/d/scale", "Deployment \"a\" \"d\" Scale"),
            ("/api/v1/namespaces/a/events/e", "Event \"a\" \"e\" None"),
            ("/apis/events.k8s.io", "Group(\"events.k8s.io\")"),
            ("/apis/events.k8s.io/v1", "GroupVersion(\"events.k8s.io\", \"v1\")"),
            ("/apis/events.k8s.io/v1/namespaces/a/events/e", "EventsV1 of Event \"a\" \"e\" None"),
            ("/apis/events.k8s.io/v1/pods", "nothing"),
            ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "Review(Access)"),
            ("/apis/authentication.k8s.io/v1beta1/selfsubjectreviews", "Review(MyselfBeta)"),
            ("/apis/authorization.k8s.io/v1beta1/selfsubjectaccessreviews", "nothing"),
            ("/apis/authentication.k8s.io", "Group(\"authentication.k8s.io\")"),
            ("/apis/authentication.k8s.io/v1", "GroupVersion(\"authentication.k8s.io\", \"v1\")"),
            ("/apis/authentication.k8s.io/v1/tokenreviews", "Review(Token)"),
            ("/api/v1/namespaces/a/serviceaccounts/s/token", "ServiceAccount \"a\" \"s\" Token"),
            ("/.well-known/openid-configuration", "Issuer"),
            ("/openid/v1/jwks", "JsonWebKeys"),
            ("/apis/authorization.k8s.io/v1/subjectaccessreviews", "Review(OfOthers(\"\"))"),
            ("/apis/authorization.k8s.io/v1/namespaces/a/localsubjectaccessreviews", "Review(OfOthers(\"a\"))"),
            ("/apis/authorization.k8s.io/v1/namespaces//localsubjectaccessreviews", "nothing"),
            ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "CustomResourceDefinition \"\" \"\" None"),
            ("/api/v1/namespaces/a/services/http:web:80/proxy/b%ff//c/", "Service \"a\" \"http:web:80\" Proxy"),
            ("/api/v1/namespaces/a/pods/p/proxy", "Pod \"a\" \"p\" Proxy"),
            ("/api/v1/nodes/n:10250/proxy/stats/summary", "Node \"\" \"n:10250\" Proxy"),
            ("/api/v1/namespaces/a/pods/p/log/proxy", "nothing"),
            ("/apis/apps/v1/namespaces/a/deployments/d/proxy", "nothing"),
            ("/", "nothing"),
        ];
        for (path, expected) in cases {
            assert_eq!(says(path), expected, "{path}");
        }
    }
}
