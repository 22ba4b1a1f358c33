//! The names of resources: what containers ask for, what nodes have, and what ResourceQuotas and LimitRanges limit.

use crate::names;

/// Amounts that a container may use, in a name of a quota.
pub const LIMITS_PREFIX: &str = "limits.";
/// Amounts that a container asks for, in a name of a quota.
pub const REQUESTS_PREFIX: &str = "requests.";
/// Pages of one size of memory; the size follows.
const HUGE_PAGES_PREFIX: &str = "hugepages-";
/// What is Kubernetes' own among names with a domain.
const NATIVE_DOMAIN: &str = "kubernetes.io/";

/// What nodes offer to containers.
pub const OFFERED: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

/// What a quota limits of Pods, by the names that every cluster knows.
pub(crate) const OF_PODS: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];

/// What a quota limits of Pods and may limit of some of them only.
const SCOPED_OF_PODS: [&str; 7] =
    ["pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// What a quota limits of claims of storage, of all classes together.
pub(crate) const OF_CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];

/// What quotas count in whole numbers.
const COUNTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether it is Kubernetes' own: names without a domain are.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains(NATIVE_DOMAIN)
}

/// Whether it names pages of one size of memory.
#[must_use]
pub fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES_PREFIX)
}

/// Whether it is one that somebody else than Kubernetes has named, such as a device.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with(REQUESTS_PREFIX)
        && names::qualified(&format!("{REQUESTS_PREFIX}{name}")).is_empty()
}

/// Whether a container may use more of it than it asks for.
#[must_use]
pub fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// Whether a quota limits such pages.
pub(crate) fn is_quota_of_huge_pages(name: &str) -> bool {
    is_huge_pages(name.strip_prefix(REQUESTS_PREFIX).unwrap_or(name))
}

/// Whether a quota limits what somebody else than Kubernetes has named.
pub(crate) fn is_quota_of_extended(name: &str) -> bool {
    !is_native(name) && name.starts_with(REQUESTS_PREFIX)
}

/// Whether every cluster knows it as the name of something that a quota limits.
#[must_use]
pub fn is_quota(name: &str) -> bool {
    OF_PODS.contains(&name) || OF_CLAIMS.contains(&name) || COUNTS.contains(&name) || is_quota_of_huge_pages(name)
}

/// Whether every cluster knows it, in whatever role.
#[must_use]
pub fn is_standard(name: &str) -> bool {
    is_quota(name) || name == "storage"
}

/// Whether only whole numbers of it make sense.
#[must_use]
pub fn is_whole(name: &str) -> bool {
    COUNTS.contains(&name) || is_extended(name)
}

/// Which objects a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Terminating,
    NotTerminating,
    BestEffort,
    NotBestEffort,
    PriorityClass,
    CrossNamespacePodAffinity,
    VolumeAttributesClass,
}

impl Scope {
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "Terminating" => Self::Terminating,
            "NotTerminating" => Self::NotTerminating,
            "BestEffort" => Self::BestEffort,
            "NotBestEffort" => Self::NotBestEffort,
            "PriorityClass" => Self::PriorityClass,
            "CrossNamespacePodAffinity" => Self::CrossNamespacePodAffinity,
            "VolumeAttributesClass" => Self::VolumeAttributesClass,
            _ => return None,
        })
    }

    /// Whether a resource can be limited for these objects alone.
    pub(crate) fn fits(self, name: &str) -> bool {
        match self {
            Self::Terminating
            | Self::NotTerminating
            | Self::NotBestEffort
            | Self::PriorityClass
            | Self::CrossNamespacePodAffinity => SCOPED_OF_PODS.contains(&name),
            Self::BestEffort => name == "pods",
            Self::VolumeAttributesClass => OF_CLAIMS.contains(&name),
        }
    }

    /// Whether it has values, as far as a selector names some.
    pub(crate) fn has_values(self) -> bool {
        matches!(self, Self::PriorityClass | Self::VolumeAttributesClass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert!(is_native("cpu") && is_native("kubernetes.io/x") && is_native("a.kubernetes.io/x"));
        assert!(is_extended("example.com/dongle") && !is_extended("dongle"));
        assert!(!is_extended("requests.example.com/dongle") && !is_extended("kubernetes.io/dongle"));
        assert!(is_quota_of_extended("requests.example.com/dongle") && !is_quota_of_extended("example.com/dongle"));
        assert!(is_quota("requests.hugepages-2Mi") && is_quota("hugepages-1Gi") && is_quota("services.nodeports"));
        assert!(!is_quota("storage") && is_standard("storage") && !is_quota("limits.storage"));
        assert!(may_be_overcommitted("memory"));
        assert!(!may_be_overcommitted("hugepages-2Mi") && !may_be_overcommitted("example.com/dongle"));
        assert!(is_whole("pods") && is_whole("example.com/dongle") && !is_whole("cpu"));
    }
}
