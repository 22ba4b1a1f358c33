//! The table of checks: to which level each belongs, and since which minor version which revision of it counts.

use super::{
    confinement, host, privileges,
    standard::{Level, Standard, Version},
    subject::Subject,
    users,
    violation::{Violation, Violations},
};

/// Looks at one thing in a Pod.
pub(super) type Check = fn(&Subject<'_>) -> Option<Violation>;

/// A check with its revisions.
pub(super) struct Checked {
    pub(super) id: &'static str,
    /// Since which minor version each counts, the oldest first.
    pub(super) revisions: &'static [(u64, Check)],
    /// The check of the level below that this one takes the place of.
    replaces: &'static str,
}

/// Every level above `privileged` has these, in the order in which they are told.
const BASELINE: &[Checked] = &[
    checked("appArmorProfile", &[(0, confinement::app_armor)]),
    checked("capabilities_baseline", &[(0, privileges::default_capabilities)]),
    checked("hostNamespaces", &[(0, host::namespaces)]),
    checked("hostPathVolumes", &[(0, host::paths)]),
    checked("hostPorts", &[(0, host::ports)]),
    checked("hostProbesAndHostLifecycle", &[(34, host::asked)]),
    checked("privileged", &[(0, privileges::privileged)]),
    checked("procMount", &[(0, confinement::proc_mount), (35, confinement::proc_mount_of_host_users)]),
    checked("seLinuxOptions", &[(0, confinement::se_linux_1_0), (31, confinement::se_linux_1_31)]),
    checked("seccompProfile_baseline", &[(0, confinement::seccomp_annotations), (19, confinement::seccomp)]),
    checked(
        "sysctls",
        &[
            (0, confinement::sysctls_1_0),
            (27, confinement::sysctls_1_27),
            (29, confinement::sysctls_1_29),
            (32, confinement::sysctls_1_32),
            (37, confinement::sysctls_1_37),
        ],
    ),
    checked("windowsHostProcess", &[(0, host::process)]),
];

/// Only `restricted` has these.
const RESTRICTED: &[Checked] = &[
    checked("allowPrivilegeEscalation", &[(8, privileges::escalation), (25, privileges::escalation_off_windows)]),
    Checked {
        id: "capabilities_restricted",
        revisions: &[(22, privileges::no_capabilities), (25, privileges::no_capabilities_off_windows)],
        replaces: "capabilities_baseline",
    },
    Checked { id: "procMount_restricted", revisions: &[(35, confinement::proc_mount)], replaces: "procMount" },
    Checked { id: "restrictedVolumes", revisions: &[(0, host::volumes)], replaces: "hostPathVolumes" },
    checked("runAsNonRoot", &[(0, users::non_root), (35, users::non_root_of_host_users)]),
    checked("runAsUser", &[(23, users::not_zero), (35, users::not_zero_of_host_users)]),
    Checked {
        id: "seccompProfile_restricted",
        revisions: &[(19, confinement::seccomp_set), (25, confinement::seccomp_set_off_windows)],
        replaces: "seccompProfile_baseline",
    },
];

const fn checked(id: &'static str, revisions: &'static [(u64, Check)]) -> Checked {
    Checked { id, revisions, replaces: "" }
}

impl Checked {
    /// The revision that counts in a version, if there is one yet.
    pub(super) fn at(&self, version: Version) -> Option<Check> {
        self.revisions.iter().rev().find(|(since, _)| version.has(*since)).map(|(_, check)| *check)
    }
}

/// The checks of a standard, in order.
pub(super) fn of(standard: Standard) -> impl Iterator<Item = &'static Checked> {
    let more = if standard.level == Level::Restricted { RESTRICTED } else { &[] };
    let least = if standard.level == Level::Privileged { &[] } else { BASELINE };
    let version = standard.version;
    let is_replaced = move |id: &str| more.iter().any(|check| check.replaces == id && check.at(version).is_some());
    least.iter().filter(move |check| !is_replaced(check.id)).chain(more)
}

/// What keeps a Pod from meeting a standard.
#[must_use]
pub fn violations(subject: &Subject<'_>, standard: Standard) -> Violations {
    let checks = of(standard).filter_map(|check| check.at(standard.version));
    Violations(checks.filter_map(|check| check(subject)).collect())
}
