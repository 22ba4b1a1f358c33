//! Amounts: what containers ask for and may use, what nodes have.

use std::collections::BTreeMap;

use super::causes::{Causes, Path};
use crate::{core_v1::ResourceRequirements, meta_v1, quantity::Quantity};

type List = BTreeMap<String, meta_v1::Quantity>;

/// What nodes offer to containers.
const OFFERED: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];

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

/// Checks a list of any resources.
pub(crate) fn list(causes: &mut Causes, list: &List, at: &Path<'_>) {
    for (name, text) in list {
        quantity(causes, text, &at.key(name));
    }
}

/// Checks what a container asks for and may use.
pub(crate) fn requirements(causes: &mut Causes, resources: &ResourceRequirements, at: &Path<'_>) {
    let (limits, requests) = (at.field("limits"), at.field("requests"));
    offered(causes, &resources.limits, &limits);
    offered(causes, &resources.requests, &requests);
    list(causes, &resources.limits, &limits);
    for (name, text) in &resources.requests {
        let Some(request) = quantity(causes, text, &requests.key(name)) else { continue };
        let Some(limit) = resources.limits.get(name) else { continue };
        if Quantity::try_from(limit).is_ok_and(|limit| !limit.is_negative() && request > limit) {
            let why = format!("must be less than or equal to {name} limit of {}", limit.string);
            causes.invalid(&requests, &text.string, why);
        }
    }
    if !resources.claims.is_empty() {
        causes.forbidden(&at.field("claims"), "nodes have no devices to claim; remove the claims");
    }
}

/// A container that needs a device or huge pages must not start without them, so other names are refused.
fn offered(causes: &mut Causes, list: &List, at: &Path<'_>) {
    for name in list.keys() {
        causes.one_of(&at.key(name), name, &OFFERED);
    }
}
