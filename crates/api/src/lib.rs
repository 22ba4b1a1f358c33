//! Every object the cluster can hold.
//!
//! The types come from `proto/`; the one table of kinds is in [`kinds`]. Around them stand the rules that need no I/O:
//! names and keys, times, errors, codecs, defaults, validation, selectors, quantities, patches and table columns.
//! Nothing here reads a clock, a file or a socket.

#![cfg_attr(not(test), warn(clippy::cast_possible_truncation, clippy::wildcard_enum_match_arm))]

pub mod admission;
pub mod apply;
pub mod cbor;
pub mod cel;
pub mod cidr;
pub mod conditions;
pub mod custom;
pub mod defaults;
pub mod discovery;
pub mod docker_config;
pub mod downward;
pub mod encoded;
pub mod envelope;
pub mod error;
pub mod event;
pub mod expansion;
pub mod fieldset;
pub mod flow_control;
mod formats;
pub mod int_or_string;
pub mod json;
// Before `object`, for which it has the table as a macro.
#[macro_use]
pub mod kinds;
pub mod limits;
pub mod names;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod pod;
pub mod pod_security;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod rights;
pub mod schema;
pub mod selector;
pub mod table;
pub mod time;
pub mod users;
pub mod validate;
pub mod verbs;
pub mod warnings;
pub mod well_known;
mod wire;
pub mod x509;
pub mod yaml;

#[cfg(test)]
mod fixtures;

/// The types generated from `proto/`. Their documentation is that of the fields there.
#[expect(missing_docs, clippy::doc_markdown, reason = "generated")]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/pb.rs"));
}

pub use cidr::Cidr;
pub use error::{Error, Reason};
pub use kinds::reviews;
pub use object::{Key, Kind, Object, Revision, Served, Subresource, Verb};
pub use pb::kapelle::{
    admissionregistration::v1 as admissionregistration_v1, api::v1 as api_v1, apiextensions::v1 as apiextensions_v1,
    apiregistration::v1 as apiregistration_v1, apps::v1 as apps_v1, authentication::v1 as authentication_v1,
    authorization::v1 as authorization_v1, autoscaling::v1 as autoscaling_v1, certificates::v1 as certificates_v1,
    coordination::v1 as coordination_v1, core::v1 as core_v1, discovery::v1 as discovery_v1, events::v1 as events_v1,
    flowcontrol::v1 as flowcontrol_v1, identity::v1 as identity_v1, meta::v1 as meta_v1, policy::v1 as policy_v1,
    rbac::v1 as rbac_v1, scheduling::v1 as scheduling_v1, storagemigration::v1 as storagemigration_v1,
};
pub use time::Timestamp;
pub use verbs::{
    ApplyOutcome, Change, ChangeType, DeleteOptions, Kept, Observation, PatchKind, Propagation, ReadAt, Write,
    WriteOutcome,
};

/// The compiled `proto/` tree (a `FileDescriptorSet` with comments and field options), for codecs, reflection and `explain`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
