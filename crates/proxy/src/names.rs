//! Names of Services and of their Pods, as Pods write them.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use api::{Key, Kind};

use crate::table::{Named, Table};

/// The domain below which every Service has a name.
const DOMAIN: &str = ".svc.cluster.local";

/// Everything below it is the cluster's, whether it exists or not.
const CLUSTER_DOMAIN: &str = ".cluster.local";

/// How many aliases may follow on each other, so that two that name each other end.
const ALIASES_MAX: usize = 8;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Addresses in the cluster: a Service's own, or those of the Pods of a headless one.
    Inside(Inside),
    /// A name of the cluster that nobody has.
    Nobody,
    /// A name outside the cluster: the one that was asked for, or the one that an `ExternalName` gives for it.
    Outside(String),
}

/// What a name in the cluster stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The Service.
    pub service: Key,
    /// Its own address, or those of its Pods.
    pub addresses: Vec<IpAddr>,
}

/// A name in the cluster, as it may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// A Pod below the Service.
    pub(crate) host: Option<String>,
    pub(crate) service: Key,
}

/// What a name means to a Pod in a namespace. `lookups` counts the names that were found.
pub(crate) fn resolve(table: &Table, name: &str, namespace: &str, lookups: &AtomicUsize) -> Resolved {
    match find(table, name, namespace) {
        Found::Service(reading) => {
            let mut addresses = addresses(table, &reading).unwrap_or_default();
            // Many programs take the first, so each of them comes first in turn.
            let turn = lookups.fetch_add(1, Ordering::Relaxed);
            let first = turn.checked_rem(addresses.len()).unwrap_or(0);
            addresses.rotate_left(first);
            Resolved::Inside(Inside { service: reading.service, addresses })
        }
        Found::Nobody => Resolved::Nobody,
        Found::Outside(name) => Resolved::Outside(name),
    }
}

/// The Service or Pod that a name means, through aliases.
pub(crate) fn find(table: &Table, name: &str, namespace: &str) -> Found {
    let mut name = name.trim_end_matches('.').to_ascii_lowercase();
    for _ in 0..ALIASES_MAX {
        let reading = readings(&name, namespace).into_iter().find(|reading| exists(table, reading));
        match reading.as_ref().and_then(|reading| table.named(&reading.service)) {
            Some(Named::Alias(other)) => name = other.trim_end_matches('.').to_ascii_lowercase(),
            Some(Named::Address(..) | Named::Pods(_)) | None => {
                return reading.map_or_else(|| nobody(&name), Found::Service);
            }
        }
    }
    Found::Nobody
}

/// Where a name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Service(Reading),
    Nobody,
    Outside(String),
}

/// Names of the cluster are asked of nobody else: what is not there is nowhere.
fn nobody(name: &str) -> Found {
    let is_ours = name.ends_with(CLUSTER_DOMAIN) || name.ends_with(".svc");
    // Before its Service is there, the API's names belong to the cluster all the same.
    let is_api = matches!(name, "kubernetes" | "kubernetes.default");
    if is_ours || is_api { Found::Nobody } else { Found::Outside(name.to_owned()) }
}

fn exists(table: &Table, reading: &Reading) -> bool {
    match (&reading.host, table.named(&reading.service)) {
        (None, Some(_)) => true,
        (Some(host), Some(Named::Pods(pods))) => pods.hosts.contains_key(host),
        (Some(_), Some(Named::Address(..) | Named::Alias(_))) | (_, None) => false,
    }
}

pub(crate) fn addresses(table: &Table, reading: &Reading) -> Option<Vec<IpAddr>> {
    match (table.named(&reading.service)?, &reading.host) {
        (Named::Address(address, _), None) => Some(vec![*address]),
        (Named::Pods(pods), None) => Some(pods.addresses.clone()),
        (Named::Pods(pods), Some(host)) => pods.hosts.get(host).cloned(),
        (Named::Address(..), Some(_)) | (Named::Alias(_), _) => None,
    }
}

/// How a name may be read, the likeliest first; only its form is looked at. The order is that of the search path in a
/// Kubernetes Pod: below the own namespace, then below `svc.cluster.local`.
pub(crate) fn readings(name: &str, namespace: &str) -> Vec<Reading> {
    let name = name.strip_suffix(DOMAIN).or_else(|| name.strip_suffix(".svc")).unwrap_or(name);
    let labels: Vec<&str> = name.split('.').collect();
    if labels.iter().any(|label| label.is_empty()) {
        return Vec::new();
    }
    let reading = |host: Option<&str>, service: &str, namespace: &str| Reading {
        host: host.map(ToOwned::to_owned),
        service: Key::namespaced(Kind::Service, namespace, service),
    };
    match labels[..] {
        [service] => vec![reading(None, service, namespace)],
        [first, second] => vec![reading(Some(first), second, namespace), reading(None, first, second)],
        [host, service, namespace] => vec![reading(Some(host), service, namespace)],
        _ => Vec::new(),
    }
}
