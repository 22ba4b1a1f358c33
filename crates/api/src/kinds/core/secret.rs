//! Secrets.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    core_v1::Secret,
    defaults,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    selector::{self, Field},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, integer, text},
    },
    validate::{
        Causes, Path, data,
        names::{self, Syntax},
    },
    warnings::Warnings,
    well_known::{ACCOUNT_NAME_ANNOTATION, ACCOUNT_TOKEN_TYPE},
};

const COLUMNS: &[Column] = &[NAME, text("Type", "What it is for."), integer("Data", "How many keys it has."), AGE];

static FIELDS: &[Field<Secret>] = selector::selectable! { secret: Secret;
    "type" => Some(secret.r#type.as_str().into());
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: hello
  namespace: default
type: Opaque
data:
  password: c2VjcmV0
";

pub(crate) struct SecretStrategy;

impl Strategy for SecretStrategy {
    type Object = Secret;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        true
    }

    fn apply_defaults(&self, secret: &mut Secret) {
        for (key, value) in std::mem::take(&mut secret.string_data) {
            secret.data.insert(key, value.into());
        }
        defaults::text(&mut secret.r#type, "Opaque");
    }

    fn validate(&self, causes: &mut Causes, secret: &Secret) {
        validate(causes, secret);
    }

    fn validate_update(&self, causes: &mut Causes, old: &Secret, new: &Secret) {
        if old.r#type != new.r#type {
            causes.invalid(&Path::Root.field("type"), &new.r#type, "field is immutable");
        }
        data::immutable(causes, old.immutable, new.immutable, &[("data", old.data == new.data)]);
    }

    fn validate_status(&self, _: &mut Causes, _: &Secret) {}

    fn warn(&self, _: &mut Warnings, _: &Secret) {}

    fn prepare_for_create(&self, _: &mut Secret) {}

    fn prepare_for_update(&self, _: &mut Secret, _: &Secret) {}

    fn update_status(&self, _: &mut Secret, _: &Secret) {}

    fn scale(&self, _: &Secret) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Secret, _: i32) {}

    fn is_new_generation(&self, _: Option<&Secret>, _: &Secret, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Secret) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Secret) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, secret: &mut Secret, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut secret.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Secret) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, secret: &Secret, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, secret.r#type.as_str().into(), secret.data.len().into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, secret: &'a Secret, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, secret)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, secret: &Secret) {
    let at = Path::Root.field("data");
    data::keys(causes, &secret.data, &at);
    data::size(causes, secret.data.values().map(bytes::Bytes::len).sum());
    for key in needed_keys(&secret.r#type) {
        if !secret.data.contains_key(*key) {
            causes.required(&at.key(key), &format!("a Secret of type {} has it", secret.r#type));
        }
    }
    if secret.r#type == ACCOUNT_TOKEN_TYPE {
        let annotations = secret.metadata.as_ref().map(|meta| &meta.annotations);
        if annotations.and_then(|all| all.get(ACCOUNT_NAME_ANNOTATION)).is_none_or(String::is_empty) {
            let at = Path::Root.field("metadata");
            let at = at.field("annotations");
            causes.required(&at.key(ACCOUNT_NAME_ANNOTATION), "name the ServiceAccount whose token it is to hold");
        }
    }
    let (".dockerconfigjson" | ".dockercfg", Some(key)) = first_key(secret) else { return };
    let json = secret.data.get(key).is_some_and(|value| serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok());
    if !json && secret.data.contains_key(key) {
        causes.invalid(&at.key(key), "<secret contents redacted>", "must be valid JSON");
    }
}

fn first_key(secret: &Secret) -> (&'static str, Option<&'static str>) {
    let first = needed_keys(&secret.r#type).first().copied();
    (first.unwrap_or_default(), first)
}

/// The keys without which a Secret of a type is of no use.
fn needed_keys(r#type: &str) -> &'static [&'static str] {
    match r#type {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    }
}
