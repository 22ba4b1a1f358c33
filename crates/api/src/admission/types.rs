//! What is doubtful in a policy, once it is known of which kinds the objects are that it is about.
//!
//! Expressions are compiled without that knowledge, since one policy may be about many kinds: a field that one of them lacks has
//! no value there. Whoever wrote the policy should know.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::scope::{Scope, Wanted};
use crate::{
    Served,
    admissionregistration_v1::{ExpressionWarning, ParamKind, Rule, ValidatingAdmissionPolicy},
    cel::{self, Type},
    schema::{Field, Form, Message, Scalar, Schema, Shape},
};

/// The most expressions of which something is told: two for each rule.
pub const EXPRESSION_WARNINGS_MAX: usize = 512;
/// The most kinds that are looked at for one policy, as in Kubernetes.
const KINDS_MAX: usize = 10;
/// How deep messages may hold others: deeper than any of ours.
const DEPTH_MAX: usize = 32;

/// What is doubtful in the expressions of a policy.
#[must_use]
pub fn doubts(policy: &ValidatingAdmissionPolicy) -> Vec<ExpressionWarning> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    let rules = spec.match_constraints.iter().flat_map(|matched| &matched.resource_rules);
    let rules = rules.filter_map(|named| named.rule_with_operations.as_ref()?.rule.as_ref());
    let kinds: Vec<Served> = kinds(rules).into_values().collect();
    let params = spec.param_kind.as_ref().map(|kind| of_params(kind).unwrap_or(Type::Dyn));
    let scopes: Vec<(Served, Scope)> = kinds
        .into_iter()
        .map(|served| {
            let mut scope = Scope::of_policies(params.is_some()).about(of_kind(served), params.clone());
            for variable in &spec.variables {
                let of = scope.compile(&variable.expression, Wanted::Anything);
                scope.declare(&variable.name, of.map_or(Type::Dyn, |expression| expression.result().clone()));
            }
            (served, scope)
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in spec.validations.iter().enumerate() {
        for (field, text) in
            [("expression", &validation.expression), ("messageExpression", &validation.message_expression)]
        {
            let told: String = scopes.iter().filter_map(|(served, scope)| doubt(*served, scope, text)).collect();
            if !text.is_empty() && !told.is_empty() && warnings.len() < EXPRESSION_WARNINGS_MAX {
                let field_ref = format!("spec.validations[{index}].{field}");
                warnings.push(ExpressionWarning { field_ref, warning: told });
            }
        }
    }
    warnings
}

fn doubt(served: Served, scope: &Scope, text: &str) -> Option<String> {
    let why = scope.compile(text, Wanted::Anything).err()?;
    let info = served.info();
    Some(format!("{}/{}, Kind={}: {why}\n", info.group, info.version, info.kind))
}

/// The kinds that rules name one by one, by group, version and name.
fn kinds<'a>(rules: impl Iterator<Item = &'a Rule>) -> BTreeMap<(&'static str, &'static str, &'static str), Served> {
    let named = |words: &[String]| !words.iter().any(|word| word.contains('*'));
    let rules = rules.filter(|rule| named(&rule.api_groups) && named(&rule.api_versions) && named(&rule.resources));
    let mut kinds = BTreeMap::new();
    for rule in rules {
        let lists = [&rule.api_groups, &rule.api_versions, &rule.resources];
        let [groups, versions, resources] = lists.map(|words| words.iter().collect::<BTreeSet<_>>());
        let all = groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version)));
        let all = all.flat_map(|(group, version)| resources.iter().map(move |resource| (group, version, resource)));
        let found = all.filter_map(|(group, version, resource)| Served::from_resource(group, version, resource));
        for served in found.take(KINDS_MAX) {
            let info = served.info();
            kinds.insert((info.group, info.version, info.kind), served);
        }
    }
    kinds.into_iter().take(KINDS_MAX).collect()
}

fn of_params(kind: &ParamKind) -> Option<Type> {
    Served::from_api_version(&kind.api_version, &kind.kind).map(of_kind)
}

/// The type of the objects of a kind.
fn of_kind(served: Served) -> Type {
    let Some(message) = Schema::get().message(served.info().message) else { return Type::Dyn };
    let mut fields = fields(message, 0);
    for name in ["apiVersion", "kind"] {
        fields.insert(name.to_owned(), Type::String(u64::MAX));
    }
    Type::Object(Arc::new(cel::Object { fields }))
}

fn fields(message: &Message, depth: usize) -> BTreeMap<String, Type> {
    let mut fields = BTreeMap::new();
    for field in &message.fields {
        if let (Scalar::Message(index), true) = (field.scalar, field.inline) {
            fields.extend(self::fields(Schema::get().at(index), depth + 1));
        } else {
            fields.insert(field.json.clone(), of_field(field, depth));
        }
    }
    fields
}

fn of_field(field: &Field, depth: usize) -> Type {
    let one = match field.scalar {
        Scalar::Bool => Type::Bool,
        Scalar::Int32 | Scalar::Int64 => Type::Int,
        Scalar::String => Type::String(u64::MAX),
        Scalar::Bytes => Type::Bytes(u64::MAX),
        Scalar::Message(index) => of_message(Schema::get().at(index), depth + 1),
    };
    match field.shape {
        Shape::One => one,
        Shape::List => Type::list(one),
        Shape::Map => Type::map(Type::String(u64::MAX), one),
    }
}

fn of_message(message: &Message, depth: usize) -> Type {
    match message.form {
        Form::Object if depth < DEPTH_MAX => Type::Object(Arc::new(cel::Object { fields: fields(message, depth) })),
        Form::Time | Form::MicroTime => Type::Timestamp,
        Form::Texts => Type::list(Type::String(u64::MAX)),
        Form::Object | Form::Quantity | Form::IntOrString | Form::Raw => Type::Dyn,
    }
}
