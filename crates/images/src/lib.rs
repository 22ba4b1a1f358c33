//! The images of a cluster: the OCI registry that every master serves, and what it keeps on disk.
//!
//! [`Blobs`] is what one master has on disk. [`Images`] are the images of all masters: what is pushed to one is copied to the
//! others, and what one lacks it gets from them. [`oci`] speaks the distribution API, for standard tools.
//!
//! The law: it knows no objects, neither their kinds nor where they are kept. Who may read and who may write is decided
//! before a request gets here, and the other masters are whatever [`Peers`] says. Nothing is deleted yet but names.

mod blobs;
mod manifest;
mod name;
pub mod oci;
mod replication;
#[cfg(test)]
mod tests;

pub use blobs::{BLOB_BYTES_MAX, BadDigest, Blobs, Digest, MANIFEST_BYTES_MAX, UPLOADS_MAX, UploadError};
pub use manifest::Manifest;
pub use name::{check as check_name, repository as check_repository};
pub use replication::{Alone, Images, Peers};
