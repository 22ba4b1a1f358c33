//! Who serves the versions of the API: an APIService for each that the masters serve, made where it is missing, and of all of
//! them whether they are served.
//!
//! Masters ask the backends behind Services themselves, and tell how these answer. What the state says is looked at first: a
//! Service that is not there, or has nobody behind its port.

use api::{
    Key, Timestamp,
    apiregistration_v1::{ApiService, ApiServiceSpec, ServiceReference},
    conditions,
    core_v1::Service,
    discovery_v1::EndpointSlice,
    kinds::{
        Resource as _,
        apiregistration::api_service::{AVAILABLE, PORT, name_of},
    },
    meta_v1::ObjectMeta,
    reviews,
    well_known::SERVICE_NAME_LABEL,
};

use crate::{
    plan::Plan,
    world::{Backends, Shift, World},
};

/// Says that an APIService was made by the masters, as Kubernetes' own do.
const MANAGED_LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
const MANAGED: &str = "onstart";

/// The masters' groups by priority, as Kubernetes has them; the core group comes before.
const GROUPS: [(&str, i32); 12] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("rbac.authorization.k8s.io", 17_000),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("coordination.k8s.io", 16_500),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
    ("storagemigration.k8s.io", 15_800),
];

/// Of the group of APIServices itself there is none.
const OWN_GROUP: &str = "apiregistration.k8s.io";

/// The priority of a group that has none of its own, and of versions.
const GROUP_PRIORITY: i32 = 15_700;
const VERSION_PRIORITY: i32 = 15;

/// Whether a version is served, why, in one word and in a sentence.
type Judgement = (bool, &'static str, String);

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(answers) = world.backends() else { return plan };
    let Some(present) = world.get::<ApiService>(key) else {
        if let Some(wanted) = locals().find(|local| local.key() == *key) {
            plan.create(wanted);
        }
        return plan;
    };
    let is_leaving = present.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some());
    let Some((holds, reason, message)) = judge(world, present, answers).filter(|_| !is_leaving) else { return plan };
    let mut status = present.status.clone().unwrap_or_default();
    if conditions::set(&mut status.conditions, conditions::new(AVAILABLE, holds.into(), reason, &message, now)) {
        plan.update_status(ApiService { status: Some(status), ..present.clone() });
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.key_of::<ApiService>().is_some() {
        look(shift.key.clone());
    }
    let service = shift.key_of::<Service>().map(|key| (key.namespace.to_string(), key.name.to_string()));
    let behind: Vec<(String, String)> = service.into_iter().chain(shift.states().filter_map(behind)).collect();
    if behind.is_empty() {
        return;
    }
    let is_concerned = |found: &&ApiService| {
        let service = found.spec.as_ref().and_then(|spec| spec.service.as_ref());
        service.is_some_and(|to| behind.iter().any(|(space, name)| (space, name) == (&to.namespace, &to.name)))
    };
    world.all::<ApiService>().filter(is_concerned).for_each(|found| look(found.key()));
}

/// Those that there are to be at least, and all that there are.
pub(crate) fn keys(world: &World) -> impl Iterator<Item = Key> {
    locals().map(|local| local.key()).chain(world.all::<ApiService>().map(|found| found.key()))
}

/// The Service for which a slice lists endpoints.
fn behind(slice: &EndpointSlice) -> Option<(String, String)> {
    let meta = slice.metadata.as_ref()?;
    Some((meta.namespace.clone(), meta.labels.get(SERVICE_NAME_LABEL)?.clone()))
}

/// One for each version that the masters serve.
fn locals() -> impl Iterator<Item = ApiService> {
    let mut versions: Vec<(&str, &str)> = reviews::served().map(|info| (info.group, info.version)).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.into_iter().filter(|(group, _)| *group != OWN_GROUP).map(|(group, version)| local(group, version))
}

fn local(group: &str, version: &str) -> ApiService {
    let known = GROUPS.iter().find(|(known, _)| *known == group);
    let version_priority = if group.is_empty() { 1 } else { VERSION_PRIORITY };
    let spec = ApiServiceSpec {
        group: group.to_owned(),
        version: version.to_owned(),
        group_priority_minimum: known.map_or(GROUP_PRIORITY, |(_, priority)| *priority),
        version_priority,
        ..ApiServiceSpec::default()
    };
    let metadata = ObjectMeta {
        name: name_of(group, version),
        labels: [(MANAGED_LABEL.to_owned(), MANAGED.to_owned())].into(),
        ..ObjectMeta::default()
    };
    ApiService { metadata: Some(metadata), spec: Some(spec), status: None }
}

/// What is known of an APIService; nothing if its backend was not asked yet.
fn judge(world: &World, found: &ApiService, answers: &Backends) -> Option<Judgement> {
    let Some(to) = found.spec.as_ref().and_then(|spec| spec.service.as_ref()) else {
        return Some((true, "Local", "Local APIServices are always available".to_owned()));
    };
    if let Some((reason, message)) = missing(world, to) {
        return Some((false, reason, message));
    }
    Some(match answers.get(found.name())? {
        Ok(()) => (true, "Passed", "all checks passed".to_owned()),
        Err(why) => (false, "FailedDiscoveryCheck", why.clone()),
    })
}

/// What a backend lacks according to the state.
fn missing(world: &World, to: &ServiceReference) -> Option<(&'static str, String)> {
    let (name, namespace) = (&to.name, &to.namespace);
    let Some(service) = world.named::<Service>(namespace, name) else {
        return Some(("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let spec = service.spec.as_ref().filter(|spec| spec.r#type == "ClusterIP")?;
    let number = to.port.unwrap_or(PORT);
    let Some(port) = spec.ports.iter().find(|port| port.port == number) else {
        return Some((
            "ServicePortError",
            format!("service/{name} in {namespace:?} is not listening on port {number}"),
        ));
    };
    let is_its = |slice: &&EndpointSlice| behind(slice).is_some_and(|(_, service)| service == *name);
    let slices: Vec<&EndpointSlice> = world.in_namespace::<EndpointSlice>(namespace).filter(is_its).collect();
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(("EndpointsNotFound", message));
    }
    if slices.iter().any(|slice| is_ready(slice, &port.name)) {
        return None;
    }
    let port = &port.name;
    let message =
        format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port:?}");
    Some(("MissingEndpoints", message))
}

fn is_ready(slice: &EndpointSlice, port: &str) -> bool {
    let has_port = slice.ports.iter().any(|known| known.name() == port && known.port.is_some());
    let mut ready = slice.endpoints.iter().map(|endpoint| endpoint.conditions.and_then(|known| known.ready));
    has_port && ready.any(|ready| ready.unwrap_or(true))
}

#[cfg(test)]
mod tests;
