//! Checks of what containers may do beyond what they need.

use super::{
    subject::{Part, Subject},
    violation::{Values, Violation, containers, quoted},
};
use crate::core_v1::Capabilities;

/// Capabilities that container runtimes give anyway.
const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn privileged(subject: &Subject<'_>) -> Option<Violation> {
    let names = subject.secured(|context| context.privileged == Some(true));
    let told = || format!("{} must not set securityContext.privileged=true", containers(&names));
    (!names.is_empty()).then(|| Violation::new("privileged", told()))
}

pub(super) fn escalation(subject: &Subject<'_>) -> Option<Violation> {
    let names =
        subject.those(|part| part.security.is_none_or(|context| context.allow_privilege_escalation.unwrap_or(true)));
    let told = || format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    (!names.is_empty()).then(|| Violation::new("allowPrivilegeEscalation != false", told()))
}

pub(super) fn escalation_off_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_for_windows() { None } else { escalation(subject) }
}

pub(super) fn default_capabilities(subject: &Subject<'_>) -> Option<Violation> {
    let (names, added) = adding(subject, &DEFAULT);
    (!names.is_empty()).then(|| Violation::new("non-default capabilities", must_not_add(&names, &added)))
}

/// Everything is dropped; only ports below 1024 may be asked for.
pub(super) fn no_capabilities(subject: &Subject<'_>) -> Option<Violation> {
    let drops_all = |part: &Part<'_>| {
        capabilities(part).is_some_and(|capabilities| capabilities.drop.iter().any(|name| name == "ALL"))
    };
    let keeping = subject.those(|part| !drops_all(part));
    let (names, added) = adding(subject, &["NET_BIND_SERVICE"]);
    let must_drop = || format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping));
    let found = [(!keeping.is_empty()).then(must_drop), (!names.is_empty()).then(|| must_not_add(&names, &added))];
    let found: Vec<_> = found.into_iter().flatten().collect();
    (!found.is_empty()).then(|| Violation::new("unrestricted capabilities", found.join("; ")))
}

pub(super) fn no_capabilities_off_windows(subject: &Subject<'_>) -> Option<Violation> {
    if subject.is_for_windows() { None } else { no_capabilities(subject) }
}

fn capabilities<'a>(part: &Part<'a>) -> Option<&'a Capabilities> {
    part.security.and_then(|context| context.capabilities.as_ref())
}

/// The containers that ask for other capabilities, and which.
fn adding<'a>(subject: &Subject<'a>, allowed: &[&str]) -> (Vec<&'a str>, Values) {
    let mut added = Values::new();
    let names = subject.those(|part| {
        let all = capabilities(part).map_or(&[][..], |capabilities| &capabilities.add);
        let mut other = all.iter().filter(|name| !allowed.contains(&name.as_str())).peekable();
        let is_bad = other.peek().is_some();
        added.extend(other.cloned());
        is_bad
    });
    (names, added)
}

fn must_not_add(names: &[&str], added: &Values) -> String {
    format!("{} must not include {} in securityContext.capabilities.add", containers(names), quoted(added))
}
