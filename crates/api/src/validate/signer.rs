//! Names of signers, such as `example.com/house`.

use super::{
    causes::{Causes, Path},
    names::{LABEL_BYTES_MAX, SUBDOMAIN_BYTES_MAX, dns_label, dns_subdomain},
};

/// The longest name: a domain, and a namespace with a name in it, as Kubernetes has it.
const BYTES_MAX: usize = SUBDOMAIN_BYTES_MAX + 1 + LABEL_BYTES_MAX + 1 + SUBDOMAIN_BYTES_MAX;

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
