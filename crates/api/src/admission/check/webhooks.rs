//! Webhooks of both sorts: what they are called, asked about, and where they answer.

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Causes, FAILURE_POLICIES, MATCH_POLICIES, Path, REINVOCATION_POLICIES, conditions, limits, matching, meta, names,
};
use crate::{
    admission::scope::Scope,
    admissionregistration_v1::{
        MatchCondition, MutatingWebhook, RuleWithOperations, ServiceReference, ValidatingWebhook, WebhookClientConfig,
    },
    meta_v1::LabelSelector,
};

/// Webhooks of one configuration.
pub const WEBHOOKS_MAX: usize = 256;
/// The authorities that a webhook's certificate may be signed by, in bytes of PEM: some hundred of them.
pub const CA_BUNDLE_BYTES_MAX: usize = 256 << 10;

/// How long a webhook may take, in seconds: Kubernetes' limits.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<i32> = 1..=30;
const DEFAULT_TIMEOUT_SECONDS: i32 = 10;
const DEFAULT_PORT: i32 = 443;
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
/// Domains with a name below an organisation's.
const NAME_PARTS_MIN: usize = 3;

/// What webhooks of both sorts say.
pub(crate) struct Webhook<'a> {
    name: &'a str,
    client_config: Option<&'a WebhookClientConfig>,
    rules: &'a [RuleWithOperations],
    failure_policy: &'a str,
    match_policy: &'a str,
    namespace_selector: Option<&'a LabelSelector>,
    object_selector: Option<&'a LabelSelector>,
    side_effects: &'a str,
    timeout_seconds: Option<i32>,
    review_versions: &'a [String],
    conditions: &'a [MatchCondition],
    /// `None` where nobody is asked twice.
    reinvocation_policy: Option<&'a str>,
}

impl<'a> From<&'a ValidatingWebhook> for Webhook<'a> {
    fn from(hook: &'a ValidatingWebhook) -> Self {
        Self {
            name: &hook.name,
            client_config: hook.client_config.as_ref(),
            rules: &hook.rules,
            failure_policy: &hook.failure_policy,
            match_policy: &hook.match_policy,
            namespace_selector: hook.namespace_selector.as_ref(),
            object_selector: hook.object_selector.as_ref(),
            side_effects: &hook.side_effects,
            timeout_seconds: hook.timeout_seconds,
            review_versions: &hook.admission_review_versions,
            conditions: &hook.match_conditions,
            reinvocation_policy: None,
        }
    }
}

impl<'a> From<&'a MutatingWebhook> for Webhook<'a> {
    fn from(hook: &'a MutatingWebhook) -> Self {
        Self {
            name: &hook.name,
            client_config: hook.client_config.as_ref(),
            rules: &hook.rules,
            failure_policy: &hook.failure_policy,
            match_policy: &hook.match_policy,
            namespace_selector: hook.namespace_selector.as_ref(),
            object_selector: hook.object_selector.as_ref(),
            side_effects: &hook.side_effects,
            timeout_seconds: hook.timeout_seconds,
            review_versions: &hook.admission_review_versions,
            conditions: &hook.match_conditions,
            reinvocation_policy: Some(&hook.reinvocation_policy),
        }
    }
}

/// What is meant where the rules of a webhook say nothing.
pub(crate) fn default_rules(rules: &mut [RuleWithOperations]) {
    rules.iter_mut().for_each(matching::default_rule);
}

/// What is meant where a webhook does not say where and how long it is asked.
pub(crate) fn default_client_config(config: Option<&mut WebhookClientConfig>, timeout_seconds: &mut Option<i32>) {
    timeout_seconds.get_or_insert(DEFAULT_TIMEOUT_SECONDS);
    if let Some(service) = config.and_then(|config| config.service.as_mut()) {
        service.port.get_or_insert(DEFAULT_PORT);
    }
}

/// The webhooks of a configuration.
pub(crate) fn admission_webhooks<'a>(causes: &mut Causes, webhooks: impl ExactSizeIterator<Item = Webhook<'a>>) {
    let at = Path::Root.field("webhooks");
    if !causes.at_most(&at, webhooks.len(), WEBHOOKS_MAX) {
        return;
    }
    let mut known = std::collections::BTreeSet::new();
    for (index, hook) in webhooks.enumerate() {
        let at = at.index(index);
        webhook(causes, &hook, &at);
        if !hook.name.is_empty() && !known.insert(hook.name) {
            causes.duplicate(&at.field("name"), hook.name);
        }
    }
}

fn webhook(causes: &mut Causes, hook: &Webhook<'_>, at: &Path<'_>) {
    qualified_name(causes, hook.name, &at.field("name"));
    let rules = at.field("rules");
    if causes.at_most(&rules, hook.rules.len(), limits::RULES_MAX) {
        let each = hook.rules.iter().enumerate();
        each.for_each(|(index, rule)| matching::rule_with_operations(causes, rule, &rules.index(index)));
    }
    causes.one_of(&at.field("failurePolicy"), hook.failure_policy, &FAILURE_POLICIES);
    causes.one_of(&at.field("matchPolicy"), hook.match_policy, &MATCH_POLICIES);
    if let Some(policy) = hook.reinvocation_policy {
        causes.one_of(&at.field("reinvocationPolicy"), policy, &REINVOCATION_POLICIES);
    }
    if hook.side_effects.is_empty() {
        causes.required(&at.field("sideEffects"), "must specify one of None, NoneOnDryRun");
    } else {
        causes.one_of(&at.field("sideEffects"), hook.side_effects, &SIDE_EFFECTS);
    }
    if let Some(seconds) = hook.timeout_seconds.filter(|seconds| !TIMEOUT_SECONDS.contains(seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        causes.invalid(&at.field("timeoutSeconds"), seconds, why);
    }
    for (field, selector) in [("namespaceSelector", hook.namespace_selector), ("objectSelector", hook.object_selector)]
    {
        selector.into_iter().for_each(|selector| meta::selector(causes, selector, &at.field(field)));
    }
    client_config(causes, hook.client_config, &at.field("clientConfig"));
    conditions(causes, hook.conditions, &Scope::of_webhooks(), &at.field("matchConditions"));
    review_versions(causes, hook.review_versions, &at.field("admissionReviewVersions"));
}

fn qualified_name(causes: &mut Causes, name: &str, at: &Path<'_>) {
    causes.required_syntax(at, name, names::dns_subdomain);
    if !name.is_empty() && name.split('.').count() < NAME_PARTS_MIN {
        causes.invalid(at, name, "should be a domain with at least three segments separated by dots");
    }
}

fn client_config(causes: &mut Causes, config: Option<&WebhookClientConfig>, at: &Path<'_>) {
    let none = WebhookClientConfig::default();
    let config = config.unwrap_or(&none);
    match (&config.url, &config.service) {
        (Some(url), None) => self::url(causes, url, &at.field("url")),
        (None, Some(service)) => self::service(causes, service, &at.field("service")),
        (Some(_), Some(_)) | (None, None) => causes.required(at, "exactly one of url or service is required"),
    }
    ca_bundle(causes, &config.ca_bundle, &at.field("caBundle"));
}

fn url(causes: &mut Causes, text: &str, at: &Path<'_>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let Some((scheme, rest)) = text.split_once("://") else {
        return causes.invalid(at, text, format_args!("'https' is the only allowed URL scheme{FORM}"));
    };
    if scheme != "https" {
        causes.invalid(at, scheme, format_args!("'https' is the only allowed URL scheme{FORM}"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        causes.invalid(at, "", format_args!("host must be specified{FORM}"));
    }
    if authority.contains('@') {
        causes.invalid(at, "", "user information is not permitted in the URL");
    }
    if let Some((_, fragment)) = rest.split_once('#') {
        causes.invalid(at, fragment, "fragments are not permitted in the URL");
    }
    if let Some((_, query)) = rest.split('#').next().unwrap_or_default().split_once('?') {
        causes.invalid(at, query, "query parameters are not permitted in the URL");
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    if !is_host(host) || text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        causes.invalid(at, text, format_args!("url must be a valid URL{FORM}"));
    }
}

/// A name or an address, that of IPv6 in brackets, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("", port),
        Some(_) => return false,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    host.bytes().all(is_of_name) && is_port
}

fn service(causes: &mut Causes, service: &ServiceReference, at: &Path<'_>) {
    for (field, value) in [("name", &service.name), ("namespace", &service.namespace)] {
        causes.required_syntax(&at.field(field), value, names::dns_label);
    }
    causes.port(&at.field("port"), service.port.unwrap_or(DEFAULT_PORT));
    let path = service.path.as_deref().unwrap_or_default();
    if matches!(path, "" | "/") {
        return;
    }
    let at = at.field("path");
    let Some(inside) = path.strip_prefix('/') else { return causes.invalid(&at, path, "must start with a '/'") };
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    for (index, step) in inside.split('/').enumerate() {
        if step.is_empty() {
            causes.invalid(&at, path, format_args!("segment[{index}] may not be empty"));
        } else {
            let wrong = names::dns_subdomain(step);
            wrong.iter().for_each(|why| causes.invalid(&at, path, format_args!("segment[{index}]: {why}")));
        }
    }
}

/// Whatever stands in it must be certificates. What they say is looked at when the webhook is called.
fn ca_bundle(causes: &mut Causes, bundle: &[u8], at: &Path<'_>) {
    if bundle.len() > CA_BUNDLE_BYTES_MAX {
        causes.too_long(at, CA_BUNDLE_BYTES_MAX);
    } else if !bundle.is_empty() {
        let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(bundle).collect();
        if !found.is_ok_and(|found| !found.is_empty()) {
            causes.invalid_as(at, "unable to load root certificates: unable to parse bytes as PEM block");
        }
    }
}

fn review_versions(causes: &mut Causes, versions: &[String], at: &Path<'_>) {
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        return causes.required(at, &format!("must specify one of {known}"));
    }
    if !causes.at_most(at, versions.len(), limits::SMALL_LIST_MAX) {
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions[..index].contains(version) {
            causes.invalid(&at.index(index), version, "duplicate version");
        } else {
            causes.syntax(&at.index(index), version, names::dns_1035_label);
        }
    }
    if !versions.iter().any(|version| REVIEW_VERSIONS.contains(&version.as_str())) {
        causes.invalid(at, versions, format_args!("must include at least one of {known}"));
    }
}
