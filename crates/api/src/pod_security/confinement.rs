//! Checks of what confines containers: AppArmor, SELinux, seccomp, `/proc` and kernel parameters.

use super::{
    subject::Subject,
    violation::{Values, Violation, containers, counted, quoted, setters},
};
use crate::core_v1::{SeLinuxOptions, SeccompProfile};

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATIONS: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP: &str = "seccompProfile";

/// Types of SELinux, and since 1.31 one more.
const SE_LINUX: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// Kernel parameters that concern nobody else, in the order in which they became allowed.
const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

/// A profile that the container's runtime or the node brings.
fn is_confining(profile: &str) -> bool {
    matches!(profile, "RuntimeDefault" | "Localhost")
}

pub(super) fn app_armor(subject: &Subject<'_>) -> Option<Violation> {
    let mut values = Values::new();
    let mut is_bad = |profile: &str| {
        let bad = !is_confining(profile);
        values.extend(bad.then(|| profile.to_owned()));
        bad
    };
    let pod = subject.security().and_then(|context| context.app_armor_profile.as_ref());
    let pod = pod.is_some_and(|profile| is_bad(&profile.r#type));
    let names =
        subject.secured(|context| context.app_armor_profile.as_ref().is_some_and(|profile| is_bad(&profile.r#type)));
    let is_allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations = subject.annotations.iter();
    let annotations = annotations.filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !is_allowed(value));
    let annotations: Vec<_> = annotations.map(|(key, value)| format!("{key}={value:?}")).collect();
    let noted = (!annotations.is_empty()).then(|| counted("annotation", "annotations", annotations.len()).to_owned());
    let who: Vec<_> = setters(pod, &names).into_iter().chain(noted).collect();
    let reason = counted("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len() + annotations.len());
    let values = quoted(values.iter().chain(&annotations));
    let told = || format!("{} must not set AppArmor profile type to {values}", who.join(" and "));
    (!who.is_empty()).then(|| Violation::new(reason, told()))
}

pub(super) fn proc_mount(subject: &Subject<'_>) -> Option<Violation> {
    let mut values = Values::new();
    let names = subject.secured(|context| {
        let other = context.proc_mount.as_ref().filter(|mount| *mount != "Default");
        values.extend(other.cloned());
        other.is_some()
    });
    let told = || format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(&values));
    (!names.is_empty()).then(|| Violation::new("procMount", told()))
}

pub(super) fn proc_mount_of_host_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { proc_mount(subject) }
}

pub(super) fn se_linux_1_0(subject: &Subject<'_>) -> Option<Violation> {
    se_linux(subject, &SE_LINUX[..4])
}

pub(super) fn se_linux_1_31(subject: &Subject<'_>) -> Option<Violation> {
    se_linux(subject, &SE_LINUX)
}

fn se_linux(subject: &Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut user, mut role) = (Values::new(), false, false);
    let mut is_bad = |options: &SeLinuxOptions| {
        let other = !allowed.contains(&options.r#type.as_str());
        types.extend(other.then(|| options.r#type.clone()));
        user |= !options.user.is_empty();
        role |= !options.role.is_empty();
        other || !options.user.is_empty() || !options.role.is_empty()
    };
    let pod = subject.security().and_then(|context| context.se_linux_options.as_ref()).is_some_and(&mut is_bad);
    let names = subject.secured(|context| context.se_linux_options.as_ref().is_some_and(&mut is_bad));
    let who = setters(pod, &names)?;
    let what = [
        (!types.is_empty()).then(|| format!("{} {}", counted("type", "types", types.len()), quoted(&types))),
        user.then(|| "user may not be set".to_owned()),
        role.then(|| "role may not be set".to_owned()),
    ];
    let what: Vec<_> = what.into_iter().flatten().collect();
    let told = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    Some(Violation::new("seLinuxOptions", told))
}

/// Before there was a field.
pub(super) fn seccomp_annotations(subject: &Subject<'_>) -> Option<Violation> {
    let is_allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let of_parts = subject.parts.iter().map(|part| format!("{SECCOMP_ANNOTATIONS}{}", part.name));
    let keys = std::iter::once(SECCOMP_ANNOTATION.to_owned()).chain(of_parts);
    let found = keys.filter_map(|key| subject.annotations.get(&key).map(|value| (key, value)));
    let bad: Values =
        found.filter(|(_, value)| !is_allowed(value)).map(|(key, value)| format!("{key}={value:?}")).collect();
    let all: Vec<_> = bad.iter().map(String::as_str).collect();
    let told = || format!("forbidden {} {}", counted("annotation", "annotations", bad.len()), all.join(", "));
    (!bad.is_empty()).then(|| Violation::new(SECCOMP, told()))
}

pub(super) fn seccomp(subject: &Subject<'_>) -> Option<Violation> {
    let mut values = Values::new();
    let mut is_bad = |profile: &SeccompProfile| {
        let bad = !is_confining(&profile.r#type);
        values.extend(bad.then(|| profile.r#type.clone()));
        bad
    };
    let pod = subject.security().and_then(|context| context.seccomp_profile.as_ref()).is_some_and(&mut is_bad);
    let names = subject.secured(|context| context.seccomp_profile.as_ref().is_some_and(&mut is_bad));
    let who = setters(pod, &names)?;
    let told = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&values));
    Some(Violation::new(SECCOMP, told))
}

/// Nobody may be silent, unless the Pod speaks for all.
pub(super) fn seccomp_set(subject: &Subject<'_>) -> Option<Violation> {
    if let Some(bad) = seccomp(subject) {
        return Some(bad);
    }
    let pod = subject.security().is_some_and(|context| context.seccomp_profile.is_some());
    let is_silent = |named: bool| !named && !pod;
    let silent =
        subject.those(|part| is_silent(part.security.is_some_and(|context| context.seccomp_profile.is_some())));
    let told = || {
        let silent = containers(&silent);
        format!("pod or {silent} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
    };
    (!silent.is_empty()).then(|| Violation::new(SECCOMP, told()))
}

pub(super) fn seccomp_set_off_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_for_windows() { None } else { seccomp_set(subject) }
}

pub(super) fn sysctls_1_0(subject: &Subject<'_>) -> Option<Violation> {
    sysctls(subject, &SYSCTLS[..5])
}

pub(super) fn sysctls_1_27(subject: &Subject<'_>) -> Option<Violation> {
    sysctls(subject, &SYSCTLS[..6])
}

pub(super) fn sysctls_1_29(subject: &Subject<'_>) -> Option<Violation> {
    sysctls(subject, &SYSCTLS[..10])
}

pub(super) fn sysctls_1_32(subject: &Subject<'_>) -> Option<Violation> {
    sysctls(subject, &SYSCTLS[..12])
}

pub(super) fn sysctls_1_37(subject: &Subject<'_>) -> Option<Violation> {
    sysctls(subject, &SYSCTLS)
}

fn sysctls(subject: &Subject<'_>, allowed: &[&str]) -> Option<Violation> {
    let all = subject.security().map_or(&[][..], |context| &context.sysctls);
    let other = all.iter().map(|sysctl| sysctl.name.as_str()).filter(|name| !allowed.contains(name));
    let other: Vec<_> = other.collect();
    (!other.is_empty()).then(|| Violation::new("forbidden sysctls", other.join(", ")))
}
