//! What a CustomResourceDefinition says at one moment: the versions of a kind, and what each does to objects.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{check, compiled, defaults::apply_defaults, embedded::coerce, prune::prune, validator::Validator};
use crate::{
    Error, Reason, Served,
    apiextensions_v1::{CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionVersion},
    apply,
    error::Cause,
    json::{self, Decoded, Strictness},
    object::{CustomColumn, CustomKind, CustomObject, CustomVersion, KindName, Outline, ScalePaths},
};

/// A kind as its definition says it.
#[derive(Debug)]
pub struct Definition {
    /// Which kind.
    pub kind: CustomKind,
    /// The uid of the definition: another one of the same name may define another kind.
    pub uid: String,
    /// The generation of what the definition says.
    pub generation: i64,
    /// Whether objects are served.
    pub is_established: bool,
    /// Whether the definition is being deleted: no new objects.
    pub is_ending: bool,
    versions: Vec<Version>,
}

/// A version of a kind, and what it does to objects.
#[derive(Debug)]
pub struct Version {
    /// What it is called, and what it says but for the schema.
    pub version: CustomVersion,
    /// Whether objects can be read and written in it.
    pub is_served: bool,
    /// Whether objects are kept in it.
    pub is_storage: bool,
    /// Tells schemas apart: objects that were formed by another one are formed again.
    pub digest: i64,
    schema: Bytes,
    compiled: Mutex<Weak<Validator>>,
}

impl Definition {
    /// What a definition says; `None` if it does not even name a kind.
    #[must_use]
    pub fn of(definition: &CustomResourceDefinition) -> Option<Self> {
        let (meta, spec) = (definition.metadata.as_ref()?, definition.spec.as_ref()?);
        let kind = kind_of(definition)?;
        let accepted = definition.status.as_ref().and_then(|status| status.accepted_names.as_ref());
        let names = accepted.or(spec.names.as_ref())?;
        let is_established = is(definition, "Established");
        // Of a kind that is not served nobody needs to know more, and names are for good.
        let versions = spec.versions.iter().filter(|_| is_established).map(|version| Version::of(kind, names, version));
        Some(Self {
            kind,
            uid: meta.uid.clone(),
            generation: meta.generation,
            is_established,
            is_ending: meta.deletion_timestamp.is_some(),
            versions: versions.collect(),
        })
    }

    /// Its versions, as they stand in the definition; none while the kind is not served.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version of a name, if objects can be read and written in it.
    #[must_use]
    pub fn named(&self, version: &str) -> Option<&Version> {
        self.served().find(|found| found.version.info().version == version)
    }

    /// The versions in which objects can be read and written.
    pub fn served(&self) -> impl Iterator<Item = &Version> + Clone {
        self.versions.iter().filter(|version| version.is_served)
    }

    /// The version in which objects are kept.
    #[must_use]
    pub fn storage(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.is_storage)
    }
}

/// The kind that a definition is about.
#[must_use]
pub fn kind_of(definition: &CustomResourceDefinition) -> Option<CustomKind> {
    let spec = definition.spec.as_ref()?;
    let names = spec.names.as_ref().filter(|names| !names.plural.is_empty() && !names.kind.is_empty())?;
    Some(CustomKind::of(&KindName {
        group: spec.group.clone(),
        plural: names.plural.clone(),
        kind: names.kind.clone(),
        namespaced: spec.scope == "Namespaced",
    }))
}

/// Whether a condition is true.
#[must_use]
pub fn is(definition: &CustomResourceDefinition, condition: &str) -> bool {
    let mut conditions = definition.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|found| found.r#type == condition && found.status == "True")
}

/// The schema of a version, as JSON; `None` if it has none.
#[must_use]
pub fn schema_of(version: &CustomResourceDefinitionVersion) -> Option<Value> {
    serde_json::from_slice(&raw_schema(version)?).ok()
}

fn raw_schema(version: &CustomResourceDefinitionVersion) -> Option<Bytes> {
    Some(version.schema.as_ref()?.open_apiv3_schema.as_ref()?.raw.clone())
}

impl Version {
    fn of(kind: CustomKind, names: &CustomResourceDefinitionNames, version: &CustomResourceDefinitionVersion) -> Self {
        let schema = raw_schema(version).unwrap_or_default();
        Self {
            version: CustomVersion::of(kind, outline(kind, names, version)),
            is_served: version.served,
            is_storage: version.storage,
            digest: digest(&schema),
            schema,
            compiled: Mutex::default(),
        }
    }

    /// The version as requests name it.
    #[must_use]
    pub fn as_served(&self) -> Served {
        Served::Custom(self.version)
    }

    /// A text that is another one for every version that says something else.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{:?} {:?} {:x}", self.version, self.version.outline(), self.digest)
    }

    /// The schema as JSON, for those who publish it.
    #[must_use]
    pub fn schema(&self) -> Value {
        serde_json::from_slice(&self.schema).unwrap_or_default()
    }

    /// The schema, ready to be used. Compiled anew if nobody has used it lately.
    pub(super) fn validator(&self) -> Result<Arc<Validator>, Error> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = match compiled.upgrade() {
            Some(validator) => validator,
            None => {
                // It was let in, so that it can be compiled, unless an elder version of this program has let it in.
                let unfit = |causes: Vec<Cause>| {
                    let why = causes.first().map(|cause| format!(": {}: {}", cause.field, cause.message));
                    Error::internal(format!(
                        "the schema of {:?} cannot be used{}",
                        self.version,
                        why.unwrap_or_default()
                    ))
                };
                let has_status = self.version.outline().has_status;
                let validator = Arc::new(check(&self.schema(), "schema", has_status).map_err(unfit)?);
                *compiled = Arc::downgrade(&validator);
                validator
            }
        };
        compiled::keep(&validator);
        Ok(validator)
    }

    /// Reads an object that somebody has sent, without the fields that the schema does not have.
    ///
    /// # Errors
    /// [`Reason::BadRequest`] if it is not an object of this version, or, if strict, naming the fields that nobody knows.
    pub fn read(&self, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
        self.pruned(json::decode(self.as_served(), value, strictness.noting())?, strictness)
    }

    /// As [`Version::read`], of a value that was made from a stored object: errors show nothing of what stands there.
    ///
    /// # Errors
    /// As [`Version::read`].
    pub fn read_made(&self, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
        self.pruned(json::decode_made(self.as_served(), value, strictness.noting())?, strictness)
    }

    /// As [`Version::read`], of an object that came as a message.
    ///
    /// # Errors
    /// As [`Version::read`].
    pub fn take(&self, mut object: CustomObject, strictness: Strictness) -> Result<Decoded, Error> {
        if !object.content.is_empty() {
            let members: Map<String, Value> = serde_json::from_slice(&object.content)
                .map_err(|error| Error::bad_request(format!("content: it is not the JSON of an object: {error}")))?;
            let known = members.keys().find(|name| super::prune::META.contains(&name.as_str()));
            if let Some(name) = known {
                return Err(Error::bad_request(format!("content: {name} has a field of its own; leave it out here")));
            }
            object.set_members(&members);
        }
        object.set_version(self.version);
        object.unsay();
        object.schema = 0;
        self.pruned(Decoded { object: object.into(), unknown: Vec::new() }, strictness)
    }

    fn pruned(&self, mut decoded: Decoded, strictness: Strictness) -> Result<Decoded, Error> {
        if let Some(object) = decoded.object.custom_mut() {
            let validator = self.validator()?;
            let mut value = object.value();
            decoded.unknown.extend(prune(&mut value, validator.schema()).told());
            decoded.unknown.extend(coerce(&mut value, validator.schema()));
            set(object, value);
        }
        decoded.unknown = strictness.judge(decoded.unknown)?;
        Ok(decoded)
    }

    /// Of a manifest that is applied what counts: the fields that the schema has, without the defaults, which nobody wants.
    ///
    /// # Errors
    /// If the schema cannot be used.
    pub fn config(&self, manifest: &Value) -> Result<Value, Error> {
        let validator = self.validator()?;
        let mut config = manifest.clone();
        prune(&mut config, validator.schema());
        coerce(&mut config, validator.schema());
        if let Some(metadata) = config.get_mut("metadata") {
            *metadata = apply::known_metadata(metadata);
        }
        Ok(config)
    }

    /// Gives an object that was read its defaults.
    ///
    /// # Errors
    /// If they would make it too large.
    pub fn fill(&self, object: &mut CustomObject) -> Result<(), Error> {
        let validator = self.validator()?;
        let mut value = object.value();
        let filled = apply_defaults(&mut value, validator.schema());
        filled.map_err(|error| Error::new(Reason::RequestEntityTooLarge, error))?;
        set(object, value);
        object.schema = self.digest;
        Ok(())
    }

    /// What is wrong with an object, which may replace another.
    #[must_use]
    pub fn judge(&self, old: Option<&CustomObject>, new: &CustomObject) -> Vec<Cause> {
        let whole = |object: &CustomObject| json::encode_as(self.as_served(), &object.clone().into());
        match (self.validator(), old) {
            (Ok(validator), Some(old)) => validator.update(&whole(old), &whole(new)),
            (Ok(validator), None) => validator.create(&whole(new)),
            (Err(error), _) => {
                vec![Cause { reason: "FieldValueInvalid", field: "(object)".to_owned(), message: error.message }]
            }
        }
    }

    /// An object as this version shows it: what was formed by another schema is formed by this one.
    #[must_use]
    pub fn shown(&self, object: &CustomObject) -> CustomObject {
        let mut shown = object.clone();
        shown.set_version(self.version);
        if object.schema != self.digest
            && let Ok(validator) = self.validator()
        {
            let mut value = object.value();
            prune(&mut value, validator.schema());
            // What becomes too large stays as it is.
            _ = apply_defaults(&mut value, validator.schema());
            set(&mut shown, value);
            shown.schema = self.digest;
        }
        shown
    }
}

fn set(object: &mut CustomObject, value: Value) {
    if let Value::Object(members) = value {
        object.set_members(&members);
    }
}

fn outline(
    kind: CustomKind,
    names: &CustomResourceDefinitionNames,
    version: &CustomResourceDefinitionVersion,
) -> Outline {
    let parts = version.subresources.as_ref();
    let scale = parts.and_then(|parts| parts.scale.as_ref()).map(|scale| ScalePaths {
        spec: scale.spec_replicas_path.clone(),
        status: scale.status_replicas_path.clone(),
        selector: scale.label_selector_path.clone().unwrap_or_default(),
    });
    let columns = version.additional_printer_columns.iter().map(|column| CustomColumn {
        name: column.name.clone(),
        r#type: column.r#type.clone(),
        format: column.format.clone(),
        description: column.description.clone(),
        priority: column.priority,
        path: column.json_path.clone(),
    });
    let fields = version.selectable_fields.iter().map(|field| field.json_path.trim_start_matches('.').to_owned());
    let usual = || format!("{}/{} {} is deprecated", kind.info().group, version.name, names.kind);
    Outline {
        version: version.name.clone(),
        singular: names.singular.clone(),
        list_kind: names.list_kind.clone(),
        short_names: names.short_names.clone(),
        categories: names.categories.clone(),
        has_status: parts.is_some_and(|parts| parts.status.is_some()),
        scale,
        columns: columns.collect(),
        fields: fields.collect(),
        deprecated: version.deprecated.then(|| version.deprecation_warning.clone().unwrap_or_else(usual)),
    }
}

/// A number that differs, but for rare chance, between two texts, and is the same on every master (FNV-1a). Never 0.
fn digest(text: &[u8]) -> i64 {
    let fold = |digest: u64, byte: &u8| (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    text.iter().fold(0xCBF2_9CE4_8422_2325, fold).max(1).cast_signed()
}
