//! CustomResourceDefinitions.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    apiextensions_v1::{
        CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition,
        CustomResourceDefinitionNames, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
        CustomResourceSubresources, SelectableField,
    },
    custom::{self, JsonPath, is, schema_of},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        limits::SMALL_LIST_MAX,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

/// Holds a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Says where the community of Kubernetes has let a kind into one of its groups.
const APPROVED_ANNOTATION: &str = "api-approved.kubernetes.io";

/// Versions of one kind.
pub const VERSIONS_MAX: usize = 64;
/// Fields by which objects of one version can be selected: Kubernetes' limit.
pub const SELECTABLE_FIELDS_MAX: usize = 8;
/// The longest warning of a deprecated version, in characters: Kubernetes' limit.
const WARNING_CHARS_MAX: usize = 256;

const COLUMNS: &[Column] = &[NAME, text("Created At", "When the object was created.")];
const SCOPES: [&str; 2] = ["Cluster", "Namespaced"];
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

const SAMPLE: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, default: 1}
";

pub(crate) struct CustomResourceDefinitionStrategy;

impl Strategy for CustomResourceDefinitionStrategy {
    type Object = CustomResourceDefinition;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, definition: &mut CustomResourceDefinition) {
        let Some(spec) = &mut definition.spec else { return };
        let names = spec.names.get_or_insert_default();
        if names.singular.is_empty() {
            names.singular = names.kind.to_ascii_lowercase();
        }
        if names.list_kind.is_empty() && !names.kind.is_empty() {
            names.list_kind = format!("{}List", names.kind);
        }
        let conversion = spec.conversion.get_or_insert_default();
        if conversion.strategy.is_empty() {
            conversion.strategy = "None".to_owned();
        }
        for version in &mut spec.versions {
            if version.deprecated && version.deprecation_warning.as_deref() == Some("") {
                version.deprecation_warning = None;
            }
        }
        remember_storage(definition);
    }

    fn validate(&self, causes: &mut Causes, definition: &CustomResourceDefinition) {
        let at = Path::Root.field("spec");
        let none = CustomResourceDefinitionSpec::default();
        let spec = definition.spec.as_ref().unwrap_or(&none);
        group(causes, spec, &at);
        approved(causes, definition, &spec.group);
        causes.required_one_of(&at.field("scope"), &spec.scope, &SCOPES);
        let names = spec.names.clone().unwrap_or_default();
        own_name(causes, definition, spec, &names);
        required_names(causes, &names, &at.field("names"));
        valid_names(causes, &names, &at.field("names"));
        versions(causes, &spec.versions, &at.field("versions"));
        conversion(causes, spec.conversion.as_ref(), &at.field("conversion"));
        if spec.preserve_unknown_fields {
            let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
            causes.invalid(&at.field("preserveUnknownFields"), true, why);
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &CustomResourceDefinition, new: &CustomResourceDefinition) {
        let (Some(before), Some(after)) = (&old.spec, &new.spec) else { return };
        let at = Path::Root.field("spec");
        let names = at.field("names");
        let name = |spec: &CustomResourceDefinitionSpec| spec.names.clone().unwrap_or_default();
        let (old_names, new_names) = (name(before), name(after));
        immutable(causes, &before.group, &after.group, &at.field("group"));
        immutable(causes, &old_names.plural, &new_names.plural, &names.field("plural"));
        if is(old, "Established") {
            immutable(causes, &before.scope, &after.scope, &at.field("scope"));
            immutable(causes, &old_names.kind, &new_names.kind, &names.field("kind"));
        }
        let stored = new.status.iter().flat_map(|status| &status.stored_versions);
        for (index, stored) in stored.enumerate() {
            if after.versions.iter().all(|version| version.name != *stored) {
                let why = format_args!(
                    "missing from spec.versions; {stored} was previously a storage version, and must remain in spec.versions until a \
                     storage migration ensures no data remains persisted in {stored} and removes {stored} from status.storedVersions"
                );
                let at = Path::Root.field("status");
                causes.invalid(&at.field("storedVersions").index(index), stored, why);
            }
        }
    }

    fn validate_status(&self, causes: &mut Causes, definition: &CustomResourceDefinition) {
        let Some(status) = &definition.status else { return };
        let at = Path::Root.field("status");
        causes.at_most(&at.field("conditions"), status.conditions.len(), SMALL_LIST_MAX);
        valid_names(causes, &status.accepted_names.clone().unwrap_or_default(), &at.field("acceptedNames"));
        if status.stored_versions.is_empty() {
            causes.invalid(
                &at.field("storedVersions"),
                &status.stored_versions,
                "must have at least one stored version",
            );
            return;
        }
        let storage = definition.spec.iter().flat_map(|spec| &spec.versions).find(|version| version.storage);
        if let Some(storage) = storage.filter(|storage| !status.stored_versions.contains(&storage.name)) {
            let why = format_args!("must have the storage version {}", storage.name);
            causes.invalid(&at.field("storedVersions"), &status.stored_versions, why);
        }
    }

    fn warn(&self, _: &mut Warnings, _: &CustomResourceDefinition) {}

    fn prepare_for_create(&self, definition: &mut CustomResourceDefinition) {
        definition.status = None;
        let metadata = definition.metadata.get_or_insert_default();
        if !metadata.finalizers.iter().any(|name| name == CLEANUP_FINALIZER) {
            metadata.finalizers.push(CLEANUP_FINALIZER.to_owned());
        }
    }

    fn prepare_for_update(&self, new: &mut CustomResourceDefinition, old: &CustomResourceDefinition) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, definition: &mut CustomResourceDefinition, sent: &CustomResourceDefinition) {
        definition.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &CustomResourceDefinition) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut CustomResourceDefinition, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&CustomResourceDefinition>,
        new: &CustomResourceDefinition,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut CustomResourceDefinition) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &CustomResourceDefinition) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        definition: &mut CustomResourceDefinition,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut definition.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &CustomResourceDefinition) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, definition: &CustomResourceDefinition, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, table::created_at(definition.metadata.as_ref()).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a CustomResourceDefinition, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// From now on objects may be kept in the version that is said to be the one for that.
fn remember_storage(definition: &mut CustomResourceDefinition) {
    let storage = definition.spec.iter().flat_map(|spec| &spec.versions).find(|version| version.storage);
    if let Some(name) = storage.map(|version| version.name.clone()) {
        let stored = &mut definition.status.get_or_insert_default().stored_versions;
        if !stored.contains(&name) {
            stored.push(name);
        }
    }
}

/// Groups that belong to Kubernetes are open only to what its community has let in, or what says that it was not asked.
fn approved(causes: &mut Causes, definition: &CustomResourceDefinition, group: &str) {
    let is_protected = [".k8s.io", ".kubernetes.io"].iter().any(|domain| group.ends_with(domain))
        || matches!(group, "k8s.io" | "kubernetes.io");
    if !is_protected {
        return;
    }
    let at = Path::Root.field("metadata");
    let at = at.field("annotations");
    let at = at.key(APPROVED_ANNOTATION);
    let annotations = definition.metadata.as_ref().map(|meta| &meta.annotations);
    match annotations.and_then(|annotations| annotations.get(APPROVED_ANNOTATION)).map(String::as_str) {
        None | Some("") => {
            let why = format!(
                "protected groups must have approval annotation {APPROVED_ANNOTATION:?}, see \
                 https://github.com/kubernetes/enhancements/pull/1111"
            );
            causes.required(&at, &why);
        }
        Some(said) if said.starts_with("unapproved") || said.contains("://") => {}
        Some(said) => {
            let why = "protected groups must have approval annotation with a URL, or a reason that starts with \"unapproved\"";
            causes.invalid(&at, said, why);
        }
    }
}

fn immutable(causes: &mut Causes, old: &str, new: &str, at: &Path<'_>) {
    if old != new {
        causes.invalid(at, new, "field is immutable");
    }
}

fn group(causes: &mut Causes, spec: &CustomResourceDefinitionSpec, at: &Path<'_>) {
    let at = at.field("group");
    causes.required_syntax(&at, &spec.group, names::dns_subdomain);
    if !spec.group.is_empty() && !spec.group.contains('.') {
        causes.invalid(&at, &spec.group, "should be a domain with at least one dot");
    }
}

fn own_name(
    causes: &mut Causes,
    definition: &CustomResourceDefinition,
    spec: &CustomResourceDefinitionSpec,
    names: &CustomResourceDefinitionNames,
) {
    let name = definition.metadata.as_ref().map_or("", |meta| &meta.name);
    if name != format!("{}.{}", names.plural, spec.group) {
        let at = Path::Root.field("metadata");
        causes.invalid(&at.field("name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
}

fn required_names(causes: &mut Causes, names: &CustomResourceDefinitionNames, at: &Path<'_>) {
    for (field, name) in [
        ("plural", &names.plural),
        ("singular", &names.singular),
        ("kind", &names.kind),
        ("listKind", &names.list_kind),
    ] {
        if name.is_empty() {
            causes.required(&at.field(field), "");
        }
    }
}

fn valid_names(causes: &mut Causes, names: &CustomResourceDefinitionNames, at: &Path<'_>) {
    for (field, name) in [("plural", &names.plural), ("singular", &names.singular)] {
        if !name.is_empty() {
            causes.syntax(&at.field(field), name, names::dns_1035_label);
        }
    }
    for (field, name) in [("kind", &names.kind), ("listKind", &names.list_kind)] {
        for why in names::dns_1035_label(&name.to_ascii_lowercase()).iter().filter(|_| !name.is_empty()) {
            let why = format_args!("may have mixed case, but should otherwise match: {why}");
            causes.invalid(&at.field(field), name, why);
        }
    }
    for (field, words) in [("shortNames", &names.short_names), ("categories", &names.categories)] {
        let at = at.field(field);
        if causes.at_most(&at, words.len(), SMALL_LIST_MAX) {
            let each = words.iter().enumerate();
            each.for_each(|(index, word)| causes.syntax(&at.index(index), word, names::dns_1035_label));
        }
    }
    if !names.kind.is_empty() && names.kind == names.list_kind {
        causes.invalid(&at.field("listKind"), &names.list_kind, "kind and listKind may not be the same");
    }
}

fn versions(causes: &mut Causes, versions: &[CustomResourceDefinitionVersion], at: &Path<'_>) {
    if !causes.at_most(at, versions.len(), VERSIONS_MAX) {
        return;
    }
    let known: Vec<&str> = versions.iter().map(|version| version.name.as_str()).collect();
    for (index, one) in versions.iter().enumerate() {
        version(causes, one, &at.index(index));
        if known[..index].contains(&one.name.as_str()) {
            causes.invalid(at, &known, "must contain unique version names");
        }
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        causes.invalid(at, &known, "must have exactly one version marked as storage version");
    }
}

fn version(causes: &mut Causes, version: &CustomResourceDefinitionVersion, at: &Path<'_>) {
    causes.required_syntax(&at.field("name"), &version.name, names::dns_1035_label);
    deprecation(causes, version, &at.field("deprecationWarning"));
    let has_status = version.subresources.as_ref().is_some_and(|parts| parts.status.is_some());
    let at_schema = at.field("schema");
    let at_schema = at_schema.field("openAPIV3Schema");
    match schema_of(version) {
        None => causes.required(&at_schema, ""),
        Some(schema) => match custom::check(&schema, &at_schema.to_string(), has_status) {
            Ok(validator) => {
                selectable(causes, &version.selectable_fields, validator.schema(), &at.field("selectableFields"))
            }
            Err(found) => found.into_iter().for_each(|cause| causes.take(cause)),
        },
    }
    if let Some(parts) = &version.subresources {
        subresources(causes, parts, &at.field("subresources"));
    }
    let at = at.field("additionalPrinterColumns");
    if causes.at_most(&at, version.additional_printer_columns.len(), SMALL_LIST_MAX) {
        let columns = version.additional_printer_columns.iter().enumerate();
        columns.for_each(|(index, one)| column(causes, one, &at.index(index)));
    }
}

fn deprecation(causes: &mut Causes, version: &CustomResourceDefinitionVersion, at: &Path<'_>) {
    let Some(warning) = &version.deprecation_warning else { return };
    if !version.deprecated {
        causes.invalid(at, warning, "can only be set for deprecated versions");
    }
    if warning.chars().count() > WARNING_CHARS_MAX {
        causes.invalid(at, warning, format_args!("must be <= {WARNING_CHARS_MAX} characters long"));
    }
    if warning.is_empty() {
        causes.invalid(at, warning, "must not be an empty string");
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, char)| char.is_control()) {
        let why = "must only contain printable UTF-8 characters; control character found at index";
        causes.invalid(at, warning, format_args!("{why} {index}"));
    }
}

fn selectable(causes: &mut Causes, fields: &[SelectableField], schema: &custom::Schema, at: &Path<'_>) {
    if !causes.at_most(at, fields.len(), SELECTABLE_FIELDS_MAX) {
        return;
    }
    for (index, field) in fields.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("jsonPath");
        let path = match JsonPath::parse(&field.json_path) {
            _ if field.json_path.is_empty() => {
                causes.required(&at, "");
                continue;
            }
            Err(why) => {
                causes.invalid(&at, &field.json_path, format_args!("is an invalid path: {why}"));
                continue;
            }
            Ok(path) => path,
        };
        let found = path.names().try_fold(schema, |schema, name| schema.field(name));
        match found.map(|schema| schema.r#type()) {
            None => causes.invalid(&at, &field.json_path, "is an invalid path: does not refer to a valid field"),
            Some(Some(custom::Type::String | custom::Type::Boolean | custom::Type::Integer)) => {}
            Some(_) => {
                let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                causes.invalid(&at, &field.json_path, why);
            }
        }
        if path.names().next() == Some("metadata") {
            causes.invalid(&at, &field.json_path, "must not point to fields in metadata");
        }
        if fields[..index].iter().any(|before| before.json_path == field.json_path) {
            causes.duplicate(&at, &field.json_path);
        }
    }
}

fn subresources(causes: &mut Causes, parts: &CustomResourceSubresources, at: &Path<'_>) {
    let Some(scale) = &parts.scale else { return };
    let at = at.field("scale");
    path_below(causes, &scale.spec_replicas_path, &[".spec."], "under .spec", &at.field("specReplicasPath"));
    path_below(causes, &scale.status_replicas_path, &[".status."], "under .status", &at.field("statusReplicasPath"));
    if let Some(path) = scale.label_selector_path.as_deref().filter(|path| !path.is_empty()) {
        let under = "under either .spec or .status";
        path_below(causes, path, &[".spec.", ".status."], under, &at.field("labelSelectorPath"));
    }
}

fn path_below(causes: &mut Causes, path: &str, tops: &[&str], under: &str, at: &Path<'_>) {
    if path.is_empty() {
        causes.required(at, "");
    } else if !path.starts_with('.') {
        causes.invalid(at, path, "must be a simple json path starting with .");
    } else if !tops.iter().any(|top| path.starts_with(top)) || JsonPath::parse(path).is_err() {
        causes.invalid(at, path, format_args!("should be a json path {under}"));
    }
}

fn column(causes: &mut Causes, column: &CustomResourceColumnDefinition, at: &Path<'_>) {
    if column.name.is_empty() {
        causes.required(&at.field("name"), "");
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match column.r#type.as_str() {
        "" => causes.required(&at.field("type"), &types),
        known if COLUMN_TYPES.contains(&known) => {}
        other => causes.invalid(&at.field("type"), other, types),
    }
    if !column.format.is_empty() && !COLUMN_FORMATS.contains(&column.format.as_str()) {
        let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
        causes.invalid(&at.field("format"), &column.format, why);
    }
    let at = at.field("jsonPath");
    if column.json_path.is_empty() {
        causes.required(&at, "");
    } else if !column.json_path.starts_with('.') {
        causes.invalid(&at, &column.json_path, "must be a simple json path starting with .");
    }
}

fn conversion(causes: &mut Causes, conversion: Option<&CustomResourceConversion>, at: &Path<'_>) {
    let Some(conversion) = conversion else { return };
    match conversion.strategy.as_str() {
        "None" => {
            if conversion.webhook.is_some() {
                causes.forbidden(&at.field("webhook"), "should not be set when strategy is not set to Webhook");
            }
        }
        "Webhook" => causes.forbidden(&at.field("strategy"), "webhooks for conversion are not served; use None"),
        other => causes.unsupported(&at.field("strategy"), other, &["None", "Webhook"]),
    }
}
