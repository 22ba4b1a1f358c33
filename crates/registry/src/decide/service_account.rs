//! A new Pod and the ServiceAccount that it names: Kubernetes' admission plugin of that name, but for tokens.

use api::{Error, Key, Kind, Object, core_v1::ServiceAccount, well_known::DEFAULT_SERVICE_ACCOUNT};

use super::{Decider, forbidden};

impl Decider<'_> {
    /// Gives a new Pod what its account has for it; one that names an account which is not there is refused.
    ///
    /// `default` may be on its way: a controller makes it after the namespace. Kubernetes refuses Pods until then; here a
    /// manifest may hold a namespace and its Pods.
    pub(super) fn take_account(&self, key: &Key, object: &mut Object) -> Result<(), Error> {
        let Object::Pod(pod) = object else { return Ok(()) };
        let spec = pod.spec.get_or_insert_default();
        let name = spec.service_account_name.as_str();
        let account = Key::namespaced(Kind::ServiceAccount, key.namespace.clone(), name);
        let Some(record) = self.view.get(&account) else {
            return if name == DEFAULT_SERVICE_ACCOUNT { Ok(()) } else { Err(missing(key, name)) };
        };
        let found = record.object();
        if let Some(account) = found.get::<ServiceAccount>().filter(|_| spec.image_pull_secrets.is_empty()) {
            spec.image_pull_secrets.clone_from(&account.image_pull_secrets);
        }
        Ok(())
    }
}

fn missing(pod: &Key, name: &str) -> Error {
    let namespace = &pod.namespace;
    forbidden(
        pod,
        format_args!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"),
    )
}
