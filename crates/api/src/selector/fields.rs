//! Field selectors: `status.phase=Running,spec.nodeName!=n1`.

use std::{borrow::Cow, fmt};

use super::{few, short};
use crate::{Error, Kind, Object, apps_v1, core_v1};

/// Conditions on fields, all of which must hold.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    field: &'static Field,
    equal: bool,
    value: String,
}

/// A field that can be selected by, and how to read it.
struct Field {
    path: &'static str,
    read: for<'a> fn(&'a Object) -> Cow<'a, str>,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl Fields {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the text of a `fieldSelector` parameter; empty selects everything.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if it is not understood or names a field by which the kind cannot be selected; the
    /// message lists the fields that exist.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Error> {
        short("fieldSelector", text)?;
        let parts: Vec<&str> = split(text).into_iter().filter(|part| !part.is_empty()).collect();
        few("fieldSelector", parts.len())?;
        let terms = parts.into_iter().map(|part| term(kind, text, part)).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether the object is meant.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.terms.iter().all(|term| ((term.field.read)(object) == term.value) == term.equal)
    }

    /// Whether every object is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if the selector fixes one. With `metadata.name` a list is a look-up.
    #[must_use]
    pub fn required(&self, path: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field.path == path).map(|term| term.value.as_str())
    }
}

impl fmt::Display for Fields {
    /// The canonical text. [`Fields::parse`] reads it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Term { field, equal, value }) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let sign = if *equal { "=" } else { "!=" };
            write!(f, "{comma}{}{sign}{}", field.path, escape(value))?;
        }
        Ok(())
    }
}

/// The fields by which objects of a kind can be selected.
pub fn fields_of(kind: Kind) -> impl Iterator<Item = &'static str> {
    EVERYWHERE.iter().chain(own(kind)).map(|field| field.path)
}

/// Splits at commas that no backslash protects.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, char) in text.char_indices() {
        if char == ',' && !escaped {
            parts.push(&text[start..index]);
            start = index + 1;
        }
        escaped = char == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn term(kind: Kind, text: &str, part: &str) -> Result<Term, Error> {
    let fail = |why: String| Error::bad_request(format!("unable to parse field selector {text:?}: {why}"));
    let Some((left, right)) = part.split_once('=') else {
        return Err(fail(format!("{part:?} has no operator; use =, == or !=")));
    };
    let (path, equal) = left.strip_suffix('!').map_or((left, true), |path| (path, false));
    let value = if equal { right.strip_prefix('=').unwrap_or(right) } else { right };
    let value = unescape(value).map_err(fail)?;
    let path = path.trim();
    let Some(field) = EVERYWHERE.iter().chain(own(kind)).find(|field| field.path == path) else {
        let known: Vec<&str> = fields_of(kind).collect();
        let known = known.join(", ");
        return Err(fail(format!("field label not supported for {kind}: {path:?}; supported are {known}")));
    };
    Ok(Term { field, equal, value })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(special @ ('\\' | ',' | '=')) => plain.push(special),
                _ => return Err(format!("in {value:?} a backslash precedes none of \\ , =")),
            },
            '=' => return Err(format!("in {value:?} a = must be written \\=")),
            _ => plain.push(char),
        }
    }
    Ok(plain)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// One line a field: its path, and an expression that reads it from an object of the kind.
macro_rules! fields {
    ($name:ident, $type:ty, $object:ident: $($path:literal => $read:expr;)*) => {
        static $name: &[Field] = &[$(Field {
            path: $path,
            read: |object| {
                let read: for<'a> fn(&'a $type) -> Option<Cow<'a, str>> = |$object| $read;
                object.get::<$type>().and_then(read).unwrap_or_default()
            },
        }),*];
    };
}

static EVERYWHERE: &[Field] = &[
    Field {
        path: "metadata.name",
        read: |object| object.metadata().map(|meta| meta.name.as_str().into()).unwrap_or_default(),
    },
    Field {
        path: "metadata.namespace",
        read: |object| object.metadata().map(|meta| meta.namespace.as_str().into()).unwrap_or_default(),
    },
];

/// A boolean as selectors write it.
fn flag(value: bool) -> Option<Cow<'static, str>> {
    Some(if value { "true" } else { "false" }.into())
}

fields! { POD, core_v1::Pod, pod:
    "spec.nodeName" => Some(pod.spec.as_ref()?.node_name.as_str().into());
    "spec.restartPolicy" => Some(pod.spec.as_ref()?.restart_policy.as_str().into());
    "spec.schedulerName" => Some(pod.spec.as_ref()?.scheduler_name.as_str().into());
    "spec.serviceAccountName" => Some(pod.spec.as_ref()?.service_account_name.as_str().into());
    "spec.hostNetwork" => flag(pod.spec.as_ref()?.host_network);
    "status.phase" => Some(crate::pod::phase(pod).word().into());
    "status.podIP" => Some(pod.status.as_ref()?.pod_ip.as_str().into());
    "status.podIPs" => Some(pod.status.as_ref()?.pod_ips.iter().map(|ip| ip.ip.as_str()).collect::<Vec<_>>().join(",").into());
    "status.nominatedNodeName" => Some(pod.status.as_ref()?.nominated_node_name.as_str().into());
}

fields! { EVENT, core_v1::Event, event:
    "involvedObject.kind" => Some(event.involved_object.as_ref()?.kind.as_str().into());
    "involvedObject.namespace" => Some(event.involved_object.as_ref()?.namespace.as_str().into());
    "involvedObject.name" => Some(event.involved_object.as_ref()?.name.as_str().into());
    "involvedObject.uid" => Some(event.involved_object.as_ref()?.uid.as_str().into());
    "involvedObject.apiVersion" => Some(event.involved_object.as_ref()?.api_version.as_str().into());
    "involvedObject.resourceVersion" => Some(event.involved_object.as_ref()?.resource_version.as_str().into());
    "involvedObject.fieldPath" => Some(event.involved_object.as_ref()?.field_path.as_str().into());
    "reason" => Some(event.reason.as_str().into());
    "type" => Some(event.r#type.as_str().into());
    "source" => event_source(event);
    "reportingComponent" => event_source(event);
}

/// Old clients fill in one of the two, new ones the other.
fn event_source(event: &core_v1::Event) -> Option<Cow<'_, str>> {
    let source = event.source.as_ref().map(|source| source.component.as_str()).filter(|source| !source.is_empty());
    Some(source.unwrap_or(&event.reporting_component).into())
}

fields! { NODE, core_v1::Node, node:
    "spec.unschedulable" => flag(node.spec.as_ref().is_some_and(|spec| spec.unschedulable));
}

fields! { SECRET, core_v1::Secret, secret:
    "type" => Some(secret.r#type.as_str().into());
}

fields! { NAMESPACE, core_v1::Namespace, namespace:
    "status.phase" => Some(namespace.status.as_ref()?.phase.as_str().into());
}

fields! { SERVICE, core_v1::Service, service:
    "spec.type" => Some(service.spec.as_ref()?.r#type.as_str().into());
    "spec.clusterIP" => Some(service.spec.as_ref()?.cluster_ip.as_str().into());
}

fields! { REPLICA_SET, apps_v1::ReplicaSet, set:
    "status.replicas" => Some(set.status.as_ref().map_or(0, |status| status.replicas).to_string().into());
}

/// The fields of a kind beside those that all have.
fn own(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Pod => POD,
        Kind::Event => EVENT,
        Kind::Node => NODE,
        Kind::Secret => SECRET,
        Kind::Namespace => NAMESPACE,
        Kind::Service => SERVICE,
        Kind::ReplicaSet => REPLICA_SET,
        Kind::EndpointSlice | Kind::ConfigMap | Kind::Lease | Kind::Deployment => &[],
    }
}
