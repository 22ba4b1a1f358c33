//! Node selectors: which nodes a Pod's `nodeAffinity` means.

use api::{
    core_v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm},
    kinds::Resource,
};

/// Whether one of the terms means the node. Without terms none is meant.
pub(super) fn matches(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, node))
}

/// Whether all of a term's requirements hold. A term without any means no node.
pub(super) fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return false;
    }
    let label = |key: &str| super::filter::label(node, key);
    let field = |key: &str| (key == "metadata.name").then(|| node.name());
    term.match_expressions.iter().all(|requirement| holds(requirement, label(&requirement.key)))
        && term.match_fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

/// An operator that validation does not know means no node.
fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| requirement.values.iter().any(|wanted| wanted == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let limit = || number(requirement.values.first().map(String::as_str));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(limit()).is_some_and(|(value, limit)| value > limit),
        "Lt" => number(value).zip(limit()).is_some_and(|(value, limit)| value < limit),
        _ => false,
    }
}
