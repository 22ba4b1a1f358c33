//! What expressions of webhooks and policies may name, and how much running them may take.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde_json::Value as Json;

use crate::cel::{self, Fault, Fuel, Program, Type, Value};

/// The most steps that one expression may take, as in Kubernetes.
pub const EXPRESSION_STEPS_MAX: u64 = 1_000_000;
/// The most steps that all expressions of a policy may take for one request, as in Kubernetes.
pub const POLICY_STEPS_MAX: u64 = 10_000_000;
/// The most steps that all conditions of a webhook or policy may take for one request, as in Kubernetes.
pub const CONDITIONS_STEPS_MAX: u64 = 2_500_000;

const OBJECT: &str = "object";
const OLD_OBJECT: &str = "oldObject";
const REQUEST: &str = "request";
const NAMESPACE: &str = "namespaceObject";
const PARAMS: &str = "params";
pub(super) const VARIABLES: &str = "variables";

/// What expressions may name.
#[derive(Clone, Debug)]
pub struct Scope {
    object: Type,
    params: Option<Type>,
    variables: Option<BTreeMap<String, Type>>,
    patches: bool,
}

/// What an expression must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Yes or no.
    Bool,
    /// A text.
    Text,
    /// A text or nothing.
    TextOrNull,
    /// An object: fields that are to be set.
    Object,
    /// A list of operations.
    Patch,
    /// Anything.
    Anything,
}

/// An expression, ready to be run.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    program: Program,
    has_params: bool,
    has_variables: bool,
}

/// What expressions are about: each `null` where there is none.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The object as it will be.
    pub object: &'a Json,
    /// The object as it is.
    pub old_object: &'a Json,
    /// The request, as AdmissionReviews tell it.
    pub request: &'a Json,
    /// The Namespace in which the object lives.
    pub namespace: &'a Json,
    /// What a binding gives to its policy.
    pub params: &'a Json,
}

impl Scope {
    /// What conditions of webhooks may name.
    #[must_use]
    pub fn of_webhooks() -> Self {
        Self::of_policies(false)
    }

    /// What expressions of policies may name. Variables are added as they are declared.
    #[must_use]
    pub fn of_policies(has_params: bool) -> Self {
        Self { object: Type::Dyn, params: has_params.then_some(Type::Dyn), variables: None, patches: false }
    }

    /// The same where it is known of which types the object and the params are.
    #[must_use]
    pub fn about(self, object: Type, params: Option<Type>) -> Self {
        Self { object, params: params.or(self.params), ..self }
    }

    /// The same for expressions that make objects and patches.
    #[must_use]
    pub fn with_patches(self) -> Self {
        Self { patches: true, ..self }
    }

    /// Adds a variable.
    pub fn declare(&mut self, name: &str, of: Type) {
        self.variables.get_or_insert_default().insert(name.to_owned(), of);
    }

    fn names(&self) -> cel::Variables {
        let always = [
            (OBJECT, self.object.clone()),
            (OLD_OBJECT, self.object.clone()),
            (REQUEST, REQUEST_TYPE.clone()),
            (NAMESPACE, NAMESPACE_TYPE.clone()),
        ];
        let params = self.params.clone().map(|of| (PARAMS, of));
        let variables =
            self.variables.clone().map(|fields| (VARIABLES, Type::Object(Arc::new(cel::Object { fields }))));
        let names = cel::Variables::new(always.into_iter().chain(params).chain(variables));
        if self.patches { names.with_patches() } else { names }
    }

    /// Reads and checks an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(&self, text: &str, wanted: Wanted) -> Result<Expression, String> {
        let compiled = Program::compile(text, &self.names());
        let (program, _) = compiled.map_err(|problem| {
            let told = problem.told(text);
            if problem.message.starts_with(NO_AUTHORIZER) {
                return format!("compilation failed: {told}\nrights cannot be asked of here; look at request.userInfo");
            }
            format!("compilation failed: {told}")
        })?;
        if !wanted.is(program.result()) {
            return Err(format!("must evaluate to {}", wanted.words()));
        }
        let (has_params, has_variables) = (self.params.is_some(), self.variables.is_some());
        Ok(Expression { text: text.to_owned(), program, has_params, has_variables })
    }
}

const NO_AUTHORIZER: &str = "undeclared reference to 'authorizer";

impl Wanted {
    fn is(self, of: &Type) -> bool {
        match self {
            Self::Bool => matches!(of, Type::Bool),
            Self::Text => matches!(of, Type::String(_)),
            Self::TextOrNull => matches!(of, Type::String(_) | Type::Null),
            Self::Object => cel::is_made_object(of),
            Self::Patch => cel::is_made_patch(of),
            Self::Anything => true,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Text => "string",
            Self::TextOrNull => "one of [string null_type]",
            Self::Object => "Object",
            Self::Patch => "list(JSONPatch)",
            Self::Anything => "anything",
        }
    }
}

impl Expression {
    /// The type of what it says.
    #[must_use]
    pub fn result(&self) -> &Type {
        self.program.result()
    }

    /// What people wrote.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.trim()
    }

    pub(super) fn uses_variable(&self, name: &str) -> bool {
        self.program.uses_field(VARIABLES, name)
    }

    /// Runs it. `variables` are those that it uses.
    pub(super) fn run<'a>(
        &'a self,
        about: &About<'a>,
        variables: impl FnOnce() -> Value<'a>,
        tank: &mut Tank,
    ) -> Result<Value<'a>, String> {
        let mut values = vec![
            Value::of(about.object, &Type::Dyn),
            Value::of(about.old_object, &Type::Dyn),
            Value::of(about.request, &REQUEST_TYPE),
            Value::of(about.namespace, &NAMESPACE_TYPE),
        ];
        values.extend(self.has_params.then(|| Value::of(about.params, &Type::Dyn)));
        values.extend(self.has_variables.then(variables));
        tank.run(|fuel| self.program.run(values, fuel)).map_err(|fault| self.failed(&fault.to_string()))
    }

    pub(super) fn failed(&self, why: &str) -> String {
        format!("expression '{}' resulted in error: {why}", self.text())
    }
}

/// The steps that are left to several expressions.
pub(super) struct Tank(u64);

impl Tank {
    pub(super) fn new(steps: u64) -> Self {
        Self(steps)
    }

    fn run<T>(&mut self, run: impl FnOnce(&mut Fuel) -> Result<T, Fault>) -> Result<T, Fault> {
        let share = self.0.min(EXPRESSION_STEPS_MAX);
        let mut fuel = Fuel::new(share);
        let said = run(&mut fuel);
        self.0 -= share - fuel.left();
        said
    }
}

fn text() -> Type {
    Type::String(u64::MAX)
}

fn object(fields: impl IntoIterator<Item = (&'static str, Type)>) -> Type {
    let fields = fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    Type::Object(Arc::new(cel::Object { fields }))
}

/// A request, without the objects that it is about.
static REQUEST_TYPE: LazyLock<Type> = LazyLock::new(|| {
    let kind = object(["group", "version", "kind"].map(|name| (name, text())));
    let resource = object(["group", "version", "resource"].map(|name| (name, text())));
    let user = object([
        ("username", text()),
        ("uid", text()),
        ("groups", Type::list(text())),
        ("extra", Type::map(text(), Type::list(text()))),
    ]);
    object([
        ("kind", kind.clone()),
        ("resource", resource.clone()),
        ("subResource", text()),
        ("requestKind", kind),
        ("requestResource", resource),
        ("requestSubResource", text()),
        ("name", text()),
        ("namespace", text()),
        ("operation", text()),
        ("userInfo", user),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ])
});

static NAMESPACE_TYPE: LazyLock<Type> = LazyLock::new(|| {
    let metadata = object([
        ("name", text()),
        ("generateName", text()),
        ("namespace", text()),
        ("labels", Type::map(text(), text())),
        ("annotations", Type::map(text(), text())),
        ("uid", text()),
        ("creationTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("deletionTimestamp", Type::Timestamp),
        ("generation", Type::Int),
        ("resourceVersion", text()),
        ("finalizers", Type::list(text())),
    ]);
    let times = ("lastTransitionTime", Type::Timestamp);
    let condition =
        object(["type", "status", "reason", "message"].map(|name| (name, text())).into_iter().chain([times]));
    let status = object([("conditions", Type::list(condition)), ("phase", text())]);
    let spec = object([("finalizers", Type::list(text()))]);
    object([("metadata", metadata), ("spec", spec), ("status", status)])
});
