//! Checks of who containers run as.

use super::{
    subject::Subject,
    violation::{Violation, containers, setters},
};

const ROOT: &str = "runAsNonRoot != true";

pub(super) fn non_root(subject: &Subject<'_>) -> Option<Violation> {
    let pod = subject.security().and_then(|context| context.run_as_non_root);
    let named = subject.secured(|context| context.run_as_non_root == Some(false));
    if let Some(who) = setters(pod == Some(false), &named) {
        return Some(Violation::new(ROOT, format_args!("{who} must not set securityContext.runAsNonRoot=false")));
    }
    let is_silent = |context: Option<bool>| context.is_none() && pod != Some(true);
    let silent = subject.those(|part| is_silent(part.security.and_then(|context| context.run_as_non_root)));
    let told = || format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    (!silent.is_empty()).then(|| Violation::new(ROOT, told()))
}

/// Who is root among users of its own is nobody on the node.
pub(super) fn non_root_of_host_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { non_root(subject) }
}

pub(super) fn not_zero(subject: &Subject<'_>) -> Option<Violation> {
    let pod = subject.security().is_some_and(|context| context.run_as_user == Some(0));
    let named = subject.secured(|context| context.run_as_user == Some(0));
    let who = setters(pod, &named)?;
    Some(Violation::new("runAsUser=0", format_args!("{who} must not set runAsUser=0")))
}

pub(super) fn not_zero_of_host_users(subject: &Subject<'_>) -> Option<Violation> {
    if subject.has_own_users() { None } else { not_zero(subject) }
}
