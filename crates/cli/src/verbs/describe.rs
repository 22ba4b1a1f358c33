//! `kapelle describe …`: one object, what surrounds it, and what happened to it.

use anyhow::Result;
use api::{Kind, Object, Timestamp, core_v1, json, kinds::Resource as _, table};
use clap::Args;
use rpc::Query;
use serde_json::Value;

use super::logs;
use crate::{
    names::{self, Named},
    output::{self, TableOptions},
    session::{Session, now},
};

/// Options of `describe`.
#[derive(Args, Debug)]
pub struct Describe {
    /// `KIND`, `KIND NAME…` or `KIND/NAME…`
    #[arg(required = true)]
    what: Vec<String>,
    /// Only objects with these labels
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

impl Describe {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let objects = match names::parse(&self.what)? {
            Named::Objects(named) => {
                let mut objects = Vec::new();
                for (kind, name) in named {
                    objects.push(session.get(kind, &name).await?);
                }
                objects
            }
            Named::Kinds(kinds) => {
                let mut objects = Vec::new();
                for kind in kinds {
                    let labels = self.selector.clone().unwrap_or_default();
                    let query = Query { kind, namespace: session.namespace_for(kind), labels, fields: String::new() };
                    objects.extend(session.list(&query).await?.0);
                }
                objects
            }
        };
        for (index, object) in objects.iter().enumerate() {
            if index > 0 {
                println!("\n");
            }
            print!("{}", describe(session, object).await?);
        }
        Ok(())
    }
}

async fn describe(session: &Session, object: &Object) -> Result<String> {
    let mut text = String::new();
    let mut value = json::encode(object);
    hide(&mut value, object);
    outline(&value, 0, &mut text);
    if let Some(pods) = pods(session, object).await? {
        text.push_str("Pods:\n");
        text.push_str(&pods);
    }
    text.push_str("Events:");
    text.push_str(&events(session, object, now()).await?);
    Ok(text)
}

/// Takes out what nobody reads, and what must not be shown.
fn hide(value: &mut Value, object: &Object) {
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion"] {
            meta.remove(field);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if let Object::Secret(secret) = object {
        let sizes = secret.data.iter().map(|(key, data)| (key.clone(), Value::from(format!("{} bytes", data.len()))));
        value["data"] = Value::Object(sizes.collect());
    }
}

/// A value as an indented outline: `Name: value`, lists with dashes.
fn outline(value: &Value, depth: usize, text: &mut String) {
    let Value::Object(fields) = value else { return };
    let width = fields.iter().filter(|(_, value)| !nested(value)).map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    for (name, value) in fields {
        let (indent, name) = ("  ".repeat(depth), format!("{}:", title(name)));
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(_) => {
                text.push_str(&format!("{indent}{name}\n"));
                outline(value, depth + 1, text);
            }
            Value::Array(items) if items.iter().any(nested) => {
                text.push_str(&format!("{indent}{name}\n"));
                items.iter().for_each(|item| element(item, depth + 1, text));
            }
            _ => text.push_str(&format!("{indent}{name:width$} {}\n", plain(value))),
        }
    }
}

fn element(item: &Value, depth: usize, text: &mut String) {
    let mut lines = String::new();
    outline(item, depth + 1, &mut lines);
    let dash = format!("{}- ", "  ".repeat(depth));
    text.push_str(&lines.replacen(&"  ".repeat(depth + 1), &dash, 1));
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(nested),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `podIP` stays, `startTime` becomes `Start Time`.
fn title(name: &str) -> String {
    let mut title = String::new();
    let mut before_lower = false;
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && before_lower {
            title.push(' ');
        }
        before_lower = letter.is_lowercase();
        title.extend(if index == 0 { letter.to_uppercase().next() } else { Some(letter) });
    }
    title
}

async fn pods(session: &Session, object: &Object) -> Result<Option<String>> {
    let (labels, fields) = match object {
        Object::Node(node) => (String::new(), format!("spec.nodeName={}", node.name())),
        Object::Deployment(_) | Object::ReplicaSet(_) | Object::Service(_) => {
            let Ok(labels) = logs::selector(object) else { return Ok(None) };
            (labels, String::new())
        }
        _ => return Ok(None),
    };
    let namespace = object.metadata().map(|meta| meta.namespace.clone()).unwrap_or_default();
    let (pods, _) = session.list(&Query { kind: Kind::Pod, namespace, labels, fields }).await?;
    if pods.is_empty() {
        return Ok(Some("  <none>\n".to_owned()));
    }
    let options = TableOptions { namespaces: object.kind() == Kind::Node, ..TableOptions::default() };
    Ok(Some(indent(&output::align(&output::rows(Kind::Pod, &pods.iter().collect::<Vec<_>>(), now(), options)))))
}

async fn events(session: &Session, object: &Object, now: Timestamp) -> Result<String> {
    let key = object.key();
    let uid = object.metadata().map(|meta| meta.uid.clone()).unwrap_or_default();
    let fields = format!("involvedObject.kind={},involvedObject.name={},involvedObject.uid={uid}", key.kind, key.name);
    let namespace = if key.namespace.is_empty() { "default".to_owned() } else { key.namespace.to_string() };
    let (mut events, _) = session.list(&Query { kind: Kind::Event, namespace, labels: String::new(), fields }).await?;
    if events.is_empty() {
        return Ok("  <none>\n".to_owned());
    }
    let last = |object: &Object| {
        object.get::<core_v1::Event>().and_then(|event| event.last_timestamp.as_ref().map(Timestamp::from))
    };
    events.sort_by_key(last);
    let mut lines = vec![["TYPE", "REASON", "AGE", "FROM", "MESSAGE"].map(str::to_owned).to_vec()];
    lines.extend(events.iter().filter_map(Object::get).map(|event| event_line(event, now)));
    Ok(format!("\n{}", indent(&output::align(&lines))))
}

fn event_line(event: &core_v1::Event, now: Timestamp) -> Vec<String> {
    let age = event
        .last_timestamp
        .as_ref()
        .map_or_else(|| "<unknown>".to_owned(), |time| table::age::human(now.since(time.into())));
    let age = if event.count > 1 { format!("{age} (x{})", event.count) } else { age };
    let source = event.source.as_ref().map(|source| source.component.clone()).unwrap_or_default();
    vec![event.r#type.clone(), event.reason.clone(), age, source, event.message.clone()]
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{outline, title};

    #[test]
    fn an_object_becomes_an_outline() {
        let mut text = String::new();
        let value = json!({"name": "web", "spec": {"ports": [{"port": 80, "name": "http"}], "args": ["a", "b"]}});
        outline(&value, 0, &mut text);
        assert_eq!(text, "Name:  web\nSpec:\n  Args:  a, b\n  Ports:\n    - Name:  http\n      Port:  80\n");
    }

    #[test]
    fn field_names_become_titles() {
        assert_eq!(title("startTime"), "Start Time");
        assert_eq!(title("podIP"), "Pod IP");
    }
}
