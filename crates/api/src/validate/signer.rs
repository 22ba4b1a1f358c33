//! Names of signers, such as `example.com/house`.

use std::collections::BTreeMap;

use super::{
    causes::{Causes, Path},
    meta,
    names::{LABEL_BYTES_MAX, SUBDOMAIN_BYTES_MAX, dns_label, dns_subdomain},
};

/// The longest name: a domain, and a namespace with a name in it, as Kubernetes has it.
const BYTES_MAX: usize = SUBDOMAIN_BYTES_MAX + 1 + LABEL_BYTES_MAX + 1 + SUBDOMAIN_BYTES_MAX;

/// The shortest life that may be asked for a Pod's certificate, in seconds: Kubernetes' own.
pub(crate) const LIFE_MIN_S: i32 = 3600;
/// The longest one, in seconds: Kubernetes' own.
const LIFE_MAX_S: i32 = 91 * 24 * 3600;
/// The same for signers of `kubernetes.io`.
const KUBERNETES_LIFE_MAX_S: i32 = 24 * 3600;

/// The longest life of a Pod's certificate that may be asked of a signer, in seconds.
pub(crate) fn life_max_s(signer: &str) -> i32 {
    let domain = signer.split('/').next().unwrap_or_default();
    let is_kubernetes = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    if is_kubernetes { KUBERNETES_LIFE_MAX_S } else { LIFE_MAX_S }
}

/// Judges what the author of a Pod wants a signer to know: keys have a domain.
pub(crate) fn annotations(causes: &mut Causes, annotations: &BTreeMap<String, String>, at: &Path<'_>) {
    meta::annotations(causes, annotations, at);
    for key in annotations.keys().filter(|key| !key.contains('/')) {
        causes.invalid(at, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
}

/// Judges the name of a signer.
pub(crate) fn name(causes: &mut Causes, name: &str, at: &Path<'_>) {
    if name.is_empty() {
        return causes.required(at, "");
    }
    let Some((domain, path)) = name.split_once('/').filter(|(_, path)| !path.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return causes.invalid(at, name, why);
    };
    if domain.len() > SUBDOMAIN_BYTES_MAX {
        causes.too_long(at, SUBDOMAIN_BYTES_MAX);
    }
    labels(causes, domain, dns_label, at);
    if !domain.contains('.') {
        causes.invalid(at, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(causes, path, dns_subdomain, at);
    if name.len() > BYTES_MAX {
        causes.too_long(at, BYTES_MAX);
    }
}

/// Judges labels between dots, as far as the first wrong one.
fn labels(causes: &mut Causes, text: &str, check: super::names::Syntax, at: &Path<'_>) {
    let wrong = text.split('.').map(|label| (label, check(label))).find(|(_, wrong)| !wrong.is_empty());
    for (label, why) in wrong.into_iter().flat_map(|(label, wrong)| wrong.into_iter().map(move |why| (label, why))) {
        causes.invalid(at, text, format_args!("validating label {label:?}: {why}"));
    }
}
