//! Server-side apply for the kinds of `proto/`: their types, and what of a manifest counts.

use serde_json::Value;

use super::{Versions, owners::TOPMOST, typed::BuiltIn, value};
use crate::{
    Kind, Served, Subresource,
    json::{self, Strictness},
    schema::Schema,
};

/// What the API server and the controllers fill in on behalf of whoever creates an object: taking such a field out of a manifest
/// must not take it from the object.
const GIVEN: [(Kind, &[&[&str]]); 3] = [
    (Kind::Pod, &[&["spec", "nodeName"], &["spec", "serviceAccount"]]),
    (
        Kind::Service,
        &[&["spec", "clusterIP"], &["spec", "clusterIPs"], &["spec", "ipFamilies"], &["spec", "ipFamilyPolicy"]],
    ),
    (Kind::Deployment, &[&["metadata", "annotations", "deployment.kubernetes.io/revision"]]),
];

/// A kind of the table.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInKind(pub Kind);

impl BuiltInKind {
    fn served(self, api_version: &str) -> Option<Served> {
        Served::of(self.0, api_version)
    }
}

impl Versions for BuiltInKind {
    type Type = BuiltIn;

    fn root(&self, api_version: &str) -> Option<BuiltIn> {
        Schema::get().message(self.served(api_version)?.info().message).map(BuiltIn::Message)
    }

    fn empty(&self, api_version: &str) -> Value {
        let info = self.served(api_version).unwrap_or_else(|| self.0.into()).info();
        let mut empty = json::encode_message(info.message, &[]).unwrap_or_default();
        let topmost = Schema::get().message(info.message).into_iter().flat_map(|message| &message.fields);
        for field in topmost.filter(|field| TOPMOST.contains(&field.json.as_str())) {
            empty[&field.json] = json::zero_value(field);
        }
        empty
    }

    fn given(&self) -> &[&[&str]] {
        GIVEN.iter().find(|(kind, _)| *kind == self.0).map(|(_, paths)| *paths).unwrap_or_default()
    }

    fn converted(&self, object: &Value, from: &str, to: &str) -> Option<Value> {
        let object = json::decode_made(self.served(from)?, object, Strictness::Ignore).ok()?.object;
        Some(json::encode_as(self.served(to)?, &object))
    }

    fn has_status(&self) -> bool {
        self.0.has(Subresource::Status)
    }

    fn has_fields_in_bytes(&self) -> bool {
        true
    }
}

/// Of metadata in a manifest what counts, whatever the kind.
#[must_use]
pub fn known_metadata(metadata: &Value) -> Value {
    value::known(BuiltIn::metadata(), metadata)
}

/// Of a manifest what counts: the fields that its message has.
#[must_use]
pub fn config(served: Served, manifest: &Value) -> Value {
    Schema::get()
        .message(served.info().message)
        .map_or_else(|| manifest.clone(), |message| value::known(BuiltIn::Message(message), manifest))
}
