//! Kinds that users define, as far as they must be known by name: who they are, what a version of one says of its objects but
//! for their schema, and how an object is kept.
//!
//! Names live as long as the process and are shared, so that a kind stays a small value that can be copied. A definition in
//! force is another thing: see [`crate::custom`]. That a name is known here says nothing about whether anybody serves it.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    sync::{LazyLock, Mutex, PoisonError},
};

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};
use serde_json::{Map, Value};

use super::{KindInfo, Source, Subresource, Verb};
use crate::meta_v1::ObjectMeta;

/// The most names of kinds and of versions that one process learns, each of which it keeps for good. A cluster with all that
/// Crossplane brings has some thousand.
pub const NAMES_MAX: usize = 65_536;

/// Who a kind is that a user defines. This is what the log, snapshots and page tokens carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindName {
    /// The API group.
    pub group: String,
    /// The resource in URLs: `widgets`.
    pub plural: String,
    /// The kind as in manifests: `Widget`.
    pub kind: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

/// A kind that a user defines. Equal by identity; ordered by its names, since order must be the same on every master.
#[derive(Clone, Copy)]
pub struct CustomKind(&'static KindInfo);

/// What a version of a kind says of its objects, but for their schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outline {
    /// The version within the group.
    pub version: String,
    /// The resource in prose.
    pub singular: String,
    /// The kind of lists.
    pub list_kind: String,
    /// What people type.
    pub short_names: Vec<String>,
    /// Groups of resources such as `all`.
    pub categories: Vec<String>,
    /// Whether what was observed has a part of its own.
    pub has_status: bool,
    /// Where objects say how many replicas there are.
    pub scale: Option<ScalePaths>,
    /// What tables show beside the name.
    pub columns: Vec<CustomColumn>,
    /// The paths of the fields by which objects can be selected: `spec.color`.
    pub fields: Vec<String>,
    /// What is said to whoever still uses the version.
    pub deprecated: Option<String>,
}

/// Where objects say how many replicas there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScalePaths {
    /// How many are wanted.
    pub spec: String,
    /// How many there are.
    pub status: String,
    /// By which labels they are found; empty if nothing says it.
    pub selector: String,
}

/// One column of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CustomColumn {
    /// The heading.
    pub name: String,
    /// `integer`, `number`, `string`, `boolean` or `date`.
    pub r#type: String,
    /// OpenAPI's format.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0: always shown; more: only in wide output.
    pub priority: i32,
    /// The path of the field.
    pub path: String,
}

/// A version of a kind that a user defines. Equal by identity, and so by all that it says.
#[derive(Clone, Copy)]
pub struct CustomVersion(&'static Interned);

struct Interned {
    kind: CustomKind,
    info: KindInfo,
    fields: Vec<&'static str>,
    outline: Outline,
}

static NAMES: LazyLock<Mutex<HashMap<KindName, CustomKind>>> = LazyLock::new(Mutex::default);
static VERSIONS: LazyLock<Mutex<HashMap<(CustomKind, &'static Outline), CustomVersion>>> =
    LazyLock::new(Mutex::default);

/// Whether the process can learn more names. Whoever lets definitions in asks this; who only reads what was let in does not.
#[must_use]
pub fn has_room_for_names() -> bool {
    let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner).len();
    let versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner).len();
    names < NAMES_MAX && versions < NAMES_MAX
}

/// A text for the life of the process.
fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn all_kept(texts: &[String]) -> &'static [&'static str] {
    Vec::leak(texts.iter().map(|text| kept(text)).collect())
}

impl CustomKind {
    /// The kind of a name.
    #[must_use]
    pub fn of(name: &KindName) -> Self {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return *known;
        }
        let info = KindInfo {
            kind: kept(&name.kind),
            list_kind: kept(&format!("{}List", name.kind)),
            group: kept(&name.group),
            version: "",
            plural: kept(&name.plural),
            singular: kept(&name.kind.to_ascii_lowercase()),
            short_names: &[],
            namespaced: name.namespaced,
            categories: &[],
            subresources: &[],
            message: CustomObject::MESSAGE,
            verbs: Verb::OF_STORED,
            source: Source::State,
            deprecated: None,
            code: CustomObject::CODE,
        };
        let kind = Self(Box::leak(Box::new(info)));
        names.insert(name.clone(), kind);
        kind
    }

    /// The kind before all others: that of objects of which nobody knows what they are.
    #[must_use]
    pub fn unknown() -> Self {
        static UNKNOWN: LazyLock<CustomKind> = LazyLock::new(|| CustomKind::of(&KindName::default()));
        *UNKNOWN
    }

    /// Who it is.
    #[must_use]
    pub fn name(self) -> KindName {
        KindName {
            group: self.0.group.to_owned(),
            plural: self.0.plural.to_owned(),
            kind: self.0.kind.to_owned(),
            namespaced: self.0.namespaced,
        }
    }

    /// What does not depend on the version.
    #[must_use]
    pub const fn info(self) -> &'static KindInfo {
        self.0
    }

    fn names(self) -> (&'static str, &'static str, &'static str, bool) {
        (self.0.group, self.0.plural, self.0.kind, self.0.namespaced)
    }
}

impl PartialEq for CustomKind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for CustomKind {}

impl Hash for CustomKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.0).hash(state);
    }
}

impl Ord for CustomKind {
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other { Ordering::Equal } else { self.names().cmp(&other.names()) }
    }
}

impl PartialOrd for CustomKind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for CustomKind {
    /// `Widget.example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.kind, self.0.group)
    }
}

impl CustomVersion {
    /// The version of a kind that says this.
    #[must_use]
    pub fn of(kind: CustomKind, outline: Outline) -> Self {
        let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = versions.get(&(kind, &outline)) {
            return *known;
        }
        let subresources: &'static [Subresource] = match (outline.has_status, outline.scale.is_some()) {
            (false, false) => &[],
            (true, false) => &[Subresource::Status],
            (false, true) => &[Subresource::Scale],
            (true, true) => &[Subresource::Status, Subresource::Scale],
        };
        let info = KindInfo {
            version: kept(&outline.version),
            singular: kept(&outline.singular),
            list_kind: kept(&outline.list_kind),
            short_names: all_kept(&outline.short_names),
            categories: all_kept(&outline.categories),
            subresources,
            deprecated: outline.deprecated.as_deref().map(kept),
            ..*kind.info()
        };
        let fields = all_kept(&outline.fields).to_vec();
        let interned: &'static Interned = Box::leak(Box::new(Interned { kind, info, fields, outline }));
        versions.insert((kind, &interned.outline), Self(interned));
        Self(interned)
    }

    /// What it is a version of.
    #[must_use]
    pub fn kind(self) -> CustomKind {
        self.0.kind
    }

    /// What discovery shows.
    #[must_use]
    pub fn info(self) -> &'static KindInfo {
        &self.0.info
    }

    /// All that it says.
    #[must_use]
    pub fn outline(self) -> &'static Outline {
        &self.0.outline
    }

    /// The paths of the fields by which objects can be selected, beside those that every kind has.
    #[must_use]
    pub fn fields(self) -> &'static [&'static str] {
        &self.0.fields
    }
}

impl PartialEq for CustomVersion {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for CustomVersion {}

impl Hash for CustomVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.0).hash(state);
    }
}

impl fmt::Debug for CustomVersion {
    /// `Widget.example.com/v1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.0.kind, self.0.info.version)
    }
}

/// An object of a kind that a user defines: its metadata as in every object, and all the rest as JSON text. The message of
/// this name in `proto/`.
#[derive(Clone, Debug, Default)]
pub struct CustomObject {
    /// Name, labels and the other things that every object has.
    pub metadata: Option<ObjectMeta>,
    /// The JSON text of all other members but `apiVersion` and `kind`; empty if there are none.
    pub content: Bytes,
    /// The digest of the schema by which it was pruned and given defaults; 0 if it was not.
    pub schema: i64,
    /// What the object says of itself where nothing around it does.
    pub api_version: String,
    /// As [`CustomObject::api_version`]: the kind as in manifests.
    pub kind: String,
    /// As [`CustomObject::api_version`]: the resource in URLs. Believed only of a master.
    pub plural: String,
    of: Option<CustomKind>,
    version: Option<CustomVersion>,
}

impl CustomObject {
    /// The full name of the message.
    pub const MESSAGE: &'static str = "kapelle.apiextensions.v1.CustomObject";
    /// The number of the case in `kapelle.api.v1.Object`.
    pub const CODE: u32 = 24;
    /// The number of [`CustomObject::content`].
    pub const CONTENT_FIELD: u32 = 2;
    /// The number of [`CustomObject::schema`].
    pub const SCHEMA_FIELD: u32 = 3;
    const METADATA_FIELD: u32 = 1;
    const API_VERSION_FIELD: u32 = 4;
    const KIND_FIELD: u32 = 5;
    const PLURAL_FIELD: u32 = 6;

    /// An object of a kind with nothing in it.
    #[must_use]
    pub fn of(kind: CustomKind) -> Self {
        Self { of: Some(kind), ..Self::default() }
    }

    /// An object in a version with nothing in it.
    #[must_use]
    pub fn in_version(version: CustomVersion) -> Self {
        Self { version: Some(version), ..Self::of(version.kind()) }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> CustomKind {
        self.of.unwrap_or_else(CustomKind::unknown)
    }

    /// In which version it was read, if it was.
    #[must_use]
    pub fn version(&self) -> Option<CustomVersion> {
        self.version
    }

    /// Takes away what it says of itself: something around it does.
    pub fn unsay(&mut self) {
        (self.api_version, self.kind, self.plural) = (String::new(), String::new(), String::new());
    }

    /// Says itself what it is, for where nothing around it does.
    pub fn say(&mut self, info: &KindInfo) {
        (self.api_version, self.kind) = (info.api_version(), info.kind.to_owned());
        info.plural.clone_into(&mut self.plural);
    }

    /// Takes it at its word about what it is.
    pub fn believe(&mut self) {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let namespaced = self.metadata.as_ref().is_some_and(|metadata| !metadata.namespace.is_empty());
        let name = KindName { group, plural: self.plural.clone(), kind: self.kind.clone(), namespaced };
        self.of = Some(CustomKind::of(&name));
    }

    /// Says what it is: its bytes do not.
    pub fn set_kind(&mut self, kind: CustomKind) {
        self.of = Some(kind);
    }

    /// Says in which version it is looked at.
    pub fn set_version(&mut self, version: CustomVersion) {
        (self.of, self.version) = (Some(version.kind()), Some(version));
    }

    /// What it says of itself, by the numbers of the fields.
    fn said(&self) -> [(u32, &String); 3] {
        [
            (Self::API_VERSION_FIELD, &self.api_version),
            (Self::KIND_FIELD, &self.kind),
            (Self::PLURAL_FIELD, &self.plural),
        ]
    }

    /// All members but `apiVersion`, `kind` and `metadata`; none if the text is not the JSON of an object.
    #[must_use]
    pub fn members(&self) -> Map<String, Value> {
        if self.content.is_empty() { Map::new() } else { serde_json::from_slice(&self.content).unwrap_or_default() }
    }

    /// As [`CustomObject::members`], as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::Object(self.members())
    }

    /// Replaces all members but `apiVersion`, `kind` and `metadata`.
    pub fn set_members(&mut self, members: &Map<String, Value>) {
        let text = || serde_json::to_vec(members).expect("memory takes every value, and its keys are texts");
        self.content = if members.is_empty() { Bytes::new() } else { text().into() };
    }
}

/// The version in which somebody looks at it is no part of it, nor is by which schema it was formed.
impl PartialEq for CustomObject {
    fn eq(&self, other: &Self) -> bool {
        self.of == other.of
            && self.metadata == other.metadata
            && self.content == other.content
            && (&self.api_version, &self.kind, &self.plural) == (&other.api_version, &other.kind, &other.plural)
    }
}

impl Eq for CustomObject {}

impl Hash for CustomObject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.hash(state);
        self.content.hash(state);
    }
}

impl Message for CustomObject {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if let Some(metadata) = &self.metadata {
            encoding::message::encode(Self::METADATA_FIELD, metadata, buf);
        }
        if !self.content.is_empty() {
            encoding::bytes::encode(Self::CONTENT_FIELD, &self.content, buf);
        }
        if self.schema != 0 {
            encoding::int64::encode(Self::SCHEMA_FIELD, &self.schema, buf);
        }
        for (number, text) in self.said() {
            if !text.is_empty() {
                encoding::string::encode(number, text, buf);
            }
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            Self::METADATA_FIELD => {
                encoding::message::merge(wire_type, self.metadata.get_or_insert_default(), buf, context)
            }
            Self::CONTENT_FIELD => encoding::bytes::merge(wire_type, &mut self.content, buf, context),
            Self::SCHEMA_FIELD => encoding::int64::merge(wire_type, &mut self.schema, buf, context),
            Self::API_VERSION_FIELD => encoding::string::merge(wire_type, &mut self.api_version, buf, context),
            Self::KIND_FIELD => encoding::string::merge(wire_type, &mut self.kind, buf, context),
            Self::PLURAL_FIELD => encoding::string::merge(wire_type, &mut self.plural, buf, context),
            _ => encoding::skip_field(wire_type, tag, buf, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let metadata = |metadata| encoding::message::encoded_len(Self::METADATA_FIELD, metadata);
        let text =
            |number, text: &String| if text.is_empty() { 0 } else { encoding::string::encoded_len(number, text) };
        let content =
            if self.content.is_empty() { 0 } else { encoding::bytes::encoded_len(Self::CONTENT_FIELD, &self.content) };
        let schema = if self.schema == 0 { 0 } else { encoding::int64::encoded_len(Self::SCHEMA_FIELD, &self.schema) };
        let said: usize = self.said().into_iter().map(|(number, said)| text(number, said)).sum();
        self.metadata.as_ref().map_or(0, metadata) + content + schema + said
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widget(kind: &str, namespaced: bool) -> KindName {
        KindName { group: "names.test".into(), plural: "widgets".into(), kind: kind.into(), namespaced }
    }

    #[test]
    fn a_name_is_one_kind_and_each_part_of_it_counts() {
        let one = CustomKind::of(&widget("Widget", true));
        assert_eq!(one, CustomKind::of(&widget("Widget", true)));
        assert_eq!(one.name(), widget("Widget", true));
        assert_ne!(one, CustomKind::of(&widget("Widget", false)));
        assert!(one < CustomKind::of(&widget("Widgets", true)), "ordered by name");
        assert!(CustomKind::unknown() < one);
    }

    #[test]
    fn a_version_is_all_that_it_says() {
        let kind = CustomKind::of(&widget("Widget", true));
        let outline = Outline { version: "v1".into(), short_names: vec!["w".into()], ..Outline::default() };
        let version = CustomVersion::of(kind, outline.clone());
        assert_eq!(version, CustomVersion::of(kind, outline.clone()));
        assert_eq!((version.info().short_names, version.info().api_version()), (&["w"][..], "names.test/v1".into()));
        let other = CustomVersion::of(kind, Outline { has_status: true, ..outline });
        assert_ne!(version, other);
        assert_eq!(other.info().subresources, [Subresource::Status]);
        assert!(has_room_for_names());
    }

    #[test]
    fn an_object_is_its_metadata_and_the_text_of_the_rest() {
        let mut object = CustomObject::of(CustomKind::of(&widget("Widget", true)));
        assert_eq!(object.encode_to_vec(), Vec::<u8>::new());
        let metadata = ObjectMeta { name: "a".repeat(200), ..ObjectMeta::default() };
        object.metadata = Some(metadata);
        object.set_members(&serde_json::json!({"spec": {"size": 1}}).as_object().cloned().unwrap_or_default());
        (object.schema, object.kind) = (7, "Widget".to_owned());
        let bytes = object.encode_to_vec();
        assert_eq!(bytes.len(), object.encoded_len());
        let mut again = CustomObject::decode(bytes.as_slice()).expect("an object");
        assert_ne!(again, object, "the bytes do not say what it is");
        again.set_kind(object.kind());
        assert_eq!((&again, again.schema), (&object, 7));
        assert_eq!(again.members()["spec"]["size"], 1);
        again.set_members(&Map::new());
        assert!(again.content.is_empty());
    }
}
