//! MutatingWebhookConfigurations.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    admission::check::{Webhook, admission_webhooks, default_client_config, default_rules},
    admissionregistration_v1::MutatingWebhookConfiguration,
    defaults::text,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, integer},
    },
    validate::{
        Causes,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, integer("Webhooks", "How many webhooks are asked."), AGE];

const SAMPLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: sidecars
webhooks:
- name: sidecars.example.com
  clientConfig:
    service: {namespace: default, name: sidecars, path: /pods}
  rules:
  - operations: [CREATE]
    apiGroups: [\"\"]
    apiVersions: [v1]
    resources: [pods]
  sideEffects: None
  admissionReviewVersions: [v1]
";

pub(crate) struct MutatingWebhookConfigurationStrategy;

impl Strategy for MutatingWebhookConfigurationStrategy {
    type Object = MutatingWebhookConfiguration;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, configuration: &mut MutatingWebhookConfiguration) {
        for hook in &mut configuration.webhooks {
            text(&mut hook.failure_policy, "Fail");
            text(&mut hook.match_policy, "Equivalent");
            text(&mut hook.reinvocation_policy, "Never");
            hook.namespace_selector.get_or_insert_default();
            hook.object_selector.get_or_insert_default();
            default_client_config(hook.client_config.as_mut(), &mut hook.timeout_seconds);
            default_rules(&mut hook.rules);
        }
    }

    fn validate(&self, causes: &mut Causes, configuration: &MutatingWebhookConfiguration) {
        admission_webhooks(causes, configuration.webhooks.iter().map(Webhook::from));
    }

    fn validate_update(&self, _: &mut Causes, _: &MutatingWebhookConfiguration, _: &MutatingWebhookConfiguration) {}

    fn validate_status(&self, _: &mut Causes, _: &MutatingWebhookConfiguration) {}

    fn warn(&self, _: &mut Warnings, _: &MutatingWebhookConfiguration) {}

    fn prepare_for_create(&self, _: &mut MutatingWebhookConfiguration) {}

    fn prepare_for_update(&self, _: &mut MutatingWebhookConfiguration, _: &MutatingWebhookConfiguration) {}

    fn update_status(&self, _: &mut MutatingWebhookConfiguration, _: &MutatingWebhookConfiguration) {}

    fn scale(&self, _: &MutatingWebhookConfiguration) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut MutatingWebhookConfiguration, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&MutatingWebhookConfiguration>,
        new: &MutatingWebhookConfiguration,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.webhooks != new.webhooks)
    }

    fn allocation<'a>(&self, _: &'a mut MutatingWebhookConfiguration) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &MutatingWebhookConfiguration) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        object: &mut MutatingWebhookConfiguration,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &MutatingWebhookConfiguration) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, configuration: &MutatingWebhookConfiguration, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, configuration.webhooks.len().into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a MutatingWebhookConfiguration, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
