//! What a URL's path names: one of a closed set of places. Methods and queries are read elsewhere.

use api::{Kind, Subresource};
use rpc::url;

/// Something that has a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
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
    /// `/apis/authorization.k8s.io/v1/…reviews` and the like: questions about the asker.
    Review(Review),
    /// Objects of a kind.
    Objects(Target),
}

/// A question about the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    /// May I do this?
    Access,
    /// What may I do?
    Rules,
    /// Who am I?
    Myself,
}

/// Objects of one kind: all, those of a namespace, or one of them or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind.
    pub(crate) kind: Kind,
    /// The namespace; empty for all of them and for kinds that have none.
    pub(crate) namespace: String,
    /// The name; empty for the collection.
    pub(crate) name: String,
    /// What of the object.
    pub(crate) part: Subresource,
}

/// Reads a path; `None` if nothing has that URL.
pub(crate) fn parse(path: &str) -> Option<Place> {
    let trimmed = path.trim_matches('/');
    let parts: Vec<String> = trimmed.split('/').map(url::unescape).collect::<Option<_>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match parts.as_slice() {
        ["version"] => Place::Version,
        ["healthz" | "livez", ..] => Place::Alive,
        ["readyz", ..] => Place::Ready,
        ["openapi", "v2"] => Place::OpenApiV2,
        ["openapi", "v3"] => Place::OpenApiIndex,
        ["openapi", "v3", "api", version] => document("", version)?,
        ["openapi", "v3", "apis", group, version] => document(group, version)?,
        ["api"] => Place::CoreGroup,
        ["apis"] => Place::Groups,
        ["api", version] => group_version("", version)?,
        ["apis", group] => {
            Kind::ALL.iter().find(|k| k.info().group == *group).map(|_| Place::Group((*group).into()))?
        }
        ["apis", group, version] => group_version(group, version)?,
        ["apis", group, "v1", resource] if review(group, resource).is_some() => Place::Review(review(group, resource)?),
        ["api", version, rest @ ..] => Place::Objects(target("", version, rest)?),
        ["apis", group, version, rest @ ..] => Place::Objects(target(group, version, rest)?),
        _ => return None,
    })
}

fn review(group: &str, resource: &str) -> Option<Review> {
    Some(match (group, resource) {
        ("authorization.k8s.io", "selfsubjectaccessreviews") => Review::Access,
        ("authorization.k8s.io", "selfsubjectrulesreviews") => Review::Rules,
        ("authentication.k8s.io", "selfsubjectreviews") => Review::Myself,
        _ => return None,
    })
}

fn served(group: &str, version: &str) -> bool {
    Kind::ALL.iter().any(|kind| kind.info().group == group && kind.info().version == version)
}

fn group_version(group: &str, version: &str) -> Option<Place> {
    served(group, version).then(|| Place::GroupVersion(group.to_owned(), version.to_owned()))
}

fn document(group: &str, version: &str) -> Option<Place> {
    served(group, version).then(|| Place::OpenApiDocument(group.to_owned(), version.to_owned()))
}

/// What follows the version. `namespaces/x/status` is a part of a Namespace and `namespaces/x/pods` a collection in it.
fn target(group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let find = |plural: &str| Kind::from_resource(group, version, plural);
    let (namespace, plural, name, part) = match *rest {
        ["namespaces", name, part] if group.is_empty() && namespace_part(part) => ("", "namespaces", name, part),
        ["namespaces", namespace, plural] => (namespace, plural, "", ""),
        ["namespaces", namespace, plural, name] => (namespace, plural, name, ""),
        ["namespaces", namespace, plural, name, part] => (namespace, plural, name, part),
        [plural] => ("", plural, "", ""),
        [plural, name] => ("", plural, name, ""),
        [plural, name, part] => ("", plural, name, part),
        _ => return None,
    };
    let kind = find(plural)?;
    let placed = kind.info().namespaced != namespace.is_empty() || (kind.info().namespaced && name.is_empty());
    let part = if part.is_empty() { Subresource::None } else { kind.subresource(part)? };
    placed.then(|| Target { kind, namespace: namespace.to_owned(), name: name.to_owned(), part })
}

fn namespace_part(part: &str) -> bool {
    Kind::Namespace.subresource(part).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str) -> String {
        match parse(path) {
            Some(Place::Objects(Target { kind, namespace, name, part })) => {
                format!("{kind} {namespace:?} {name:?} {part:?}")
            }
            Some(place) => format!("{place:?}"),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn paths_name_places() {
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
            ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "Review(Access)"),
            ("/", "nothing"),
        ];
        for (path, expected) in cases {
            assert_eq!(says(path), expected, "{path}");
        }
    }
}
