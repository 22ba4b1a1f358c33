//! ServiceAccounts.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    core_v1::ServiceAccount,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        limits::SMALL_LIST_MAX,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, text("Secrets", "How many Secrets it names."), AGE];

const SAMPLE: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: hello
  namespace: default
automountServiceAccountToken: false
";

pub(crate) struct ServiceAccountStrategy;

impl Strategy for ServiceAccountStrategy {
    type Object = ServiceAccount;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ServiceAccount) {}

    fn validate(&self, causes: &mut Causes, account: &ServiceAccount) {
        causes.at_most(&Path::Root.field("secrets"), account.secrets.len(), SMALL_LIST_MAX);
        causes.at_most(&Path::Root.field("imagePullSecrets"), account.image_pull_secrets.len(), SMALL_LIST_MAX);
    }

    fn validate_update(&self, _: &mut Causes, _: &ServiceAccount, _: &ServiceAccount) {}

    fn validate_status(&self, _: &mut Causes, _: &ServiceAccount) {}

    fn warn(&self, warnings: &mut Warnings, account: &ServiceAccount) {
        if !account.secrets.is_empty() {
            warnings.say("secrets: ignored: a Pod uses the Secrets that its own spec names".to_owned());
        }
    }

    fn prepare_for_create(&self, _: &mut ServiceAccount) {}

    fn prepare_for_update(&self, _: &mut ServiceAccount, _: &ServiceAccount) {}

    fn update_status(&self, _: &mut ServiceAccount, _: &ServiceAccount) {}

    fn scale(&self, _: &ServiceAccount) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ServiceAccount, _: i32) {}

    fn is_new_generation(&self, _: Option<&ServiceAccount>, _: &ServiceAccount, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ServiceAccount) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ServiceAccount) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        account: &mut ServiceAccount,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut account.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ServiceAccount) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, account: &ServiceAccount, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, account.secrets.len().into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ServiceAccount, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
