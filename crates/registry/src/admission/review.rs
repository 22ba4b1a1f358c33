//! What those who are asked are told of a write: Kubernetes' AdmissionRequest.

use std::sync::Arc;

use api::{
    DeleteOptions, Key, Kind, Object, Propagation, Served, Subresource, Write,
    admission::{Operation, Subject},
    apply::{self, BuiltIn, Versions as _},
    core_v1::Pod,
    custom::Version,
    json::{self, Strictness},
    pod,
};
use prost::Message as _;
use serde_json::{Value, json};
use store::View;

use crate::{Caller, defined::Form};

/// The messages of what stands for an object.
const SCALE: &str = "kapelle.autoscaling.v1.Scale";
const BINDING: &str = "kapelle.core.v1.Binding";
const EVICTION: &str = "kapelle.policy.v1.Eviction";
const TOKEN_REQUEST: &str = "kapelle.authentication.v1.TokenRequest";

/// A write about which others are asked, as they see it.
#[derive(Debug)]
pub(crate) struct Matter<'a> {
    pub(super) operation: Operation,
    pub(super) form: Form<'a>,
    /// In which versions the kind is served, if a user has defined it.
    versions: Vec<Served>,
    pub(super) subresource: &'static str,
    pub(super) stands: Stands,
    pub(crate) key: Key,
    pub(super) dry_run: bool,
    caller: &'a Caller,
    options: Value,
    /// What is asked of the object, if nothing is written, or how it is to go.
    pub(super) question: Value,
}

/// How a write is asked for, beside what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) dry_run: bool,
    pub(crate) field_manager: &'a str,
    pub(crate) field_validation: Strictness,
    /// Of a deletion, through which subresource.
    pub(crate) through: Subresource,
}

/// What stands for the object in a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It itself.
    Whole,
    /// Its part `scale`.
    Scale,
    /// The binding of a Pod to a node.
    Binding,
    /// The wish that a Pod goes.
    Eviction,
    /// What somebody asks of it without writing it: how to be connected with it, or a token.
    Question,
}

impl<'a> Matter<'a> {
    /// A write by somebody. `key` is that of the object, named already if its name is generated.
    pub(crate) fn new(write: &Write, key: Key, form: Form<'a>, caller: &'a Caller, manner: Manner<'_>) -> Self {
        let (operation, subresource, stands) = match (write, manner.through) {
            (Write::Create(_), _) => (Operation::Create, Subresource::None, Stands::Whole),
            (Write::Delete(..), Subresource::Eviction) => (Operation::Create, Subresource::Eviction, Stands::Eviction),
            (Write::Delete(..), _) => (Operation::Delete, Subresource::None, Stands::Whole),
            (Write::Update(_, part @ Subresource::Scale), _) => (Operation::Update, *part, Stands::Scale),
            (Write::Update(_, part @ Subresource::Binding), _) => (Operation::Create, *part, Stands::Binding),
            // It has no URL: elsewhere the garbage collector patches the object itself.
            (Write::Update(_, Subresource::Owners), _) => (Operation::Update, Subresource::None, Stands::Whole),
            (Write::Update(_, part), _) => (Operation::Update, *part, Stands::Whole),
        };
        let options = match write {
            Write::Create(_) => written("CreateOptions", manner),
            Write::Update(..) if operation == Operation::Create => written("CreateOptions", manner),
            Write::Update(..) => written("UpdateOptions", manner),
            Write::Delete(..) if operation == Operation::Create => written("CreateOptions", manner),
            Write::Delete(_, sent) => deleted(sent, manner.dry_run),
        };
        let dry_run = options["dryRun"].is_array();
        let versions = form.definition.into_iter().flat_map(|definition| definition.served().map(Version::as_served));
        let (subresource, versions) = (subresource.word(), versions.collect());
        let question = match write {
            Write::Delete(_, sent) if stands == Stands::Eviction => evicting(&key, sent, dry_run),
            Write::Create(_) | Write::Update(..) | Write::Delete(..) => Value::Null,
        };
        Self { operation, form, versions, subresource, stands, key, dry_run, caller, options, question }
    }

    /// Somebody who asks something of an object and writes nothing: to be connected with it, such as by a `PodExecOptions`, which
    /// is told as the options too; or for a token, by a `TokenRequest`.
    pub(crate) fn asking(key: Key, subresource: Subresource, caller: &'a Caller, question: Value) -> Self {
        let manner = Manner {
            dry_run: false,
            field_manager: "",
            field_validation: Strictness::Warn,
            through: Subresource::None,
        };
        let operation = Self::question(subresource);
        let is_made = operation == Operation::Create;
        let options = if is_made { written("CreateOptions", manner) } else { question.clone() };
        Self {
            operation,
            form: key.kind.into(),
            versions: Vec::new(),
            subresource: subresource.word(),
            stands: Stands::Question,
            key,
            dry_run: false,
            caller,
            options,
            question,
        }
    }

    /// What asking something of an object by a subresource is called: a token is made, all else is a connection.
    pub(super) fn question(subresource: Subresource) -> Operation {
        if subresource == Subresource::Token { Operation::Create } else { Operation::Connect }
    }

    pub(super) fn user(&self) -> String {
        self.caller.user()
    }

    /// The namespace of the object; of a Namespace its own name, as in Kubernetes.
    pub(super) fn namespace(&self) -> &str {
        if self.key.kind == Kind::Namespace { &self.key.name } else { &self.key.namespace }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            operation: self.operation,
            served: self.form.served(),
            versions: &self.versions,
            subresource: self.subresource,
            namespace: self.namespace(),
            name: &self.key.name,
        }
    }

    /// The request for somebody who looks at the kind in some version, without its uid and the objects.
    pub(super) fn request(&self, found: Served) -> Value {
        let resource = |served: Served| {
            let info = served.info();
            json!({"group": info.group, "version": info.version, "resource": info.plural})
        };
        let mut request = json!({
            "kind": self.kind(found),
            "resource": resource(found),
            "requestKind": self.kind(self.form.served()),
            "requestResource": resource(self.form.served()),
            "operation": self.operation.word(),
            "userInfo": {"username": self.caller.user(), "groups": self.caller.groups()},
            "dryRun": self.dry_run,
            "options": self.options,
        });
        for (field, text) in [
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
            ("name", &*self.key.name),
            ("namespace", self.namespace()),
        ] {
            if !text.is_empty() {
                request[field] = text.into();
            }
        }
        request
    }

    fn kind(&self, served: Served) -> Value {
        let info = served.info();
        let (group, version, kind) = match self.stands {
            Stands::Whole => (info.group, info.version, info.kind),
            Stands::Scale => ("autoscaling", "v1", "Scale"),
            Stands::Binding => ("", "v1", "Binding"),
            Stands::Eviction => ("policy", "v1", "Eviction"),
            Stands::Question => {
                let text = |field: &str| self.question[field].as_str().unwrap_or_default();
                let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
                return json!({"group": group, "version": version, "kind": text("kind")});
            }
        };
        json!({"group": group, "version": version, "kind": kind})
    }

    /// An object as it is told in a version that is served; `null` if it is served no more.
    pub(super) fn shown(&self, object: &Object, found: Served) -> Value {
        let form = self.form.in_version(found);
        match self.stands {
            Stands::Whole => form.told(object).unwrap_or_default(),
            Stands::Scale => {
                let scale = form.formed(object).ok().and_then(|object| object.as_scale());
                let bytes = scale.map(|scale| scale.encode_to_vec()).unwrap_or_default();
                let mut scale = json::encode_message(SCALE, &bytes).unwrap_or_default();
                (scale["apiVersion"], scale["kind"]) = ("autoscaling/v1".into(), "Scale".into());
                scale
            }
            Stands::Binding => {
                let node = object.get::<Pod>().and_then(pod::node_name).unwrap_or_default();
                let mut metadata = named(&self.key);
                let said = object.metadata();
                for (field, said) in
                    [("labels", said.map(|meta| &meta.labels)), ("annotations", said.map(|meta| &meta.annotations))]
                {
                    if let Some(said) = said.filter(|said| !said.is_empty()) {
                        metadata[field] = json!(said);
                    }
                }
                json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": metadata,
                    "target": {"kind": "Node", "name": node},
                })
            }
            Stands::Eviction | Stands::Question => self.question.clone(),
        }
    }

    /// The message of what stands for the object. How somebody is connected has none: others may refuse it, and not change it.
    pub(super) fn message(&self) -> Option<&'static str> {
        match self.stands {
            Stands::Scale => Some(SCALE),
            Stands::Binding => Some(BINDING),
            Stands::Eviction => Some(EVICTION),
            Stands::Question if self.operation == Operation::Create => Some(TOKEN_REQUEST),
            Stands::Whole | Stands::Question => None,
        }
    }

    /// Sets fields in what is told.
    ///
    /// # Errors
    /// Why they cannot be set.
    pub(super) fn configure(&self, found: Served, value: &mut Value, configuration: &Value) -> Result<(), String> {
        let unknown = || "what is asked about has no fields that could be set".to_owned();
        match self.form.in_version(found).kind().filter(|_| self.stands == Stands::Whole) {
            Some(kind) => {
                let root = (&kind).root(&found.info().api_version()).ok_or_else(unknown)?;
                apply::configure(root, value, configuration)
            }
            None => {
                let message = if self.stands == Stands::Whole { Some(found.info().message) } else { self.message() };
                let message = message.and_then(BuiltIn::message).ok_or_else(unknown)?;
                apply::configure(message, value, configuration)
            }
        }
    }

    /// Whether the object as it is belongs to what is told: what is created has no earlier state.
    pub(super) fn has_old(&self) -> bool {
        matches!(self.operation, Operation::Update | Operation::Delete)
    }

    /// The Namespace in which the object lives.
    pub(super) fn namespace_object(&self, view: &View) -> Option<Arc<Object>> {
        let name = &self.key.namespace;
        let record = (!name.is_empty()).then(|| view.get(&Key::cluster(Kind::Namespace, name.clone())))??;
        Some(record.object())
    }
}

fn named(key: &Key) -> Value {
    json!({"name": *key.name, "namespace": *key.namespace})
}

/// The wish that a Pod goes.
fn evicting(key: &Key, sent: &DeleteOptions, dry_run: bool) -> Value {
    let mut options = deleted(sent, dry_run);
    // What nobody said is not told, and within an Eviction the options have a type already.
    if let Some(fields) = options.as_object_mut() {
        fields.retain(|field, value| !matches!(field.as_str(), "apiVersion" | "kind") && *value != "Background");
    }
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named(key), "deleteOptions": options})
}

fn written(kind: &str, manner: Manner<'_>) -> Value {
    let validation = match manner.field_validation {
        Strictness::Strict => "Strict",
        Strictness::Warn => "Warn",
        Strictness::Ignore => "Ignore",
    };
    let mut value = json!({"apiVersion": "meta.k8s.io/v1", "kind": kind, "fieldValidation": validation});
    if !manner.field_manager.is_empty() {
        value["fieldManager"] = manner.field_manager.into();
    }
    if manner.dry_run {
        value["dryRun"] = json!(["All"]);
    }
    value
}

fn deleted(options: &DeleteOptions, dry_run: bool) -> Value {
    let propagation = match options.propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    };
    let mut value = json!({"apiVersion": "meta.k8s.io/v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
    if let Some(seconds) = options.grace_period_s {
        value["gracePeriodSeconds"] = seconds.into();
    }
    if let Some(uid) = &options.uid {
        value["preconditions"]["uid"] = uid.as_str().into();
    }
    if let Some(revision) = options.resource_version {
        value["preconditions"]["resourceVersion"] = revision.to_string().into();
    }
    if dry_run {
        value["dryRun"] = json!(["All"]);
    }
    value
}
