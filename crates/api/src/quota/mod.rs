//! What ResourceQuotas count, how much of it is used, and what a write adds: Kubernetes' rules.
//!
//! Pods are counted by what they ask for and may use, as long as they have not ended; Services by what they open; everything else
//! by the number of objects. Nothing here knows where objects come from: the masters charge what they decide, and a controller
//! counts what it sees.

mod charge;
mod pods;
mod scopes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    Kind, Object, Timestamp,
    core_v1::{Pod, ResourceQuota, ResourceQuotaStatus, Service},
    meta_v1,
    pod::amounts,
    quantity::Quantity,
    resources::{OF_CLAIMS, OF_PODS, is_quota_of_extended, is_quota_of_huge_pages},
};

pub use amounts::Amounts;
pub use charge::{Change, Used, charge};
pub use pods::is_charged;

/// How the names begin by which objects of any kind are counted.
const COUNT_PREFIX: &str = "count/";

/// What is limited of Services.
const OF_SERVICES: [&str; 3] = ["services", "services.nodeports", "services.loadbalancers"];

/// How names end by which claims of one class of storage are limited.
const CLASS_INFIX: &str = ".storageclass.storage.k8s.io/";

/// What is in one namespace.
pub trait Contents {
    /// The kind that a user has defined under a name, such as `widgets.example.com`, if it is served.
    fn defined(&self, name: &str) -> Option<Kind>;

    /// How many objects of a kind there are.
    fn count(&self, kind: Kind) -> usize;

    /// Calls `look` with each object of a kind.
    fn each(&self, kind: Kind, look: &mut dyn FnMut(&Object));
}

/// Whether quotas count objects of a kind: not those of no namespace, and no Events, of which nobody asks how many there are.
#[must_use]
pub fn is_counted(kind: Kind) -> bool {
    kind.info().namespaced && kind != Kind::Event
}

/// The name under which objects of a kind are counted, one as another.
fn count_name(kind: Kind) -> String {
    let info = kind.info();
    if info.group.is_empty() {
        return format!("{COUNT_PREFIX}{}", info.plural);
    }
    format!("{COUNT_PREFIX}{}.{}", info.plural, info.group)
}

/// The name under which objects of a kind were counted before any kind was.
fn old_count_name(kind: Kind) -> Option<&'static str> {
    let is_old = matches!(kind, Kind::ConfigMap | Kind::ResourceQuota | Kind::ReplicationController | Kind::Secret);
    is_old.then(|| kind.info().plural)
}

/// Whether objects of a kind use what a quota calls so.
#[must_use]
pub fn is_used_by(kind: Kind, name: &str) -> bool {
    if !is_counted(kind) {
        return false;
    }
    let is_own = if kind == Kind::Pod {
        OF_PODS.contains(&name) || is_quota_of_huge_pages(name) || is_quota_of_extended(name)
    } else if kind == Kind::Service {
        OF_SERVICES.contains(&name)
    } else {
        old_count_name(kind) == Some(name)
    };
    is_own || name.strip_prefix(COUNT_PREFIX).is_some() && name == count_name(kind)
}

/// The kind whose objects use what a quota calls so, if it is served here.
#[must_use]
pub fn user_of(contents: &impl Contents, name: &str) -> Option<Kind> {
    let built_in = Kind::ALL.iter().copied().find(|kind| is_used_by(*kind, name));
    let defined = || contents.defined(name.strip_prefix(COUNT_PREFIX)?);
    built_in.or_else(defined).filter(|kind| is_counted(*kind))
}

/// Whether claims of storage use what a quota calls so.
fn is_of_claims(name: &str) -> bool {
    let of_class = name.rsplit_once(CLASS_INFIX).map(|(_, of_class)| of_class);
    OF_CLAIMS.contains(&name)
        || of_class.is_some_and(|name| OF_CLAIMS.contains(&name))
        || name == "count/persistentvolumeclaims"
}

/// What one object uses, whatever a quota counts of it.
#[must_use]
pub fn usage(object: &Object, now: Timestamp) -> Amounts {
    let one = Quantity::from_whole(1);
    let kind = object.kind();
    let mut used = Amounts::from([(count_name(kind), one)]);
    used.extend(old_count_name(kind).map(|name| (name.to_owned(), one)));
    if let Some(pod) = object.get::<Pod>() {
        used.extend(pods::usage(pod, now));
    }
    if let Some(service) = object.get::<Service>() {
        used.extend(of_service(service));
    }
    used
}

/// What a Service uses: the ports of nodes that it would be given count as well as those that it names.
fn of_service(service: &Service) -> [(String, Quantity); 3] {
    let spec = service.spec.clone().unwrap_or_default();
    let is_balanced = spec.r#type == "LoadBalancer";
    let is_given_ports =
        spec.r#type == "NodePort" || is_balanced && spec.allocate_load_balancer_node_ports != Some(false);
    let ports = spec.ports.iter().filter(|port| is_given_ports || is_balanced && port.node_port != 0).count();
    let whole = |count: usize| Quantity::from_whole(i64::try_from(count).unwrap_or(i64::MAX));
    let [services, ports_name, balancers] = OF_SERVICES.map(str::to_owned);
    [(services, whole(1)), (ports_name, whole(ports)), (balancers, whole(is_balanced.into()))]
}

/// How much of what a quota limits is used. What nobody here can count is left out.
#[must_use]
pub fn count(quota: &ResourceQuota, contents: &impl Contents, now: Timestamp) -> Amounts {
    let spec = quota.spec.clone().unwrap_or_default();
    let mut used = Amounts::new();
    let mut users: BTreeMap<Kind, Vec<&str>> = BTreeMap::new();
    for name in spec.hard.keys() {
        let user = user_of(contents, name);
        if user.is_some() || is_of_claims(name) {
            used.insert(name.clone(), Quantity::ZERO);
        }
        user.into_iter().for_each(|kind| users.entry(kind).or_default().push(name));
    }
    for (kind, names) in users {
        if matches!(kind, Kind::Pod | Kind::Service) {
            contents.each(kind, &mut |object| {
                if scopes::hold(quota, object) {
                    let mut own = usage(object, now);
                    own.retain(|name, _| names.contains(&name.as_str()));
                    amounts::add(&mut used, &own);
                }
            });
        } else if !scopes::are_any(quota) {
            let count = Quantity::from_whole(i64::try_from(contents.count(kind)).unwrap_or(i64::MAX));
            used.extend(names.into_iter().map(|name| (name.to_owned(), count)));
        }
    }
    used
}

/// The status of a quota after counting: what could not be counted stays as it was known.
#[must_use]
pub fn status(quota: &ResourceQuota, contents: &impl Contents, now: Timestamp) -> ResourceQuotaStatus {
    let hard = quota.spec.as_ref().map(|spec| spec.hard.clone()).unwrap_or_default();
    let before = quota.status.as_ref().map(|status| status.used.clone()).unwrap_or_default();
    let mut used = before.clone();
    used.retain(|name, _| hard.contains_key(name));
    for (name, amount) in count(quota, contents, now) {
        // An amount that is the same stays as it was written.
        let is_known = before.get(&name).is_some_and(|text| Quantity::try_from(text) == Ok(amount));
        if !is_known {
            used.insert(name, amount.into());
        }
    }
    ResourceQuotaStatus { hard, used }
}

/// Whether a quota limits something that nobody has counted yet: until then that limits nothing, or everything.
#[must_use]
pub fn is_uncounted(quota: &ResourceQuota, contents: &impl Contents) -> bool {
    let none = BTreeMap::new();
    let spec = quota.spec.as_ref().map_or(&none, |spec| &spec.hard);
    let (hard, used) = quota.status.as_ref().map_or((&none, &none), |status| (&status.hard, &status.used));
    let is_countable = |name: &str| user_of(contents, name).is_some() || is_of_claims(name);
    !are_same(spec, hard) || hard.keys().any(|name| !used.contains_key(name) && is_countable(name))
}

/// Whether two lists say the same, however they are written.
fn are_same(one: &BTreeMap<String, meta_v1::Quantity>, other: &BTreeMap<String, meta_v1::Quantity>) -> bool {
    one.len() == other.len() && amounts::read(one) == amounts::read(other)
}
