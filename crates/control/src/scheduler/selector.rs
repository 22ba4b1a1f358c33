//! Node selectors: which nodes a Pod's `nodeSelector` and `nodeAffinity` mean.

use api::{
    core_v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec},
    kinds::Resource,
    well_known::HOSTNAME_LABEL,
};

/// Whether the Pod's `nodeSelector` and required `nodeAffinity` mean the node.
pub(super) fn is_selected(spec: &PodSpec, node: &Node) -> bool {
    let labelled = spec.node_selector.iter().all(|(key, value)| label(node, key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    labelled && required.is_none_or(|required| matches(required, node))
}

/// A label of the node. Its own name is one, also if nobody has written it down.
pub(super) fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    let meta = node.metadata.as_ref()?;
    let own = || (key == HOSTNAME_LABEL).then_some(meta.name.as_str());
    meta.labels.get(key).map(String::as_str).or_else(own)
}

/// Whether one of the terms means the node. Without terms none is meant.
fn matches(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, node))
}

/// Whether all of a term's requirements hold. A term without any means no node.
pub(super) fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return false;
    }
    let label = |key: &str| label(node, key);
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
