//! How a request wants to be connected with an object, as those are told who are asked whether it may.

use api::{Error, Key, Subresource};
use serde_json::{Value, json};

use super::{Asked, Rest, query::Query};

/// The boolean options of somebody who speaks with a program.
const STREAMS: [&str; 4] = ["stdin", "stdout", "stderr", "tty"];

impl Rest {
    /// Asks others whether somebody may be connected with an object, who was authorised to be. Answers their warnings.
    pub(super) async fn may_connect(&self, key: &Key, part: Subresource, asked: &Asked) -> Result<Vec<String>, Error> {
        self.registry.admit_question(key, part, || options(key, part, asked.uri.path(), &asked.query)).await
    }
}

/// Kubernetes' options of a connection, such as a `PodExecOptions`.
fn options(key: &Key, part: Subresource, path: &str, query: &Query) -> Value {
    let kind = key.kind.info().kind;
    let of = |name: &str| json!({"apiVersion": "v1", "kind": format!("{kind}{name}Options")});
    match part {
        Subresource::Exec => speaking(of("Exec"), query),
        Subresource::Attach => speaking(of("Attach"), query),
        Subresource::Portforward => {
            let mut options = of("PortForward");
            let ports: Vec<u16> =
                query.texts("ports").flat_map(|list| list.split(',')).filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                options["ports"] = ports.into();
            }
            options
        }
        Subresource::Proxy => {
            let mut options = of("Proxy");
            let behind = path.split_once("/proxy/").map(|(_, behind)| behind);
            options["path"] = behind.unwrap_or_default().into();
            options
        }
        Subresource::None
        | Subresource::Status
        | Subresource::Scale
        | Subresource::Binding
        | Subresource::Eviction
        | Subresource::Finalize
        | Subresource::Owners
        | Subresource::Log
        | Subresource::Token
        | Subresource::Approval => Value::Null,
    }
}

fn speaking(mut options: Value, query: &Query) -> Value {
    for name in STREAMS {
        if query.flag(name).unwrap_or_default() {
            options[name] = true.into();
        }
    }
    let command: Vec<&str> = query.texts("command").collect();
    if !command.is_empty() {
        options["command"] = command.into();
    }
    let container = query.text("container");
    if !container.is_empty() {
        options["container"] = container.into();
    }
    options
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::Kind;

    use super::*;

    #[test]
    fn connections_are_told_as_kubernetes_tells_them() {
        let told = |kind: Kind, part: Subresource, path: &str, query: &str| {
            options(&Key::namespaced(kind, "default", "a"), part, path, &Query::parse(Some(query)).unwrap())
        };
        assert_eq!(
            told(Kind::Pod, Subresource::Exec, "", "command=sh&command=-c&stdin=true&tty=false&container=c"),
            json!({
                "apiVersion": "v1", "kind": "PodExecOptions", "stdin": true, "command": ["sh", "-c"], "container": "c",
            })
        );
        assert_eq!(
            told(Kind::Pod, Subresource::Portforward, "", "ports=80,81"),
            json!({"apiVersion": "v1", "kind": "PodPortForwardOptions", "ports": [80, 81]})
        );
        assert_eq!(
            told(Kind::Service, Subresource::Proxy, "/api/v1/namespaces/default/services/a/proxy/b/c", ""),
            json!({"apiVersion": "v1", "kind": "ServiceProxyOptions", "path": "b/c"})
        );
    }
}
