//! APIServices: who serves a version of a group.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Kind, Subresource, Timestamp,
    apiregistration_v1::{ApiService, ApiServiceSpec, ServiceReference},
    conditions,
    kinds::{Allocation, Scale, deletion, reviews, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        limits::{API_SERVICE_BUNDLE_BYTES_MAX, CONDITIONS_MAX},
        names::{self, Syntax},
    },
    warnings::Warnings,
};

/// The condition that says whether the version is served.
pub const AVAILABLE: &str = "Available";

/// The port of a Service, if nobody says.
pub const PORT: i32 = 443;

/// The highest priority of a group, and of a version in it.
const GROUP_PRIORITY_MAX: i32 = 20_000;
const VERSION_PRIORITY_MAX: i32 = 1_000;

/// What is shown instead of a Service where the masters serve.
const LOCAL: &str = "Local";

const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

const COLUMNS: &[Column] = &[
    NAME,
    text("Service", "The Service behind which the version is served; Local if the masters serve it."),
    text("Available", "Whether the version is served, and why not."),
    AGE,
];

const SAMPLE: &str = "\
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1beta1.metrics.example.org
spec:
  group: metrics.example.org
  version: v1beta1
  service: {namespace: default, name: metrics}
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
";

pub(crate) struct ApiServiceStrategy;

impl Strategy for ApiServiceStrategy {
    type Object = ApiService;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, object: &mut ApiService) {
        let service = object.spec.as_mut().and_then(|spec| spec.service.as_mut());
        if let Some(service) = service {
            service.port.get_or_insert(PORT);
        }
    }

    fn validate(&self, causes: &mut Causes, object: &ApiService) {
        let spec = object.spec.clone().unwrap_or_default();
        let name = object.metadata.as_ref().map_or("", |meta| &meta.name);
        let wanted = name_of(&spec.group, &spec.version);
        if name != wanted {
            let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            causes.invalid(&Path::Root.field("metadata").field("name"), name, why);
        }
        validate_spec(causes, &spec);
    }

    fn validate_update(&self, _: &mut Causes, _: &ApiService, _: &ApiService) {}

    fn validate_status(&self, causes: &mut Causes, object: &ApiService) {
        let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let at = Path::Root.field("status");
        let at = at.field("conditions");
        if causes.at_most(&at, conditions.len(), CONDITIONS_MAX) {
            for (index, condition) in conditions.iter().enumerate() {
                causes.one_of(&at.index(index).field("status"), &condition.status, &STATUSES);
            }
        }
    }

    fn warn(&self, _: &mut Warnings, _: &ApiService) {}

    fn prepare_for_create(&self, object: &mut ApiService) {
        object.status = None;
    }

    fn prepare_for_update(&self, new: &mut ApiService, old: &ApiService) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, object: &mut ApiService, sent: &ApiService) {
        object.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &ApiService) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ApiService, _: i32) {}

    fn is_new_generation(&self, _: Option<&ApiService>, _: &ApiService, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ApiService) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ApiService) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, object: &mut ApiService, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ApiService) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, object: &ApiService, common: Common, _: Timestamp) -> Vec<Cell> {
        let service = object.spec.as_ref().and_then(|spec| spec.service.as_ref());
        let service = service.map_or(LOCAL.to_owned(), |service| format!("{}/{}", service.namespace, service.name));
        vec![common.name, service.into(), available(object).into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ApiService, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// What the APIService of a version must be called.
#[must_use]
pub fn name_of(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// Whether masters serve a version of a group themselves, with the kinds of their table.
#[must_use]
pub fn is_built_in(group: &str, version: &str) -> bool {
    reviews::served().any(|info| info.group == group && info.version == version)
}

fn available(object: &ApiService) -> String {
    let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions::get(conditions, AVAILABLE) {
        None => "Unknown".to_owned(),
        Some(condition) if condition.status == "True" => condition.status.clone(),
        Some(condition) => format!("{} ({})", condition.status, condition.reason),
    }
}

fn validate_spec(causes: &mut Causes, spec: &ApiServiceSpec) {
    let at = Path::Root.field("spec");
    if spec.group.is_empty() {
        if spec.version != "v1" {
            causes.required(&at.field("group"), "only v1 may have an empty group");
        }
    } else {
        causes.syntax(&at.field("group"), &spec.group, names::dns_subdomain);
    }
    causes.required_syntax(&at.field("version"), &spec.version, names::dns_1035_label);
    for (field, value, max) in [
        ("groupPriorityMinimum", spec.group_priority_minimum, GROUP_PRIORITY_MAX),
        ("versionPriority", spec.version_priority, VERSION_PRIORITY_MAX),
    ] {
        if !(1..=max).contains(&value) {
            causes.invalid(&at.field(field), value, format_args!("must be between 1 and {max}, inclusive"));
        }
    }
    match &spec.service {
        Some(service) => validate_backend(causes, spec, service, &at),
        None => {
            if !spec.ca_bundle.is_empty() {
                let bytes = format!("{} bytes", spec.ca_bundle.len());
                causes.invalid(&at.field("caBundle"), bytes, "local APIServices may not have a caBundle");
            }
            if spec.insecure_skip_tls_verify {
                let why = "local APIServices may not have insecureSkipTLSVerify";
                causes.invalid(&at.field("insecureSkipTLSVerify"), true, why);
            }
        }
    }
}

fn validate_backend(causes: &mut Causes, spec: &ApiServiceSpec, service: &ServiceReference, at: &Path<'_>) {
    if is_built_in(&spec.group, &spec.version) {
        let why = "the masters serve this version themselves; choose another group or version";
        causes.forbidden(&at.field("service"), why);
    }
    let bundle = at.field("caBundle");
    if spec.ca_bundle.len() > API_SERVICE_BUNDLE_BYTES_MAX {
        causes.too_long(&bundle, API_SERVICE_BUNDLE_BYTES_MAX);
    }
    if spec.insecure_skip_tls_verify && !spec.ca_bundle.is_empty() {
        causes.invalid(&at.field("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
    }
    let at = at.field("service");
    causes.required_syntax(&at.field("namespace"), &service.namespace, Kind::Namespace.name_syntax());
    causes.required_syntax(&at.field("name"), &service.name, Kind::Service.name_syntax());
    causes.port(&at.field("port"), service.port.unwrap_or_default());
}
