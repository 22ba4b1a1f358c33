//! All kinds that users have defined, as one state knows them: found by the names by which requests mean them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    definition::{Definition, Version},
    priority::priority,
};
use crate::{
    Served,
    object::{CustomKind, CustomVersion},
};

/// All kinds that users have defined.
#[derive(Debug, Default)]
pub struct Definitions {
    by_kind: HashMap<CustomKind, Arc<Definition>>,
    /// By group and resource.
    by_resource: HashMap<(&'static str, &'static str), Arc<Definition>>,
    /// By group and kind.
    by_name: HashMap<(&'static str, &'static str), Arc<Definition>>,
    /// What is served, in the order of discovery.
    served: Vec<CustomVersion>,
    groups: BTreeSet<(&'static str, &'static str)>,
}

impl Definitions {
    /// These and no others.
    #[must_use]
    pub fn of(all: impl IntoIterator<Item = Arc<Definition>>) -> Self {
        let mut definitions = Self::default();
        for definition in all {
            let info = definition.kind.info();
            if definition.is_established {
                definitions.by_resource.insert((info.group, info.plural), definition.clone());
                definitions.by_name.insert((info.group, info.kind), definition.clone());
                definitions.served.extend(definition.served().map(|version| version.version));
            }
            definitions.by_kind.insert(definition.kind, definition);
        }
        let infos = definitions.served.iter().map(|version| version.info());
        definitions.groups = infos.map(|info| (info.group, info.version)).collect();
        definitions.served.sort_by_cached_key(|version| {
            let info = version.info();
            (info.group, priority(info.version), info.plural)
        });
        definitions
    }

    /// What is defined of a kind, whether it is served or not.
    #[must_use]
    pub fn get(&self, kind: CustomKind) -> Option<&Arc<Definition>> {
        self.by_kind.get(&kind)
    }

    /// A version in which objects can be read and written.
    #[must_use]
    pub fn version(&self, version: CustomVersion) -> Option<&Version> {
        self.get(version.kind())?.named(version.info().version)
    }

    /// The version in which objects of a kind are kept.
    #[must_use]
    pub fn storage(&self, kind: CustomKind) -> Option<&Version> {
        self.get(kind)?.storage()
    }

    /// Finds a kind by the group, version and resource of a URL.
    #[must_use]
    pub fn from_resource(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        let definition = self.by_resource.get(&(group, plural))?;
        definition.named(version).map(Version::as_served)
    }

    /// Finds a kind by `apiVersion` and `kind`, as they stand in a manifest.
    #[must_use]
    pub fn from_api_version(&self, api_version: &str, kind: &str) -> Option<Served> {
        let (group, version) = api_version.split_once('/')?;
        self.by_name.get(&(group, kind))?.named(version).map(Version::as_served)
    }

    /// Finds a kind by what messages call it: `Widget.example.com`.
    #[must_use]
    pub fn from_qualified_name(&self, name: &str) -> Option<CustomKind> {
        let (kind, group) = name.split_once('.')?;
        self.by_name.get(&(group, kind)).map(|definition| definition.kind)
    }

    /// Finds a kind by what people type: kind, plural, singular or short name, any case, with or without `.GROUP`.
    #[must_use]
    pub fn from_word(&self, word: &str) -> Option<CustomKind> {
        let word = word.to_ascii_lowercase();
        let (name, group) = word.split_once('.').unwrap_or((&word, ""));
        let found = self.served.iter().find(|version| {
            let info = version.info();
            let named = info.plural == name || info.singular == name || info.short_names.contains(&name);
            let within = group.is_empty() || group == info.group || group == format!("{}.{}", info.version, info.group);
            (named || info.kind.to_ascii_lowercase() == name) && within
        });
        found.map(|version| version.kind())
    }

    /// Everything that is served, in the order of discovery.
    pub fn served(&self) -> impl Iterator<Item = Served> {
        self.served.iter().copied().map(Served::Custom)
    }

    /// Whether anything is served in a group.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.served.binary_search_by(|version| version.info().group.cmp(group)).is_ok()
    }

    /// Every version in which objects can be read and written.
    pub fn versions(&self) -> impl Iterator<Item = &Version> + Clone {
        self.served.iter().filter_map(|version| self.version(*version))
    }

    /// Every group and version in which anything is served.
    pub fn group_versions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.groups.iter().copied()
    }

    /// What is served in a group and version.
    pub fn of_version<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Version> {
        let from = self.served.partition_point(|served| served.info().group < group);
        let of_group = self.served[from..].iter().take_while(move |served| served.info().group == group);
        of_group.filter(move |served| served.info().version == version).filter_map(|served| self.version(*served))
    }

    /// Whether anything is served in a group and version.
    #[must_use]
    pub fn has_group_version(&self, group: &str, version: &str) -> bool {
        self.groups.contains(&(group, version))
    }
}
