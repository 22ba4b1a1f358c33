//! Amounts: what containers ask for and may use, what nodes have, what is limited.

use std::collections::BTreeMap;

use super::{
    causes::{Causes, Path},
    names,
};
use crate::{
    core_v1::ResourceRequirements,
    meta_v1,
    quantity::Quantity,
    resources::{OFFERED, is_extended, is_huge_pages, is_native, is_standard, is_whole, may_be_overcommitted},
};

type List = BTreeMap<String, meta_v1::Quantity>;

/// Reads a quantity that must not be negative.
pub(crate) fn quantity(causes: &mut Causes, text: &meta_v1::Quantity, at: &Path<'_>) -> Option<Quantity> {
    match Quantity::try_from(text) {
        Ok(quantity) if quantity.is_negative() => {
            causes.invalid(at, &text.string, "must be greater than or equal to 0");
            None
        }
        Ok(quantity) => Some(quantity),
        Err(error) => {
            causes.invalid(at, &text.string, error.why());
            None
        }
    }
}

/// Reads an amount of a resource, which for some must be a whole number.
pub(crate) fn amount(causes: &mut Causes, name: &str, text: &meta_v1::Quantity, at: &Path<'_>) -> Option<Quantity> {
    let quantity = quantity(causes, text, at)?;
    if is_whole(name) && !quantity.is_whole() {
        causes.invalid(at, &text.string, "must be an integer");
        return None;
    }
    Some(quantity)
}

/// Checks the name of any resource.
pub(crate) fn name(causes: &mut Causes, name: &str, at: &Path<'_>) {
    let problems = names::qualified(name);
    if problems.is_empty() && !name.contains('/') && !is_standard(name) {
        causes.invalid(at, name, "must be a standard resource type or fully qualified");
    }
    problems.into_iter().for_each(|why| causes.invalid(at, name, why));
}

/// Checks the name of a resource that containers may ask for in some cluster.
pub(crate) fn name_of_containers(causes: &mut Causes, resource: &str, at: &Path<'_>) {
    name(causes, resource, at);
    if !resource.contains('/') {
        if !OFFERED.contains(&resource) && !is_huge_pages(resource) {
            causes.invalid(at, resource, "must be a standard resource for containers");
        }
    } else if !is_native(resource) && !is_extended(resource) {
        causes.invalid(at, resource, "doesn't follow extended resource name standard");
    }
}

/// Checks a list of any resources.
pub(crate) fn list(causes: &mut Causes, list: &List, at: &Path<'_>) {
    for (name, text) in list {
        quantity(causes, text, &at.key(name));
    }
}

/// Checks what a container asks for and may use.
pub(crate) fn requirements(causes: &mut Causes, resources: &ResourceRequirements, at: &Path<'_>) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    for (name, text) in &resources.limits {
        offered(causes, name, &limits.key(name));
        amount(causes, name, text, &limits.key(name));
    }
    for (name, text) in &resources.requests {
        offered(causes, name, &requests.key(name));
        let Some(request) = amount(causes, name, text, &requests.key(name)) else { continue };
        let Some(limit) = resources.limits.get(name) else {
            if !may_be_overcommitted(name) {
                causes.required(&limits, "Limit must be set for non overcommitable resources");
            }
            continue;
        };
        let Some(most) = Quantity::try_from(limit).ok().filter(|most| !most.is_negative()) else { continue };
        if request != most && !may_be_overcommitted(name) {
            causes.invalid(&requests, &text.string, format_args!("must be equal to {name} limit of {}", limit.string));
        } else if request > most {
            let why = format!("must be less than or equal to {name} limit of {}", limit.string);
            causes.invalid(&requests, &text.string, why);
        }
    }
    if !resources.claims.is_empty() {
        causes.forbidden(&at.field("claims"), "nodes have no devices to claim; remove the claims");
    }
}

/// A container that needs a device must not start without it: the scheduler looks for a node that has what others than Kubernetes
/// have named. Nobody looks for huge pages, so those are refused.
fn offered(causes: &mut Causes, name: &str, at: &Path<'_>) {
    if is_native(name) {
        causes.one_of(at, name, &OFFERED);
    } else if !names::qualified(name).is_empty() {
        causes.syntax(at, name, names::qualified);
    } else if !is_extended(name) {
        causes.invalid(at, name, "doesn't follow extended resource name standard");
    }
}
