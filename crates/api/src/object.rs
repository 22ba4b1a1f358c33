//! Objects of any kind: what they are, how they are called, and their bytes. Read off the table of kinds.

mod key;
mod served;
mod source;
mod subresource;
mod verb;

use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::{api_v1, apps_v1, coordination_v1, core_v1, discovery_v1, meta_v1, rbac_v1, storagemigration_v1};
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
    (deprecated) => { None };
    (deprecated $sentence:literal) => { Some($sentence) };
}

macro_rules! kinds {
    ($($code:literal $variant:ident: $type:ty, $strategy:expr, {
        $group:literal $version:literal, $plural:literal ($singular:literal) $short:tt, $namespaced:literal,
        in $categories:tt, with [$($subresource:ident),*], $message:literal
        $(, verbs [$($verb:ident),*])? $(, source $source:ident)? $(, deprecated $deprecated:literal)?
    };)*) => {
        /// What an object is. The order is that of lists which mix kinds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!("`", $plural, "` of `", $group, "/", $version, "`.")]
                $variant,
            )*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The row of the table.
            #[must_use]
            pub const fn info(self) -> &'static KindInfo {
                match self {
                    $(Self::$variant => const { &KindInfo {
                        kind: stringify!($variant), group: $group, version: $version, plural: $plural,
                        singular: $singular, short_names: &$short, namespaced: $namespaced, categories: &$categories,
                        subresources: &[$(Subresource::$subresource),*], message: $message, code: $code,
                        verbs: or_usual!(verbs $($($verb)*)?), source: or_usual!(source $($source)?),
                        deprecated: or_usual!(deprecated $($deprecated)?),
                    } },)*
                }
            }
        }

        impl Object {
            /// What it is.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// Its metadata, if it has any.
            #[must_use]
            pub fn metadata(&self) -> Option<&meta_v1::ObjectMeta> {
                match self { $(Self::$variant(object) => object.metadata.as_ref(),)* }
            }

            /// Its metadata, made if there is none.
            pub fn metadata_mut(&mut self) -> &mut meta_v1::ObjectMeta {
                match self { $(Self::$variant(object) => object.metadata.get_or_insert_default(),)* }
            }

            /// An object of a kind with nothing in it.
            #[must_use]
            pub fn empty(kind: Kind) -> Self {
                match kind { $(Kind::$variant => Self::$variant(Box::default()),)* }
            }

            /// The protobuf bytes of the object itself (its kind is not in them).
            #[must_use]
            pub fn encode_bytes(&self) -> Bytes {
                match self { $(Self::$variant(object) => object.encode_to_vec().into(),)* }
            }

            /// Reads the protobuf bytes of an object of `kind`.
            ///
            /// # Errors
            /// If they are not such a message.
            pub fn decode_bytes(kind: Kind, bytes: Bytes) -> Result<Self, prost::DecodeError> {
                Ok(match kind { $(Kind::$variant => Self::$variant(Box::new(<$type>::decode(bytes)?)),)* })
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

    /// Whether objects of the kind have a part: all have themselves and owners, the others stand in the table.
    #[must_use]
    pub fn has(self, part: Subresource) -> bool {
        match part {
            Subresource::None | Subresource::Owners => true,
            Subresource::Status
            | Subresource::Scale
            | Subresource::Binding
            | Subresource::Eviction
            | Subresource::Finalize
            | Subresource::Log
            | Subresource::Portforward
            | Subresource::Exec
            | Subresource::Attach
            | Subresource::Proxy => self.info().subresources.contains(&part),
        }
    }

    /// The part that a word names when it follows an object's name in a URL.
    #[must_use]
    pub fn subresource(self, word: &str) -> Option<Subresource> {
        self.info().subresources.iter().copied().find(|part| part.word() == word)
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

impl From<Object> for api_v1::Object {
    fn from(object: Object) -> Self {
        Self { object: Some(object) }
    }
}
