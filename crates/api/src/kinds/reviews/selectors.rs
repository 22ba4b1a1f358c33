//! Selectors in questions about rights: which of many objects somebody wants to list, watch or delete.

use crate::{
    authorization_v1::{FieldSelectorAttributes, LabelSelectorAttributes, ResourceAttributes},
    error::Cause,
    limits::TERMS_MAX,
    meta_v1::FieldSelectorRequirement,
    selector::{Condition, Labels},
    validate::{Causes, Path, meta},
};

/// What is wrong with the selectors of a question. Operators that nobody knows are not: whoever asks may be newer.
#[must_use]
pub fn check(asked: &ResourceAttributes) -> Vec<Cause> {
    let (mut causes, at) = (Causes::default(), Path::Root.field("spec"));
    let at = at.field("resourceAttributes");
    if let Some(FieldSelectorAttributes { raw_selector, requirements }) = &asked.field_selector {
        let at = at.field("fieldSelector");
        form(&mut causes, raw_selector, requirements.len(), &at);
        let at = at.field("requirements");
        let few = causes.at_most(&at, requirements.len(), TERMS_MAX);
        for (index, FieldSelectorRequirement { key, operator, values }) in
            requirements.iter().enumerate().filter(|_| few)
        {
            let at = at.index(index);
            if key.is_empty() {
                causes.required(&at.field("key"), "must be specified");
            }
            meta::operands(&mut causes, operator, values, &at.field("values"));
        }
    }
    if let Some(LabelSelectorAttributes { raw_selector, requirements }) = &asked.label_selector {
        let at = at.field("labelSelector");
        form(&mut causes, raw_selector, requirements.len(), &at);
        let at = at.field("requirements");
        let few = causes.at_most(&at, requirements.len(), TERMS_MAX);
        let each = requirements.iter().enumerate().filter(|_| few);
        each.for_each(|(index, requirement)| meta::requirement(&mut causes, requirement, &at.index(index)));
    }
    causes.told()
}

/// A selector is given in one of its two forms.
fn form(causes: &mut Causes, raw: &str, requirements: usize, at: &Path<'_>) {
    match (raw.is_empty(), requirements) {
        (true, 0) => {
            let why = format!("when {at} is specified, requirements or rawSelector is required");
            causes.required(&at.field("requirements"), &why);
        }
        (true, _) | (false, 0) => {}
        (false, _) => {
            causes.invalid(&at.field("rawSelector"), raw, "may not specified at the same time as requirements");
        }
    }
}

/// What the selectors of a question say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// The conditions on fields that are understood. Without the others more is asked for, never less.
    pub fields: Vec<Condition>,
    /// What was left out, in the words of `status.evaluationError`; empty if nothing was.
    pub evaluation_error: String,
}

/// Reads the selectors of a question in which [`check`] finds nothing wrong.
#[must_use]
pub fn read(asked: &ResourceAttributes) -> Selected {
    let (fields, fields_told) = asked.field_selector.as_ref().map(fields).unwrap_or_default();
    let labels_told = asked.label_selector.as_ref().and_then(labels);
    let told = [("fieldSelector", fields_told), ("labelSelector", labels_told)];
    let told = told.into_iter().filter_map(|(field, told)| {
        told.map(|what| format!("spec.resourceAttributes.{field} {} due to parse error", what.word()))
    });
    Selected { fields, evaluation_error: told.collect::<Vec<_>>().join("; ") }
}

/// How much of a selector was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    Everything,
    Something,
}

impl LeftOut {
    /// Of a selector of which so many conditions were understood, and so many were to be.
    fn of(understood: usize, wanted: usize) -> Option<Self> {
        let left = if understood == 0 { Self::Everything } else { Self::Something };
        (understood < wanted).then_some(left)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Everything => "ignored",
            Self::Something => "partially ignored",
        }
    }
}

fn fields(selector: &FieldSelectorAttributes) -> (Vec<Condition>, Option<LeftOut>) {
    let FieldSelectorAttributes { raw_selector, requirements } = selector;
    if requirements.is_empty() {
        let read = Condition::all(raw_selector);
        return read.map_or((Vec::new(), Some(LeftOut::Everything)), |conditions| (conditions, None));
    }
    let understood: Vec<Condition> = requirements.iter().filter_map(condition).collect();
    let left_out = LeftOut::of(understood.len(), requirements.len());
    (understood, left_out)
}

/// A requirement that a selector in a request could have as well: one value, which a field has or has not.
fn condition(FieldSelectorRequirement { key, operator, values }: &FieldSelectorRequirement) -> Option<Condition> {
    let equal = match operator.as_str() {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    let [value] = values.as_slice() else { return None };
    Some(Condition { path: key.clone(), equal, value: value.clone() })
}

fn labels(selector: &LabelSelectorAttributes) -> Option<LeftOut> {
    let LabelSelectorAttributes { raw_selector, requirements } = selector;
    if requirements.is_empty() {
        return Labels::parse(raw_selector).err().map(|_| LeftOut::Everything);
    }
    let understood = requirements.iter().filter(|one| meta::OPERATORS.contains(&one.operator.as_str())).count();
    LeftOut::of(understood, requirements.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta_v1::LabelSelectorRequirement;

    fn by_field(raw: &str, requirements: &[(&str, &str, &[&str])]) -> ResourceAttributes {
        let requirement = |(key, operator, values): &(&str, &str, &[&str])| FieldSelectorRequirement {
            key: (*key).to_owned(),
            operator: (*operator).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let requirements = requirements.iter().map(requirement).collect();
        let selector = FieldSelectorAttributes { raw_selector: raw.to_owned(), requirements };
        ResourceAttributes { field_selector: Some(selector), ..ResourceAttributes::default() }
    }

    fn by_label(raw: &str, requirements: &[(&str, &str, &[&str])]) -> ResourceAttributes {
        let same = by_field(raw, requirements).field_selector.unwrap_or_default();
        let requirement =
            |FieldSelectorRequirement { key, operator, values }| LabelSelectorRequirement { key, operator, values };
        let requirements = same.requirements.into_iter().map(requirement).collect();
        let selector = LabelSelectorAttributes { raw_selector: same.raw_selector, requirements };
        ResourceAttributes { label_selector: Some(selector), ..ResourceAttributes::default() }
    }

    fn wrong(asked: &ResourceAttributes) -> String {
        let told = check(asked).into_iter().map(|Cause { field, message, .. }| {
            format!("{}: {message}", field.trim_start_matches("spec.resourceAttributes."))
        });
        told.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_selector_has_one_form_and_requirements_fit_their_operators() {
        for (of, name) in [(by_field as fn(&str, &[_]) -> _, "fieldSelector"), (by_label, "labelSelector")] {
            let with_requirement = |text: &str| format!("{name}.requirements[0].{text}");
            for (asked, expected) in [
                (
                    of("", &[]),
                    format!(
                        "{name}.requirements: Required value: when spec.resourceAttributes.{name} is specified, requirements or \
                         rawSelector is required"
                    ),
                ),
                (
                    of("a=b", &[("k", "In", &["v"])]),
                    format!(
                        "{name}.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements"
                    ),
                ),
                (
                    of("", &[("k", "NotIn", &[])]),
                    with_requirement("values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
                ),
                (
                    of("", &[("k", "Exists", &["v"])]),
                    with_requirement(
                        "values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    ),
                ),
                (of("", &[("k", "Newer", &["v", "w"])]), String::new()),
                (of("nonsense in (", &[]), String::new()),
            ] {
                assert_eq!(wrong(&asked), expected, "{asked:?}");
            }
            let many: Vec<(&str, &str, &[&str])> = vec![("k", "Exists", &[]); TERMS_MAX + 1];
            assert!(wrong(&of("", &many)).contains("must have at most"), "{name}");
        }
        assert_eq!(
            wrong(&by_field("", &[("", "Exists", &[])])),
            "fieldSelector.requirements[0].key: Required value: must be specified"
        );
        assert_eq!(wrong(&by_field("", &[("any thing", "Exists", &[])])), "", "a field is called anything");
        assert!(wrong(&by_label("", &[("any thing", "Exists", &[])])).starts_with("labelSelector.requirements[0].key"));
        assert!(wrong(&by_label("", &[("k", "In", &["a b"])])).starts_with("labelSelector.requirements[0].values[0]"));
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_said() {
        let told = |asked: &ResourceAttributes| read(asked).evaluation_error;
        let condition =
            |path: &str, equal, value: &str| Condition { path: path.to_owned(), equal, value: value.to_owned() };
        let both = read(&by_field("spec.nodeName=w1,status.phase!=Running", &[]));
        let expected = vec![condition("spec.nodeName", true, "w1"), condition("status.phase", false, "Running")];
        assert_eq!(both, Selected { fields: expected.clone(), evaluation_error: String::new() });
        let same: &[(&str, &str, &[&str])] =
            &[("spec.nodeName", "In", &["w1"]), ("status.phase", "NotIn", &["Running"])];
        assert_eq!(read(&by_field("", same)).fields, expected);
        let ignored = "spec.resourceAttributes.fieldSelector ignored due to parse error";
        for asked in [
            by_field("nonsense", &[]),
            by_field("", &[("k", "In", &["a", "b"])]),
            by_field("", &[("k", "Exists", &[])]),
            by_field("", &[("k", "DoesNotExist", &[])]),
            by_field("", &[("k", "Newer", &["v"])]),
        ] {
            assert_eq!(
                read(&asked),
                Selected { fields: Vec::new(), evaluation_error: ignored.to_owned() },
                "{asked:?}"
            );
        }
        let partly = read(&by_field("", &[("spec.nodeName", "In", &["w1"]), ("k", "Newer", &[])]));
        assert_eq!(partly.fields, [condition("spec.nodeName", true, "w1")]);
        assert_eq!(
            partly.evaluation_error,
            "spec.resourceAttributes.fieldSelector partially ignored due to parse error"
        );
        assert_eq!(told(&by_label("a in (b,c),!d", &[])), "");
        let label = |what: &str| format!("spec.resourceAttributes.labelSelector {what} due to parse error");
        assert_eq!(told(&by_label("a in (b", &[])), label("ignored"));
        assert_eq!(told(&by_label("", &[("a", "Newer", &[])])), label("ignored"));
        assert_eq!(told(&by_label("", &[("a", "Newer", &[]), ("b", "Exists", &[])])), label("partially ignored"));
        let mut asked = by_label("a in (b", &[]);
        asked.field_selector = by_field("nonsense", &[]).field_selector;
        assert_eq!(told(&asked), format!("{ignored}; {}", label("ignored")));
    }
}
