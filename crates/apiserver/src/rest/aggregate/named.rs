//! What a request to a backend does with which resource, as its URL tells: the master does not know the backend's kinds.

use api::{Error, Verb};
use http::{Method, Uri};
use registry::ResourceAttributes;
use rpc::url;

/// A resource of a backend, and what is done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    verb: &'static str,
    group: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
}

impl Named {
    /// Reads `/apis/GROUP/VERSION/[namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]]`; `None` if no resource is meant, but what
    /// the backend offers.
    pub(super) fn read(method: &Method, uri: &Uri) -> Result<Option<Self>, Error> {
        let broken = || Error::bad_request("the path has a broken percent escape");
        let path = uri.path().trim_end_matches('/').split('/').skip(2);
        let segments: Vec<String> = path.map(url::unescape).collect::<Option<_>>().ok_or_else(broken)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let [group, _version, rest @ ..] = segments.as_slice() else { return Ok(None) };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let [resource, rest @ ..] = rest else { return Ok(None) };
        let (name, rest) = rest.split_first().map_or(("", rest), |(name, rest)| (*name, rest));
        Ok(Some(Self {
            verb: verb(method, !name.is_empty(), uri.query().unwrap_or_default())?,
            group: (*group).to_owned(),
            namespace: namespace.to_owned(),
            resource: (*resource).to_owned(),
            name: name.to_owned(),
            subresource: rest.first().copied().unwrap_or_default().to_owned(),
        }))
    }

    pub(super) fn attributes(&self) -> ResourceAttributes<'_> {
        let Self { verb, group, namespace, resource, name, subresource } = self;
        ResourceAttributes { verb, group, resource, subresource, namespace, name }
    }
}

fn verb(method: &Method, is_one: bool, query: &str) -> Result<&'static str, Error> {
    let watches = || {
        let pairs = url::pairs(query).unwrap_or_default();
        pairs.iter().any(|(name, value)| name == "watch" && !matches!(value.as_str(), "0" | "false"))
    };
    let verb = match *method {
        Method::GET | Method::HEAD if watches() => Verb::Watch,
        Method::GET | Method::HEAD if is_one => Verb::Get,
        Method::GET | Method::HEAD => Verb::List,
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if is_one => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ => return Err(Error::method_not_allowed()),
    };
    Ok(verb.word())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn says(line: &str) -> String {
        let (method, uri) = line.split_once(' ').unwrap();
        let Some(named) = Named::read(&method.parse().unwrap(), &uri.parse().unwrap()).unwrap() else {
            return "nothing".to_owned();
        };
        let ResourceAttributes { verb, group, resource, subresource, namespace, name } = named.attributes();
        format!("{verb} {group} {namespace:?} {resource} {name:?} {subresource:?}")
    }

    #[test]
    fn urls_name_resources() {
        let cases = [
            ("GET /apis/g.io/v1", "nothing"),
            ("GET /apis/g.io/v1/", "nothing"),
            ("GET /apis/g.io/v1/things", "list g.io \"\" things \"\" \"\""),
            ("GET /apis/g.io/v1/things?watch=true", "watch g.io \"\" things \"\" \"\""),
            ("GET /apis/g.io/v1/things?watch=0", "list g.io \"\" things \"\" \"\""),
            ("GET /apis/g.io/v1/namespaces/a/things/x", "get g.io \"a\" things \"x\" \"\""),
            ("PUT /apis/g.io/v1/namespaces/a/things/x/status", "update g.io \"a\" things \"x\" \"status\""),
            ("DELETE /apis/g.io/v1/namespaces/a/things", "deletecollection g.io \"a\" things \"\" \"\""),
            ("DELETE /apis/g.io/v1/namespaces/a/th%69ngs/x", "delete g.io \"a\" things \"x\" \"\""),
            ("PATCH /apis/g.io/v1/namespaces/a", "patch g.io \"\" namespaces \"a\" \"\""),
            ("POST /apis/g.io/v1/namespaces/a/things/x/scale", "create g.io \"a\" things \"x\" \"scale\""),
        ];
        for (line, expected) in cases {
            assert_eq!(says(line), expected, "{line}");
        }
        assert!(Named::read(&Method::OPTIONS, &"/apis/g.io/v1/things".parse().unwrap()).is_err());
    }
}
