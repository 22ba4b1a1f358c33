//! Drives a Kapelle cluster from a Rust program, over gRPC.
//!
//! [`Client`] finds the cluster, by a kubeconfig, the environment or what the program says ([`Config`]), and goes on when a
//! master dies. [`Api`] reads and writes the objects of one kind by Kubernetes' verbs, in Kubernetes' types. [`watcher()`] tells
//! what exists and then what happens, for ever; a [`reflector()`] keeps it in a [`Store`]; [`wait_for()`] waits for one object.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use kapelle_client::{Api, Client, Config, ListParams, Resource as _, core_v1::Pod, watcher};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(&Config::infer()?)?;
//!     let pods: Api<Pod> = Api::default_namespaced(client);
//!     let mut events = watcher(&pods, &ListParams::default());
//!     while let Some(event) = events.try_next().await? {
//!         if let Some(pod) = event.applied() {
//!             println!("{}: {}", pod.name(), pod.status.as_ref().map_or("", |status| &status.phase));
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Errors
//!
//! Whatever a master refuses is an [`Error`], the same for all verbs: its [`Reason`] is what the caller decides by, its
//! `causes` name the fields that are wrong, `retry_after_s` says when to ask again.
//!
//! | reason | what to do |
//! |---|---|
//! | `Invalid`, `BadRequest` | mend what `causes` or the message name |
//! | `NotFound`, `AlreadyExists` | as they say; [`Api::get_opt`] and [`Api::apply`] do not meet them |
//! | `Conflict` | read again, change again: [`Api::modify`], [`retry_on_conflict`] |
//! | `Conflict` of [`Api::apply`] | `causes` name what others own ([`Error::is_owned_by_others`]): leave it, or [`ApplyParams::force`] |
//! | `Expired` | list or watch anew; [`Api::list`] and [`watcher()`] do |
//! | `TooManyRequests`, `ServiceUnavailable` | ask again later: the client has done so already, see [`Retries`] |
//! | `Timeout` | nobody knows whether a write was carried out: look, then ask again |
//! | `Unauthorized`, `Forbidden` | another certificate or token |
//!
//! The client itself sends again what was certainly not carried out, and what may be carried out twice (reads, `apply`).
//!
//! # The crate
//!
//! It is made of what masters and workers themselves talk with (`rpc`) and of the cluster's objects (`api`), and of nothing
//! that a server needs: no Raft, no Wasmtime. Take it from the repository, of the release that the masters have:
//!
//! ```toml
//! [dependencies]
//! kapelle-client = { path = "kapelle/crates/kapelle-client" } # or git = "…", tag = "…"
//! ```

mod answers;
mod client;
mod config;
mod conflict;
mod kind;
pub mod manifest;
mod params;
mod reflector;
mod typed;
mod wait;
mod watcher;

pub use api::{
    ApplyOutcome, DeleteOptions, Error, Key, Kind, Object, Propagation, ReadAt, Reason, Revision, apiregistration_v1,
    apps_v1, autoscaling_v1, certificates_v1, coordination_v1, core_v1, discovery_v1,
    error::Cause,
    flowcontrol_v1, identity_v1,
    kinds::{Resource, Scale},
    meta_v1, rbac_v1, scheduling_v1, storagemigration_v1,
};
pub use rpc::{Retries, Warned, forward::Tunnel};
pub use serde_json::{self, Value, json};

pub use answers::{Applied, Deleted, List, Page};
pub use client::Client;
pub use config::{Config, ConfigError, Credentials, MASTERS_EXTENSION, Options, default_data_dir};
pub use conflict::{CONFLICTS_MAX, retry_on_conflict};
pub use kind::Typed;
pub use params::{ApplyParams, ListParams, LogParams, Patch};
pub use reflector::{Store, Writer, WriterDropped, reflector, store};
pub use typed::Api;
pub use wait::wait_for;
pub use watcher::{Event, watch_object, watcher};
