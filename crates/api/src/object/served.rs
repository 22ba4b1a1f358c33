//! In which groups and versions kinds are served: in the one in which they are stored, and in others for clients that know
//! them by other names. Read off the two tables of kinds.

use super::{CustomVersion, Kind, KindInfo, Subresource};

/// A kind in one of the groups and versions in which it is served. All of them show the same objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// In the one in which it is stored.
    Stored(Kind),
    /// In another one, to and from which its objects are converted.
    Converted(Version),
    /// In one that a user defines. Its objects are the same in all of them but for what the schema prunes and fills in.
    Custom(CustomVersion),
}

macro_rules! versions_of_kinds {
    ($($variant:ident: $kind:ident, $type:ty, $conversion:expr, {
        $group:literal $version:literal, $message:literal
    };)*) => {
        /// A group and version in which a kind is served beside the one in which it is stored.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Version {
            $(
                #[doc = concat!("`", stringify!($kind), "` in `", $group, "/", $version, "`.")]
                $variant,
            )*
        }

        impl Version {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The kind that it serves.
            #[must_use]
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            fn info(self) -> &'static KindInfo {
                match self {
                    $(Self::$variant => const {
                        &KindInfo { group: $group, version: $version, message: $message, ..*Kind::$kind.info() }
                    },)*
                }
            }
        }
    };
}

versions!(versions_of_kinds);

impl Served {
    /// Every kind of the table in every group and version; first all in which kinds are stored.
    pub fn all() -> impl Iterator<Item = Self> {
        let stored = Kind::ALL.iter().copied().map(Self::Stored);
        stored.chain(Version::ALL.iter().copied().map(Self::Converted))
    }

    /// Finds a kind by `apiVersion` and `kind`, as they stand in a manifest.
    #[must_use]
    pub fn from_api_version(api_version: &str, kind: &str) -> Option<Self> {
        Self::all().find(|served| served.info().kind == kind && served.info().api_version() == api_version)
    }

    /// Finds a kind by the group, version and resource of a URL.
    #[must_use]
    pub fn from_resource(group: &str, version: &str, plural: &str) -> Option<Self> {
        let is = |info: &KindInfo| info.group == group && info.version == version && info.plural == plural;
        Self::all().find(|served| is(served.info()))
    }

    /// A kind in a group and version, such as `apps/v1`; `None` if it is not served there.
    #[must_use]
    pub fn of(kind: Kind, api_version: &str) -> Option<Self> {
        Self::all().find(|served| served.kind() == kind && served.info().api_version() == api_version)
    }

    /// What it is a version of.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Stored(kind) => kind,
            Self::Converted(version) => version.kind(),
            Self::Custom(version) => Kind::Custom(version.kind()),
        }
    }

    /// What the tables say of it.
    #[must_use]
    pub fn info(self) -> &'static KindInfo {
        match self {
            Self::Stored(kind) => kind.info(),
            Self::Converted(version) => version.info(),
            Self::Custom(version) => version.info(),
        }
    }

    /// Whether its message is Kubernetes' own, so that clients can be answered in protobuf.
    #[must_use]
    pub fn has_protobuf(self) -> bool {
        !matches!(self.kind(), Kind::Custom(_) | Kind::CustomResourceDefinition | Kind::User)
    }

    /// Whether objects have a part: all have themselves and owners, the others are named with the kind.
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
            | Subresource::Proxy
            | Subresource::Token
            | Subresource::Approval => self.info().subresources.contains(&part),
        }
    }

    /// The part that a word names when it follows an object's name in a URL.
    #[must_use]
    pub fn subresource(self, word: &str) -> Option<Subresource> {
        self.info().subresources.iter().copied().find(|part| part.word() == word)
    }
}

impl From<Kind> for Served {
    fn from(kind: Kind) -> Self {
        Self::Stored(kind)
    }
}
