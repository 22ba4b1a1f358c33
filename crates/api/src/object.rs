//! Objects of any kind: what they are, how they are called, and their bytes. Read off the table of kinds.

mod custom;
mod key;
mod served;
mod source;
mod subresource;
mod verb;

use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::{
    admissionregistration_v1, api_v1, apiextensions_v1, apiregistration_v1, apps_v1, certificates_v1, coordination_v1,
    core_v1, discovery_v1, flowcontrol_v1, identity_v1, meta_v1, rbac_v1, scheduling_v1, storagemigration_v1,
};
pub use custom::{
    CustomColumn, CustomKind, CustomObject, CustomVersion, KindName, NAMES_MAX, Outline, ScalePaths, has_room_for_names,
};
pub use key::{Key, Revision};
pub use served::{Served, Version};
pub use source::Source;
pub use subresource::{Subresource, TypeName};
pub use verb::Verb;

/// Any object of the cluster.
pub use crate::api_v1::object::Object;

/// What the tables say of one kind in one group and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The kind as in manifests: `ReplicaSet`.
    pub kind: &'static str,
    /// The kind of lists: `ReplicaSetList`.
    pub list_kind: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version within the group.
    pub version: &'static str,
    /// The resource in URLs: `replicasets`.
    pub plural: &'static str,
    /// The resource in prose: `replicaset`.
    pub singular: &'static str,
    /// What people type.
    pub short_names: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Groups of resources such as `all`.
    pub categories: &'static [&'static str],
    /// What can follow an object's name in a URL.
    pub subresources: &'static [Subresource],
    /// The protobuf message.
    pub message: &'static str,
    /// What can be done with its objects as a whole.
    pub verbs: &'static [Verb],
    /// Where its objects come from.
    pub source: Source,
    /// What Kubernetes says to whoever still uses the kind.
    pub deprecated: Option<&'static str>,
    /// The number of the kind's case in `kapelle.api.v1.Object`; stands for the kind in the log and in snapshots.
    pub code: u32,
}

impl KindInfo {
    /// `apps/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        let Self { group, version, .. } = self;
        if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") }
    }

    /// Whether something can be done with its objects as a whole. Logs belong to a part of them.
    #[must_use]
    pub fn offers(&self, verb: Verb) -> bool {
        verb == Verb::Log || self.verbs.contains(&verb)
    }
}

/// What a row says behind its message, or what holds if it says nothing.
macro_rules! or_usual {
    (verbs) => { Verb::OF_STORED };
    (verbs $($verb:ident)+) => { &[$(Verb::$verb),+] };
    (source) => { Source::State };
    (source $source:ident) => { Source::$source };
    (called $variant:ident) => { stringify!($variant) };
    (called $variant:ident $name:literal) => { $name };
    (list_called $variant:ident) => { concat!(stringify!($variant), "List") };
    (list_called $variant:ident $name:literal) => { concat!($name, "List") };
    (deprecated) => { None };
    (deprecated $sentence:literal) => { Some($sentence) };
}

macro_rules! kinds {
    ($($code:literal $variant:ident: $type:ty, $strategy:expr, {
        $group:literal $version:literal, $plural:literal ($singular:literal) $short:tt, $namespaced:literal,
        in $categories:tt, with [$($subresource:ident),*], $message:literal
        $(, verbs [$($verb:ident),*])? $(, source $source:ident)? $(, deprecated $deprecated:literal)?
        $(, called $name:literal)?
    };)*) => {
        /// What an object is. The order is that of lists which mix kinds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!("`", $plural, "` of `", $group, "/", $version, "`.")]
                $variant,
            )*
            /// One that a user defines.
            Custom(CustomKind),
        }

        impl Kind {
            /// Every kind of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// How many different answers [`Kind::row`] has.
            pub const ROWS: usize = Self::ALL.len() + 1;

            /// The kind's place in the table. All kinds that users define share the one behind it.
            #[must_use]
            pub const fn row(self) -> usize {
                enum Row { $($variant,)* Custom }
                match self {
                    $(Self::$variant => Row::$variant as usize,)*
                    Self::Custom(_) => Row::Custom as usize,
                }
            }

            /// The row of the table.
            #[must_use]
            pub const fn info(self) -> &'static KindInfo {
                match self {
                    $(Self::$variant => const { &KindInfo {
                        kind: or_usual!(called $variant $($name)?), list_kind: or_usual!(list_called $variant $($name)?),
                        group: $group, version: $version, plural: $plural,
                        singular: $singular, short_names: &$short, namespaced: $namespaced, categories: &$categories,
                        subresources: &[$(Subresource::$subresource),*], message: $message, code: $code,
                        verbs: or_usual!(verbs $($($verb)*)?), source: or_usual!(source $($source)?),
                        deprecated: or_usual!(deprecated $($deprecated)?),
                    } },)*
                    Self::Custom(kind) => kind.info(),
                }
            }
        }

        impl Object {
            /// What it is.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$variant(_) => Kind::$variant,)*
                    Self::Custom(object) => Kind::Custom(object.kind()),
                }
            }

            /// Its metadata, if it has any.
            #[must_use]
            pub fn metadata(&self) -> Option<&meta_v1::ObjectMeta> {
                match self {
                    $(Self::$variant(object) => object.metadata.as_ref(),)*
                    Self::Custom(object) => object.metadata.as_ref(),
                }
            }

            /// Its metadata, made if there is none.
            pub fn metadata_mut(&mut self) -> &mut meta_v1::ObjectMeta {
                match self {
                    $(Self::$variant(object) => object.metadata.get_or_insert_default(),)*
                    Self::Custom(object) => object.metadata.get_or_insert_default(),
                }
            }

            /// An object of a kind with nothing in it.
            #[must_use]
            pub fn empty(kind: Kind) -> Self {
                match kind {
                    $(Kind::$variant => Self::$variant(Box::default()),)*
                    Kind::Custom(kind) => CustomObject::of(kind).into(),
                }
            }

            /// The protobuf bytes of the object itself (its kind is not in them).
            #[must_use]
            pub fn encode_bytes(&self) -> Bytes {
                match self {
                    $(Self::$variant(object) => object.encode_to_vec().into(),)*
                    Self::Custom(object) => object.encode_to_vec().into(),
                }
            }

            /// Reads the protobuf bytes of an object of `kind`.
            ///
            /// # Errors
            /// If they are not such a message.
            pub fn decode_bytes(kind: Kind, bytes: Bytes) -> Result<Self, prost::DecodeError> {
                Ok(match kind {
                    $(Kind::$variant => Self::$variant(Box::new(<$type>::decode(bytes)?)),)*
                    Kind::Custom(kind) => {
                        let mut object = CustomObject::decode(bytes)?;
                        object.set_kind(kind);
                        object.into()
                    }
                })
            }
        }

        $(
            impl From<$type> for Object {
                fn from(object: $type) -> Self { Self::$variant(Box::new(object)) }
            }
            impl From<Box<$type>> for Object {
                fn from(object: Box<$type>) -> Self { Self::$variant(object) }
            }
            impl Resource for $type {
                const KIND: Kind = Kind::$variant;
                fn of(object: &Object) -> Option<&Self> {
                    if let Object::$variant(object) = object { Some(object) } else { None }
                }
                fn from_object(object: Object) -> Option<Self> {
                    if let Object::$variant(object) = object { Some(*object) } else { None }
                }
                fn metadata(&self) -> Option<&meta_v1::ObjectMeta> { self.metadata.as_ref() }
                fn metadata_mut(&mut self) -> &mut meta_v1::ObjectMeta { self.metadata.get_or_insert_default() }
            }
        )*
    };
}

table!(kinds);

/// What every kind's own type can do; lets generic code hold `Pod` rather than [`Object`].
pub trait Resource: Sized {
    /// The row of the table.
    const KIND: Kind;
    /// The object, if it is of this kind.
    fn of(object: &Object) -> Option<&Self>;
    /// As [`Resource::of`], of an object that nobody else needs.
    fn from_object(object: Object) -> Option<Self>;
    /// Its metadata, if it has any.
    fn metadata(&self) -> Option<&meta_v1::ObjectMeta>;
    /// Its metadata, made if there is none.
    fn metadata_mut(&mut self) -> &mut meta_v1::ObjectMeta;

    /// Its name; empty if it has none yet.
    fn name(&self) -> &str {
        self.metadata().map_or("", |meta| &meta.name)
    }

    /// Its namespace; empty for kinds that have none.
    fn namespace(&self) -> &str {
        self.metadata().map_or("", |meta| &meta.namespace)
    }

    /// Its uid; empty if it was never stored.
    fn uid(&self) -> &str {
        self.metadata().map_or("", |meta| &meta.uid)
    }

    /// The key under which it is stored.
    fn key(&self) -> Key {
        Key::namespaced(Self::KIND, self.namespace(), self.name())
    }
}

impl Kind {
    /// Finds a kind by what manifests call it, such as `ReplicaSet`.
    #[must_use]
    pub fn from_name(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.info().kind == kind)
    }

    /// Finds a kind by [`KindInfo::code`].
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.info().code == code)
    }

    /// Finds a kind by `apiVersion` and `kind`, as they stand in a manifest, in whichever version it is served.
    #[must_use]
    pub fn from_api_version(api_version: &str, kind: &str) -> Option<Self> {
        Served::from_api_version(api_version, kind).map(Served::kind)
    }

    /// Finds a kind by what people type: kind, plural, singular or short name, any case, with or without `.group`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let (name, group) = word.split_once('.').unwrap_or((&word, ""));
        let is = |info: &KindInfo| {
            let named = info.plural == name || info.singular == name || info.short_names.contains(&name);
            named && (group.is_empty() || group == info.group || group == format!("{}.{}", info.version, info.group))
        };
        Served::all().find(|served| is(served.info())).map(Served::kind)
    }

    /// As [`Served::has`], in the version in which the kind is stored.
    #[must_use]
    pub fn has(self, part: Subresource) -> bool {
        Served::Stored(self).has(part)
    }

    /// As [`Served::subresource`], in the version in which the kind is stored.
    #[must_use]
    pub fn subresource(self, word: &str) -> Option<Subresource> {
        Served::Stored(self).subresource(word)
    }

    /// `apps/v1`, or `v1` for the core group: in which it is stored.
    #[must_use]
    pub fn api_version(self) -> String {
        self.info().api_version()
    }

    /// The resource as messages name it: `deployments.apps`, `pods`.
    #[must_use]
    pub fn resource_name(self) -> String {
        qualified(self.info().plural, self.info().group)
    }

    /// The kind as messages name it: `Deployment.apps`, `Pod`.
    #[must_use]
    pub fn qualified_name(self) -> String {
        qualified(self.info().kind, self.info().group)
    }
}

fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

impl fmt::Display for Kind {
    /// The kind as in manifests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().kind)
    }
}

impl Object {
    /// The key under which it is stored. Names may be empty in an object that was never stored.
    #[must_use]
    pub fn key(&self) -> Key {
        let (namespace, name) = self.metadata().map_or(("", ""), |meta| (&meta.namespace, &meta.name));
        Key::namespaced(self.kind(), namespace, name)
    }

    /// The object, if it is of a kind that a user defines.
    #[must_use]
    pub fn custom(&self) -> Option<&CustomObject> {
        if let Self::Custom(object) = self { Some(object) } else { None }
    }

    /// As [`Object::custom`], to be changed.
    pub fn custom_mut(&mut self) -> Option<&mut CustomObject> {
        if let Self::Custom(object) = self { Some(object) } else { None }
    }

    /// What it is, in the version in which it was read.
    #[must_use]
    pub fn served(&self) -> Served {
        let version = self.custom().and_then(CustomObject::version);
        version.map_or_else(|| self.kind().into(), Served::Custom)
    }

    /// The object as a `T`, if it is one.
    #[must_use]
    pub fn get<T: Resource>(&self) -> Option<&T> {
        T::of(self)
    }

    /// `metadata.resourceVersion` as a number; `None` if absent or not one of ours.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.metadata()?.resource_version.parse().ok()
    }
}

impl From<CustomObject> for Object {
    fn from(object: CustomObject) -> Self {
        Self::Custom(Box::new(object))
    }
}

impl From<Object> for api_v1::Object {
    fn from(object: Object) -> Self {
        Self { object: Some(object) }
    }
}
