//! PodTemplates.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Subresource, Timestamp,
    core_v1::PodTemplate,
    defaults,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
        workload,
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
    NAME,
    text("Containers", "The names of the containers in the template."),
    text("Images", "The images of the containers in the template."),
    text("Pod Labels", "The labels of Pods made from it."),
];

const SAMPLE: &str = "\
apiVersion: v1
kind: PodTemplate
metadata:
  name: hello
  namespace: default
template:
  metadata:
    labels: {app: hello}
  spec:
    containers:
    - name: hello
      image: registry.example.com/hello:v1
";

pub(crate) struct PodTemplateStrategy;

impl Strategy for PodTemplateStrategy {
    type Object = PodTemplate;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, template: &mut PodTemplate) {
        defaults::template(template.template.as_mut());
    }

    fn validate(&self, causes: &mut Causes, template: &PodTemplate) {
        workload::any_template(causes, template.template.as_ref(), &Path::Root.field("template"));
    }

    fn validate_update(&self, _: &mut Causes, _: &PodTemplate, _: &PodTemplate) {}

    fn validate_status(&self, _: &mut Causes, _: &PodTemplate) {}

    fn warn(&self, warnings: &mut Warnings, template: &PodTemplate) {
        warnings.say("template: kept; nothing makes Pods from it".to_owned());
        if let Some(spec) = template.template.as_ref().and_then(|template| template.spec.as_ref()) {
            warnings.pod_spec(spec, "template.spec");
        }
    }

    fn prepare_for_create(&self, _: &mut PodTemplate) {}

    fn prepare_for_update(&self, _: &mut PodTemplate, _: &PodTemplate) {}

    fn update_status(&self, _: &mut PodTemplate, _: &PodTemplate) {}

    fn scale(&self, _: &PodTemplate) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut PodTemplate, _: i32) {}

    fn is_new_generation(&self, _: Option<&PodTemplate>, _: &PodTemplate, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut PodTemplate) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &PodTemplate) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        template: &mut PodTemplate,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut template.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &PodTemplate) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, template: &PodTemplate, common: Common, _: Timestamp) -> Vec<Cell> {
        let none = BTreeMap::new();
        let meta = template.template.as_ref().and_then(|template| template.metadata.as_ref());
        let [containers, images, _] = table::workload(template.template.as_ref(), None);
        vec![common.name, containers, images, table::labels(meta.map_or(&none, |meta| &meta.labels)).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a PodTemplate, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
