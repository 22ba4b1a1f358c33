//! `kapelle describe …`: one object, what surrounds it, and what happened to it.

use anyhow::Result;
use api::{
    Kind, Object, Timestamp, core_v1, json,
    kinds::Resource as _,
    schema::{Message, Scalar, Schema, Shape},
    table,
    well_known::LAST_APPLIED_ANNOTATION,
};
use clap::Args;
use rpc::Query;
use serde_json::Value;

use super::logs;
use crate::{
    names::Named,
    out, outln,
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
        let objects = match session.named(&self.what).await? {
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
                outln!("\n")?;
            }
            out!("{}", describe(session, object).await?)?;
        }
        Ok(())
    }
}

async fn describe(session: &Session, object: &Object) -> Result<String> {
    let mut text = String::new();
    let mut value = json::encode(object);
    hide(&mut value, object);
    outline(&value, Names::of(object), 0, &mut text);
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
            annotations.remove(LAST_APPLIED_ANNOTATION);
        }
    }
    if let Object::Secret(secret) = object {
        let sizes = secret.data.iter().map(|(key, data)| (key.clone(), Value::from(format!("{} bytes", data.len()))));
        value["data"] = Value::Object(sizes.collect());
    }
}

/// What the names in a JSON object are.
#[derive(Clone, Copy)]
enum Names<'a> {
    /// Fields of a message: shown as titles.
    Fields(&'a Message),
    /// Keys that users chose: shown as they are. Or the object itself, which no message describes.
    Keys,
}

impl<'a> Names<'a> {
    fn of(object: &Object) -> Self {
        // No message says what users define.
        let message = object.custom().is_none().then(|| object.kind().info().message);
        message.and_then(|message| Schema::get().message(message)).map_or(Self::Keys, Self::Fields)
    }

    /// What the names inside a field's values are.
    fn inside(self, name: &str) -> Self {
        let Self::Fields(message) = self else { return Self::Keys };
        match message.find(name).map(|found| (found.field.shape, found.field.scalar)) {
            Some((Shape::One | Shape::List, Scalar::Message(index))) => Self::Fields(Schema::get().at(index)),
            // Kind and apiVersion belong to the object and are fields of no message.
            _ => Self::Keys,
        }
    }

    fn show(self, name: &str) -> String {
        match self {
            Self::Fields(_) => title(name),
            Self::Keys => name.to_owned(),
        }
    }
}

/// A value as an indented outline: `Name: value`, lists with dashes.
fn outline(value: &Value, names: Names<'_>, depth: usize, text: &mut String) {
    let Value::Object(fields) = value else { return };
    let flat = fields.iter().filter(|(_, value)| !nested(value));
    let width = flat.map(|(name, _)| names.show(name).chars().count()).max().unwrap_or(0) + 2;
    for (name, value) in fields {
        let inside = names.inside(name);
        let (indent, name) = ("  ".repeat(depth), format!("{}:", names.show(name)));
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(_) => {
                text.push_str(&format!("{indent}{name}\n"));
                outline(value, inside, depth + 1, text);
            }
            Value::Array(items) if items.iter().any(nested) => {
                text.push_str(&format!("{indent}{name}\n"));
                items.iter().for_each(|item| element(item, inside, depth + 1, text));
            }
            _ => text.push_str(&format!("{indent}{name:width$} {}\n", plain(value))),
        }
    }
}

fn element(item: &Value, names: Names<'_>, depth: usize, text: &mut String) {
    let mut lines = String::new();
    outline(item, names, depth + 1, &mut lines);
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

    use super::{Names, outline, title};
    use api::{Kind, schema::Schema};

    fn outlined(kind: Kind, value: &serde_json::Value) -> String {
        let mut text = String::new();
        let message = Schema::get().message(kind.info().message).map_or(Names::Keys, Names::Fields);
        outline(value, message, 0, &mut text);
        text
    }

    #[test]
    fn an_object_becomes_an_outline() {
        let value =
            json!({"kind": "Service", "spec": {"ports": [{"port": 80, "name": "http"}], "externalIPs": ["a", "b"]}});
        assert_eq!(
            outlined(Kind::Service, &value),
            "Kind:  Service\nSpec:\n  External IPs:  a, b\n  Ports:\n    - Name:  http\n      Port:  80\n"
        );
    }

    #[test]
    fn keys_that_users_chose_stay_as_they_are() {
        let value = json!({
            "metadata": {"labels": {"app": "x", "myCompany.io/teamName": "y"}},
            "data": {"logLevel": "debug", "application.properties": "a=b"},
        });
        assert_eq!(
            outlined(Kind::ConfigMap, &value),
            "Data:\n  application.properties:  a=b\n  logLevel:                debug\n\
             Metadata:\n  Labels:\n    app:                    x\n    myCompany.io/teamName:  y\n"
        );
    }

    #[test]
    fn field_names_become_titles() {
        assert_eq!(title("startTime"), "Start Time");
        assert_eq!(title("podIP"), "Pod IP");
    }
}
