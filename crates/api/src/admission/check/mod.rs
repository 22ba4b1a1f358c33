//! Judges what webhooks and policies have in common: what they are asked about, where webhooks answer, and their expressions.
//! Kubernetes' words where it has some.

mod matching;
mod policies;
mod webhooks;

pub(crate) use matching::{default_match_resources, match_resources};
pub use policies::{MATCH_CONDITIONS_MAX, VARIABLES_MAX};
pub(crate) use policies::{
    conditions, expression, failure_policy, no_deletions, param_kind, param_ref, policy_name, variables,
};
pub use webhooks::{CA_BUNDLE_BYTES_MAX, WEBHOOKS_MAX};
pub(crate) use webhooks::{Webhook, admission_webhooks, default_client_config, default_rules};

use crate::validate::{Causes, Path, limits, meta, names};

/// What happens if somebody who is asked has no answer.
pub(crate) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];

/// Whether rules match other versions of what a request names.
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];

/// Whether something is done a second time.
pub(crate) const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];

/// The word that stands for all words of a list.
const ALL: &str = "*";
