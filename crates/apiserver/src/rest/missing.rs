//! What has no URL here although it has one in Kubernetes: said with the reason and what to do instead.

use api::{Error, Reason};

/// What Kubernetes says; clients know the words.
const NOTHING: &str = "the server could not find the requested resource";

/// Parts of objects that are not served, and what helps instead.
const SUBRESOURCES: [(&str, &str); 3] = [
    ("ephemeralcontainers", "a sandbox has no room for debuggers; look at its output with `logs`"),
    ("resize", "amounts are fixed while a container runs; change the template"),
    ("token", "Pods have no identity towards the API"),
];

/// The answer for a path that nothing has.
pub(super) fn error(path: &str) -> Error {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match segments.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => ("", [].as_slice()),
    };
    let rest = if let ["namespaces", _, rest @ ..] = rest { rest } else { rest };
    let message = match rest {
        [plural, _, subresource, ..] => match SUBRESOURCES.iter().find(|(name, _)| name == subresource) {
            Some((_, remedy)) => format!("{NOTHING}: {plural}/{subresource} is not served: {remedy}"),
            None => format!("{NOTHING}: {plural}/{subresource} is not served"),
        },
        [plural, ..] if !plural.is_empty() => {
            let dot = if group.is_empty() { "" } else { "." };
            format!("{NOTHING}: {plural}{dot}{group} is not served; `kubectl api-resources` lists what is")
        }
        _ => NOTHING.to_owned(),
    };
    Error::new(Reason::NotFound, message)
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn what_is_not_served_is_named_with_what_to_do_instead() {
        let cases = [
            ("/metrics", "the server could not find the requested resource"),
            ("/apis/nope", "the server could not find the requested resource"),
            ("/apis/batch/v1/namespaces/a/jobs", "jobs.batch is not served; `kubectl api-resources` lists what is"),
            ("/api/v1/namespaces/a/serviceaccounts/x", "serviceaccounts is not served"),
            ("/api/v1/namespaces/a/pods/p/resize", "pods/resize is not served: amounts are fixed"),
            ("/api/v1/nodes/n/nothing", "nodes/nothing is not served"),
        ];
        for (path, said) in cases {
            let message = error(path).to_string();
            assert!(message.contains(said), "{path}: {message}");
        }
    }
}
