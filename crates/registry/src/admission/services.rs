//! Where a webhook behind a Service answers: the ready endpoints of its port.

use api::{Key, Kind, core_v1::Service};
use store::View;

use crate::{Endpoint, read::ready};

/// The most endpoints that are told to whoever calls: enough to pass over some that have just gone.
const ENDPOINTS_MAX: usize = 16;

/// The endpoints of a Service's port. `turn` says with which of them to begin.
///
/// # Errors
/// Why there are none, in Kubernetes' words.
pub(super) fn endpoints(
    view: &View,
    namespace: &str,
    name: &str,
    port: i32,
    turn: usize,
) -> Result<Vec<Endpoint>, String> {
    let key = Key::namespaced(Kind::Service, namespace, name);
    let record = view.get(&key).ok_or_else(|| format!("service {name:?} not found"))?;
    let object = record.object();
    let spec = object.get::<Service>().and_then(|service| service.spec.as_ref());
    let spec = spec.ok_or_else(|| format!("service {name:?} not found"))?;
    if spec.r#type == "ExternalName" {
        return Err(format!("unsupported service type {:?}", spec.r#type));
    }
    let wanted = spec.ports.iter().find(|known| known.port == port);
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let mut found = ready(view, &key, &wanted.name);
    if found.is_empty() {
        return Err(format!("no endpoints available for service {name:?}"));
    }
    let first = turn % found.len();
    found.rotate_left(first);
    found.truncate(ENDPOINTS_MAX);
    Ok(found)
}
