//! Asks the strategy of whatever kind an object is. Written once for all kinds, from the table: each `match` has one arm a row
//! and no other.

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    Allocation, Kind, Object, Resource, Scale, apps, coordination, core, discovery, rbac, storagemigration,
    strategy::Strategy as _,
};
use crate::{
    Subresource, Timestamp, apps_v1, coordination_v1, core_v1, discovery_v1, rbac_v1, storagemigration_v1,
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
                match self { $(Self::$variant => $strategy.sample(),)* }
            }

            pub(crate) fn name_syntax(self) -> Syntax {
                match self { $(Self::$variant => $strategy.name_syntax(),)* }
            }

            pub(crate) fn hides_values(self) -> bool {
                match self { $(Self::$variant => $strategy.hides_values(),)* }
            }

            pub(crate) fn columns(self) -> &'static [Column] {
                match self { $(Self::$variant => $strategy.columns(),)* }
            }

            pub(crate) fn fields(self) -> Vec<&'static str> {
                match self { $(Self::$variant => $strategy.fields(),)* }
            }
        }

        // Of two objects both are of one kind wherever these are asked: the new one has taken the place of the old one. If
        // they were not, nothing would be taken over.
        impl Object {
            /// Takes from a new object what its creator may not say.
            pub fn prepare_for_create(&mut self) {
                match self { $(Self::$variant(object) => $strategy.prepare_for_create(object),)* }
            }

            /// Takes over from the object before what a write of the whole object may not touch.
            pub fn prepare_for_update(&mut self, old: &Self) {
                match self {
                    $(Self::$variant(new) => {
                        if let Some(old) = <$type>::of(old) { $strategy.prepare_for_update(new, old) }
                    })*
                }
            }

            /// Writes what was sent to the part `status`.
            pub fn update_status(&mut self, sent: &Self) {
                match self {
                    $(Self::$variant(object) => {
                        if let Some(sent) = <$type>::of(sent) { $strategy.update_status(object, sent) }
                    })*
                }
            }

            /// What the part `scale` shows; `None` for kinds without one.
            #[must_use]
            pub fn scale(&self) -> Option<Scale> {
                match self { $(Self::$variant(object) => $strategy.scale(object),)* }
            }

            /// Says how many replicas there should be; nothing for kinds without the part `scale`.
            pub fn set_replicas(&mut self, replicas: i32) {
                match self { $(Self::$variant(object) => $strategy.set_replicas(object, replicas),)* }
            }

            /// Whether this is another generation than `old`, which is `None` for a new object.
            #[must_use]
            pub fn is_new_generation(&self, old: Option<&Self>, part: Subresource) -> bool {
                match self {
                    $(Self::$variant(new) => $strategy.is_new_generation(old.and_then(<$type>::of), new, part),)*
                }
            }

            /// What only the cluster as a whole can give to it.
            pub fn allocation(&mut self) -> Allocation<'_> {
                match self { $(Self::$variant(object) => $strategy.allocation(object),)* }
            }

            /// What it has that no other object may have.
            #[must_use]
            pub fn claims(&self) -> BTreeSet<String> {
                match self { $(Self::$variant(object) => $strategy.claims(object),)* }
            }

            /// Marks it for deletion.
            ///
            /// # Errors
            /// If it may never be deleted: why.
            pub fn mark_for_deletion(&mut self, grace_period_s: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
                match self { $(Self::$variant(object) => $strategy.mark_for_deletion(object, grace_period_s, now),)* }
            }

            /// Whether something other than `metadata.finalizers` still holds it when it is marked for deletion.
            #[must_use]
            pub fn is_held(&self) -> bool {
                match self { $(Self::$variant(object) => $strategy.is_held(object),)* }
            }

            pub(crate) fn apply_defaults(&mut self) {
                match self { $(Self::$variant(object) => $strategy.apply_defaults(object),)* }
            }

            pub(crate) fn validate(&self, causes: &mut Causes) {
                match self { $(Self::$variant(object) => $strategy.validate(causes, object),)* }
            }

            /// Judges what changes; `None` if the objects are of two kinds.
            pub(crate) fn validate_update(&self, causes: &mut Causes, old: &Self) -> Option<()> {
                match self {
                    $(Self::$variant(new) => {
                        <$type>::of(old).map(|old| $strategy.validate_update(causes, old, new))
                    })*
                }
            }

            pub(crate) fn validate_status(&self, causes: &mut Causes) {
                match self { $(Self::$variant(object) => $strategy.validate_status(causes, object),)* }
            }

            pub(crate) fn warn(&self, warnings: &mut Warnings) {
                match self { $(Self::$variant(object) => $strategy.warn(warnings, object),)* }
            }

            pub(crate) fn row(&self, common: Common, now: Timestamp) -> Vec<Cell> {
                match self { $(Self::$variant(object) => $strategy.row(object, common, now),)* }
            }

            pub(crate) fn field(&self, index: usize) -> Cow<'_, str> {
                match self { $(Self::$variant(object) => $strategy.field(object, index),)* }
            }
        }
    };
}

table!(dispatch);
