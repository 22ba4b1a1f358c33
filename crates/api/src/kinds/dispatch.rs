//! Asks the strategy of whatever kind an object is. Written once for all kinds, from the table: each `match` has one arm a row
//! and no other.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use prost::{DecodeError, Message as _};

use super::{
    Allocation, Kind, Object, Resource, Scale, admissionregistration, apiextensions, apiregistration, apps,
    certificates, conversion::Conversion as _, coordination, core, custom::CustomStrategy, discovery, events,
    flowcontrol, identity, rbac, scheduling, storagemigration, strategy::Strategy as _,
};
use crate::{
    Served, Subresource, Timestamp, admissionregistration_v1, apiextensions_v1, apiregistration_v1, apps_v1,
    certificates_v1, coordination_v1, core_v1,
    custom::{JsonPath, paths_of},
    discovery_v1, events_v1, flowcontrol_v1, identity_v1,
    object::{CustomObject, Version},
    rbac_v1, scheduling_v1, storagemigration_v1,
    table::{Cell, Column, Common},
    validate::{Causes, names::Syntax},
    warnings::Warnings,
};

macro_rules! dispatch {
    ($($code:literal $variant:ident: $type:ty, $strategy:expr, $names:tt;)*) => {
        impl Kind {
            /// The manifest of a small, typical object of this kind.
            #[must_use]
            pub fn sample(self) -> &'static str {
                match self {
                    $(Self::$variant => $strategy.sample(),)*
                    Self::Custom(_) => CustomStrategy::UNREAD.sample(),
                }
            }

            pub(crate) fn name_syntax(self) -> Syntax {
                match self {
                    $(Self::$variant => $strategy.name_syntax(),)*
                    Self::Custom(_) => CustomStrategy::UNREAD.name_syntax(),
                }
            }

            pub(crate) fn hides_values(self) -> bool {
                match self {
                    $(Self::$variant => $strategy.hides_values(),)*
                    Self::Custom(_) => CustomStrategy::UNREAD.hides_values(),
                }
            }

            pub(crate) fn columns(self) -> &'static [Column] {
                match self {
                    $(Self::$variant => $strategy.columns(),)*
                    Self::Custom(_) => CustomStrategy::UNREAD.own_columns(),
                }
            }

            pub(crate) fn fields(self) -> Vec<&'static str> {
                match self {
                    $(Self::$variant => $strategy.fields(),)*
                    Self::Custom(_) => Vec::new(),
                }
            }
        }

        // Of two objects both are of one kind wherever these are asked: the new one has taken the place of the old one. If
        // they were not, nothing would be taken over.
        impl Object {
            /// Takes from a new object what its creator may not say.
            pub fn prepare_for_create(&mut self) {
                match self {
                    $(Self::$variant(object) => $strategy.prepare_for_create(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).prepare_for_create(object),
                }
            }

            /// Takes over from the object before what a write of the whole object may not touch.
            pub fn prepare_for_update(&mut self, old: &Self) {
                match self {
                    $(Self::$variant(new) => {
                        if let Some(old) = <$type>::of(old) { $strategy.prepare_for_update(new, old) }
                    })*
                    Self::Custom(new) => {
                        if let Some(old) = old.custom() { CustomStrategy::of(new).prepare_for_update(new, old) }
                    }
                }
            }

            /// Writes what was sent to the part `status`.
            pub fn update_status(&mut self, sent: &Self) {
                match self {
                    $(Self::$variant(object) => {
                        if let Some(sent) = <$type>::of(sent) { $strategy.update_status(object, sent) }
                    })*
                    Self::Custom(object) => {
                        if let Some(sent) = sent.custom() { CustomStrategy::of(sent).update_status(object, sent) }
                    }
                }
            }

            /// What the part `scale` shows; `None` for kinds without one.
            #[must_use]
            pub fn scale(&self) -> Option<Scale> {
                match self {
                    $(Self::$variant(object) => $strategy.scale(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).scale(object),
                }
            }

            /// Says how many replicas there should be; nothing for kinds without the part `scale`.
            pub fn set_replicas(&mut self, replicas: i32) {
                match self {
                    $(Self::$variant(object) => $strategy.set_replicas(object, replicas),)*
                    Self::Custom(object) => CustomStrategy::of(object).set_replicas(object, replicas),
                }
            }

            /// Whether this is another generation than `old`, which is `None` for a new object.
            #[must_use]
            pub fn is_new_generation(&self, old: Option<&Self>, part: Subresource) -> bool {
                match self {
                    $(Self::$variant(new) => $strategy.is_new_generation(old.and_then(<$type>::of), new, part),)*
                    Self::Custom(new) => {
                        CustomStrategy::of(new).is_new_generation(old.and_then(Self::custom), new, part)
                    }
                }
            }

            /// What only the cluster as a whole can give to it.
            pub fn allocation(&mut self) -> Allocation<'_> {
                match self {
                    $(Self::$variant(object) => $strategy.allocation(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).allocation(object),
                }
            }

            /// What it has that no other object may have.
            #[must_use]
            pub fn claims(&self) -> BTreeSet<String> {
                match self {
                    $(Self::$variant(object) => $strategy.claims(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).claims(object),
                }
            }

            /// Marks it for deletion.
            ///
            /// # Errors
            /// If it may never be deleted: why.
            pub fn mark_for_deletion(&mut self, grace_period_s: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
                match self {
                    $(Self::$variant(object) => $strategy.mark_for_deletion(object, grace_period_s, now),)*
                    Self::Custom(object) => CustomStrategy::of(object).mark_for_deletion(object, grace_period_s, now),
                }
            }

            /// Whether something other than `metadata.finalizers` still holds it when it is marked for deletion.
            #[must_use]
            pub fn is_held(&self) -> bool {
                match self {
                    $(Self::$variant(object) => $strategy.is_held(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).is_held(object),
                }
            }

            pub(crate) fn apply_defaults(&mut self) {
                match self {
                    $(Self::$variant(object) => $strategy.apply_defaults(object),)*
                    Self::Custom(object) => CustomStrategy::of(object).apply_defaults(object),
                }
            }

            pub(crate) fn validate(&self, causes: &mut Causes) {
                match self {
                    $(Self::$variant(object) => $strategy.validate(causes, object),)*
                    Self::Custom(object) => CustomStrategy::of(object).validate(causes, object),
                }
            }

            /// Judges what changes; `None` if the objects are of two kinds.
            pub(crate) fn validate_update(&self, causes: &mut Causes, old: &Self) -> Option<()> {
                match self {
                    $(Self::$variant(new) => {
                        <$type>::of(old).map(|old| $strategy.validate_update(causes, old, new))
                    })*
                    Self::Custom(new) => {
                        let old = old.custom().filter(|old| old.kind() == new.kind());
                        old.map(|old| CustomStrategy::of(new).validate_update(causes, old, new))
                    }
                }
            }

            pub(crate) fn validate_status(&self, causes: &mut Causes) {
                match self {
                    $(Self::$variant(object) => $strategy.validate_status(causes, object),)*
                    Self::Custom(object) => CustomStrategy::of(object).validate_status(causes, object),
                }
            }

            pub(crate) fn warn(&self, warnings: &mut Warnings) {
                match self {
                    $(Self::$variant(object) => $strategy.warn(warnings, object),)*
                    Self::Custom(object) => CustomStrategy::of(object).warn(warnings, object),
                }
            }

            pub(crate) fn row(&self, common: Common, now: Timestamp) -> Vec<Cell> {
                match self {
                    $(Self::$variant(object) => $strategy.row(object, common, now),)*
                    Self::Custom(object) => CustomStrategy::of(object).row(object, common, now),
                }
            }

            pub(crate) fn field(&self, index: usize) -> Cow<'_, str> {
                match self {
                    $(Self::$variant(object) => $strategy.field(object, index),)*
                    Self::Custom(object) => CustomStrategy::of(object).field(object, index),
                }
            }
        }
    };
}

table!(dispatch);

macro_rules! dispatch_versions {
    ($($variant:ident: $kind:ident, $type:ty, $conversion:expr, $names:tt;)*) => {
        // Objects are always of the version's kind wherever these are asked. If one were not, it would have no bytes, and
        // nothing would be wrong with it.
        impl Version {
            fn decode(self, bytes: Bytes) -> Result<Object, DecodeError> {
                Ok(match self { $(Self::$variant => $conversion.store(<$type>::decode(bytes)?).into(),)* })
            }

            fn encode(self, object: &Object) -> Bytes {
                match self {
                    $(Self::$variant => {
                        let shown = Resource::of(object).map(|stored| $conversion.serve(stored));
                        shown.map(|shown| shown.encode_to_vec()).unwrap_or_default().into()
                    })*
                }
            }

            fn renamed(self) -> &'static [(&'static str, &'static str)] {
                match self { $(Self::$variant => $conversion.renamed(),)* }
            }

            fn fields(self) -> Vec<&'static str> {
                match self { $(Self::$variant => $conversion.fields(),)* }
            }

            fn sample(self) -> &'static str {
                match self { $(Self::$variant => $conversion.sample(),)* }
            }

            fn validate_create(self, causes: &mut Causes, new: &Object) {
                match self {
                    $(Self::$variant => {
                        if let Some(new) = Resource::of(new) { $conversion.validate_create(causes, new) }
                    })*
                }
            }

            fn validate_update(self, causes: &mut Causes, old: &Object, new: &Object) {
                match self {
                    $(Self::$variant => {
                        if let (Some(old), Some(new)) = (Resource::of(old), Resource::of(new)) {
                            $conversion.validate_update(causes, old, new)
                        }
                    })*
                }
            }
        }
    };
}

versions!(dispatch_versions);

/// What differs between the versions of a kind. The one in which it is stored is converted by doing nothing.
impl Served {
    /// The manifest of a small, typical object in this version.
    #[must_use]
    pub fn sample(self) -> &'static str {
        match self {
            Self::Stored(kind) => kind.sample(),
            Self::Converted(version) => version.sample(),
            Self::Custom(_) => "",
        }
    }

    /// Reads the protobuf bytes of an object in this version.
    ///
    /// # Errors
    /// If they are not such a message.
    pub fn decode_bytes(self, bytes: Bytes) -> Result<Object, DecodeError> {
        match self {
            Self::Stored(kind) => Object::decode_bytes(kind, bytes),
            Self::Converted(version) => version.decode(bytes),
            Self::Custom(version) => {
                let mut object = CustomObject::decode(bytes)?;
                object.set_version(version);
                Ok(object.into())
            }
        }
    }

    /// The protobuf bytes of an object of the kind, in this version.
    #[must_use]
    pub fn encode_bytes(self, object: &Object) -> Bytes {
        match self {
            Self::Stored(_) | Self::Custom(_) => object.encode_bytes(),
            Self::Converted(version) => version.encode(object),
        }
    }

    /// Where objects say how many replicas are wanted, if they do.
    #[must_use]
    pub fn replicas_at(self) -> JsonPath {
        let usual = || JsonPath::of(&["spec", "replicas"]);
        match self {
            Self::Stored(_) | Self::Converted(_) => usual(),
            Self::Custom(version) => paths_of(version).scale().map_or_else(usual, |scale| scale.wanted_at().clone()),
        }
    }

    /// The paths of the fields by which objects can be selected, beside those that every kind has.
    pub(crate) fn fields(self) -> Vec<&'static str> {
        match self {
            Self::Stored(kind) => kind.fields(),
            Self::Converted(version) => version.fields(),
            Self::Custom(version) => version.fields().to_vec(),
        }
    }

    /// As [`Served::fields`], in the order in which [`Served::field`] knows them, under their names in the stored form.
    pub(crate) fn stored_fields(self) -> Vec<&'static str> {
        match self {
            Self::Stored(_) | Self::Converted(_) => self.kind().fields(),
            Self::Custom(version) => version.fields().to_vec(),
        }
    }

    /// A field of an object by its place among [`Served::stored_fields`]; empty if it is not set.
    pub(crate) fn field(self, object: &Object, index: usize) -> Cow<'_, str> {
        match (self, object.custom()) {
            (Self::Custom(version), Some(custom)) => CustomStrategy::in_version(version).field(custom, index),
            (Self::Stored(_) | Self::Converted(_) | Self::Custom(_), _) => object.field(index),
        }
    }

    /// The columns of a table of such objects.
    pub(crate) fn columns(self) -> &'static [Column] {
        match self {
            Self::Stored(kind) => kind.columns(),
            Self::Converted(version) => version.kind().columns(),
            Self::Custom(version) => CustomStrategy::in_version(version).own_columns(),
        }
    }

    /// One cell for each of [`Served::columns`].
    pub(crate) fn row(self, object: &Object, common: Common, now: Timestamp) -> Vec<Cell> {
        match (self, object.custom()) {
            (Self::Custom(version), Some(custom)) => CustomStrategy::in_version(version).row(custom, common, now),
            (Self::Stored(_) | Self::Converted(_) | Self::Custom(_), _) => object.row(common, now),
        }
    }

    /// How a path of the stored form is called in this version.
    pub(crate) fn path_here(self, stored: &str) -> String {
        renamed(stored, self.renamed().iter().copied())
    }

    /// How a path of this version is called in the stored form.
    pub(crate) fn path_stored(self, here: &str) -> String {
        renamed(here, self.renamed().iter().map(|(stored, here)| (*here, *stored)))
    }

    fn renamed(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Stored(_) | Self::Custom(_) => &[],
            Self::Converted(version) => version.renamed(),
        }
    }

    /// Judges a new object by what the kind itself lets pass and this version does not.
    pub(crate) fn validate_create(self, causes: &mut Causes, new: &Object) {
        match self {
            Self::Stored(_) | Self::Custom(_) => {}
            Self::Converted(version) => version.validate_create(causes, new),
        }
    }

    /// As [`Served::validate_create`], for an object that replaces another.
    pub(crate) fn validate_update(self, causes: &mut Causes, old: &Object, new: &Object) {
        match self {
            Self::Stored(_) | Self::Custom(_) => {}
            Self::Converted(version) => version.validate_update(causes, old, new),
        }
    }
}

/// A path with another name at its top, if the top is renamed.
fn renamed<'a>(path: &str, mut names: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let (top, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    let to = names.find(|(from, _)| *from == top).map_or(top, |(_, to)| to);
    format!("{to}{rest}")
}
