//! What a container may read about its own amounts, in variables and in files.

use std::collections::BTreeMap;

use crate::{
    core_v1::{Container, ResourceFieldSelector, ResourceRequirements},
    meta_v1,
    quantity::Quantity,
};

type List = BTreeMap<String, meta_v1::Quantity>;

/// The units in which CPU time can be shown.
pub(crate) const CPU_DIVISORS: [&str; 2] = ["1m", "1"];

/// The units in which everything else can be shown.
pub(crate) const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// An amount such as `limits.memory`, in units of the divisor, rounded up. A limit that is not set is what the node has, a
/// request that is not set is nothing.
///
/// # Errors
/// If there is no such amount; the text says which there are.
pub fn amount(container: &Container, field: &ResourceFieldSelector, allocatable: &List) -> Result<String, String> {
    let none = ResourceRequirements::default();
    let resources = container.resources.as_ref().unwrap_or(&none);
    let found = match field.resource.split_once('.') {
        Some(("limits", name)) if is_known(name) => read(&resources.limits, name).or_else(|| read(allocatable, name)),
        Some(("requests", name)) if is_known(name) => read(&resources.requests, name),
        _ => {
            let what = &field.resource;
            return Err(format!(
                "resourceFieldRef.resource {what:?} is not known; one of limits.cpu, limits.memory, limits.ephemeral-storage, requests.cpu, requests.memory, requests.ephemeral-storage"
            ));
        }
    };
    let divisor = field.divisor.as_ref().and_then(|divisor| Quantity::try_from(divisor).ok());
    let unit = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or(Quantity::from_whole(1));
    Ok(found.unwrap_or_default().in_units_of(unit).to_string())
}

fn is_known(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
}

fn read(list: &List, name: &str) -> Option<Quantity> {
    list.get(name).and_then(|quantity| Quantity::try_from(quantity).ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn quantity(text: &str) -> meta_v1::Quantity {
        meta_v1::Quantity { string: text.to_owned() }
    }

    fn shown(resource: &str, divisor: &str) -> Result<String, String> {
        let list = |amounts: &[(&str, &str)]| -> List {
            amounts.iter().map(|(name, amount)| ((*name).to_owned(), quantity(amount))).collect()
        };
        let resources = ResourceRequirements {
            limits: list(&[("memory", "64Mi"), ("cpu", "1500m")]),
            requests: list(&[("cpu", "250m")]),
            ..Default::default()
        };
        let container = Container { resources: Some(resources), ..Default::default() };
        let divisor = (!divisor.is_empty()).then(|| quantity(divisor));
        let field = ResourceFieldSelector { resource: resource.to_owned(), divisor, ..Default::default() };
        amount(&container, &field, &list(&[("cpu", "8"), ("memory", "1Gi"), ("ephemeral-storage", "10G")]))
    }

    #[test]
    fn amounts_are_shown_in_units_of_the_divisor_rounded_up() {
        for (resource, divisor, wanted) in [
            ("limits.memory", "1Mi", "64"),
            ("limits.memory", "1Gi", "1"),
            ("limits.memory", "1k", "67109"),
            ("limits.memory", "", "67108864"),
            ("limits.memory", "0", "67108864"),
            ("limits.cpu", "", "2"),
            ("limits.cpu", "1", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.cpu", "1m", "250"),
            ("requests.cpu", "", "1"),
            ("requests.memory", "1Mi", "0"),
            ("limits.ephemeral-storage", "1G", "10"),
        ] {
            assert_eq!(shown(resource, divisor).unwrap(), wanted, "{resource} in {divisor:?}");
        }
        assert!(shown("limits.pods", "").unwrap_err().contains("one of limits.cpu"));
    }

    #[test]
    fn a_limit_that_is_not_set_is_what_the_node_has() {
        let field = |resource: &str| ResourceFieldSelector { resource: resource.to_owned(), ..Default::default() };
        let node = List::from([("cpu".to_owned(), quantity("8")), ("memory".to_owned(), quantity("1Gi"))]);
        let shown = |resource: &str| amount(&Container::default(), &field(resource), &node).unwrap();
        assert_eq!(
            (shown("limits.cpu"), shown("limits.memory"), shown("requests.cpu")),
            ("8".into(), "1073741824".into(), "0".into())
        );
    }
}
