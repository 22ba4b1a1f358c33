//! What a write adds to quotas, or why it may not.

use std::collections::BTreeMap;

use super::{Amounts, amounts, is_counted, is_used_by, pods, scopes, usage};
use crate::{
    Kind, Object, Timestamp,
    core_v1::{Pod, ResourceQuota},
    meta_v1,
    quantity::Quantity,
};

/// How much of what a quota limits is used, as its status says it.
pub type Used = BTreeMap<String, meta_v1::Quantity>;

/// What a write makes of an object.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The object before; `None` if it is new.
    pub old: Option<&'a Object>,
    /// The object after.
    pub new: &'a Object,
    /// When.
    pub now: Timestamp,
}

impl Change<'_> {
    /// Whether quotas may have something against it. Of objects that are there already, Services may become of another type, and
    /// Pods may get a deadline.
    #[must_use]
    pub fn is_charged(&self) -> bool {
        let kind = self.new.kind();
        let Some(old) = self.old else { return is_counted(kind) };
        let is_terminating =
            |object: &Object| object.get::<Pod>().and_then(|pod| pod.spec.as_ref()).is_some_and(scopes::is_terminating);
        kind == Kind::Service || kind == Kind::Pod && is_terminating(old) != is_terminating(self.new)
    }
}

/// What quotas will say to be used after a change, each by its place among them: only of those that have to do with it.
///
/// # Errors
/// If one of them refuses the change: why, in Kubernetes' words.
pub fn charge(quotas: &[&ResourceQuota], change: &Change<'_>) -> Result<Vec<(usize, Used)>, String> {
    let concerned = concerned(quotas, change)?;
    let wanted = usage(change.new, change.now);
    let negative: Vec<&str> =
        wanted.iter().filter(|(_, amount)| amount.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let before = change.old.map(|old| usage(old, change.now));
    let mut charged = Vec::new();
    for index in concerned {
        let Some(quota) = quotas.get(index) else { continue };
        // What an object used before is only taken off where it was counted.
        let before = before.as_ref().filter(|_| change.old.is_some_and(|old| scopes::hold(quota, old)));
        let added = added(&wanted, before);
        if let Some(used) = used_after(quota, &added)? {
            charged.push((index, used));
        }
    }
    Ok(charged)
}

/// The quotas that have to do with a change, once it says all that they want to know.
fn concerned(quotas: &[&ResourceQuota], change: &Change<'_>) -> Result<Vec<usize>, String> {
    let kind = change.new.kind();
    let mut concerned = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let Some(status) = &quota.status else { continue };
        let limited: Vec<&str> = status.hard.keys().map(String::as_str).filter(|name| is_used_by(kind, name)).collect();
        if limited.is_empty() || !scopes::hold(quota, change.new) {
            continue;
        }
        let name = quota.metadata.as_ref().map_or("", |meta| &meta.name);
        let spec = change.new.get::<Pod>().and_then(|pod| pod.spec.as_ref());
        if let Some(why) = spec.and_then(|spec| pods::unsaid(spec, limited.iter().copied())) {
            return Err(format!("failed quota: {name}: {why}"));
        }
        if limited.iter().any(|name| !status.used.contains_key(*name)) {
            return Err(format!("status unknown for quota: {name}, resources: {}", limited.join(",")));
        }
        concerned.push(index);
    }
    Ok(concerned)
}

/// What is used after a change but was not before. What is not used any more is taken off by whoever counts.
fn added(wanted: &Amounts, before: Option<&Amounts>) -> Amounts {
    let rest = |name: &str, amount: Quantity| {
        let before = before.and_then(|before| before.get(name)).copied().unwrap_or(Quantity::ZERO);
        amount - before
    };
    let added = wanted.iter().map(|(name, amount)| (name.clone(), rest(name, *amount)));
    added.filter(|(_, amount)| *amount > Quantity::ZERO).collect()
}

/// What a quota will say to be used; `None` if nothing of it changes.
fn used_after(quota: &ResourceQuota, added: &Amounts) -> Result<Option<Used>, String> {
    let Some(status) = &quota.status else { return Ok(None) };
    let hard = amounts::read(&status.hard);
    let mut after = amounts::read(&status.used);
    let requested: Amounts = added
        .iter()
        .filter(|(name, _)| hard.contains_key(*name))
        .map(|(name, amount)| (name.clone(), *amount))
        .collect();
    if requested.is_empty() {
        return Ok(None);
    }
    amounts::add(&mut after, &requested);
    let is_exceeded = |name: &&String| after.get(*name) > hard.get(*name);
    let exceeded: Vec<&String> = requested.keys().filter(is_exceeded).collect();
    if !exceeded.is_empty() {
        let name = quota.metadata.as_ref().map_or("", |meta| &meta.name);
        let used = amounts::read(&status.used);
        let shown = |amounts: &Amounts| told(amounts, &exceeded);
        let (requested, used, hard) = (shown(&requested), shown(&used), shown(&hard));
        return Err(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {hard}"));
    }
    let mut used = status.used.clone();
    used.extend(requested.keys().filter_map(|name| Some((name.clone(), (*after.get(name)?).into()))));
    Ok(Some(used))
}

fn told(amounts: &Amounts, names: &[&String]) -> String {
    let shown = names.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
    shown.collect::<Vec<_>>().join(",")
}
