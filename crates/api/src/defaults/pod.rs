//! Defaults of a Pod's spec, alone or in a template.

use super::{number, text};
use crate::{
    core_v1::{
        Container, ContainerPort, EnvVar, HttpGetAction, LifecycleHandler, ObjectFieldSelector, PodSpec, Probe,
        Toleration, Volume, VolumeProjection, VolumeSource,
    },
    well_known::{DEFAULT_SCHEDULER, DEFAULT_SERVICE_ACCOUNT, NOT_READY_TAINT, UNREACHABLE_TAINT},
};

/// Seconds between asking a container to stop and stopping it.
pub(crate) const TERMINATION_GRACE_PERIOD_SECONDS: i64 = 30;
/// Seconds that a Pod stays on a node that is not ready or does not answer.
const TOLERATION_SECONDS: i64 = 300;
/// Where names are looked up: the cluster first.
pub(crate) const DNS_POLICY: &str = "ClusterFirst";
/// Where a container leaves a message when it ends.
pub(crate) const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
/// Whether the message comes from there or also from the log.
pub(crate) const TERMINATION_MESSAGE_POLICY: &str = "File";
/// The mode of files in volumes: 0644.
const FILE_MODE: i32 = 0o644;
/// Seconds for which a service-account token is valid.
const TOKEN_EXPIRATION_SECONDS: i64 = 3600;
/// The taints that every Pod tolerates for [`TOLERATION_SECONDS`].
const TOLERATED: [&str; 2] = [NOT_READY_TAINT, UNREACHABLE_TAINT];

/// What holds for Pods and templates.
pub(crate) fn spec(spec: &mut PodSpec) {
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.dns_policy, DNS_POLICY);
    text(&mut spec.scheduler_name, DEFAULT_SCHEDULER);
    spec.termination_grace_period_seconds.get_or_insert(TERMINATION_GRACE_PERIOD_SECONDS);
    spec.security_context.get_or_insert_default();
    account(spec, "");
    spec.volumes.iter_mut().for_each(volume);
    spec.init_containers.iter_mut().chain(&mut spec.containers).for_each(container);
}

/// What Kubernetes fills in for Pods but not for the templates that they are made from.
pub(crate) fn only_of_pods(spec: &mut PodSpec) {
    account(spec, DEFAULT_SERVICE_ACCOUNT);
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        let resources = container.resources.get_or_insert_default();
        for (name, limit) in &resources.limits {
            resources.requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
    for key in TOLERATED {
        let covers = |toleration: &Toleration| {
            let effect = toleration.effect.is_empty() || toleration.effect == "NoExecute";
            effect && (toleration.key.is_empty() || toleration.key == key)
        };
        if !spec.tolerations.iter().any(covers) {
            spec.tolerations.push(tolerated_for_a_while(key));
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both always say the same.
fn account(spec: &mut PodSpec, default: &str) {
    text(&mut spec.service_account_name, &spec.service_account);
    text(&mut spec.service_account_name, default);
    spec.service_account.clone_from(&spec.service_account_name);
}

fn tolerated_for_a_while(key: &str) -> Toleration {
    Toleration {
        key: key.to_owned(),
        operator: "Exists".to_owned(),
        value: String::new(),
        effect: "NoExecute".to_owned(),
        toleration_seconds: Some(TOLERATION_SECONDS),
    }
}

fn container(container: &mut Container) {
    text(&mut container.image_pull_policy, pull_policy(&container.image));
    text(&mut container.termination_message_path, TERMINATION_MESSAGE_PATH);
    text(&mut container.termination_message_policy, TERMINATION_MESSAGE_POLICY);
    container.resources.get_or_insert_default();
    container.ports.iter_mut().for_each(|port: &mut ContainerPort| text(&mut port.protocol, "TCP"));
    container.env.iter_mut().for_each(env);
    let probes = [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(|it| probe(it));
    let lifecycle = container.lifecycle.iter_mut();
    lifecycle.flat_map(|hooks| [&mut hooks.post_start, &mut hooks.pre_stop]).flatten().for_each(hook);
}

/// `Always` for images whose name does not fix their content for long: no tag, `latest`, or a file that may be built anew.
fn pull_policy(image: &str) -> &'static str {
    if image.starts_with("file:") {
        return "Always";
    }
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn env(variable: &mut EnvVar) {
    let from = variable.value_from.as_mut();
    field_ref(from.and_then(|from| from.field_ref.as_mut()));
}

fn field_ref(selector: Option<&mut ObjectFieldSelector>) {
    if let Some(selector) = selector {
        text(&mut selector.api_version, "v1");
    }
}

fn probe(probe: &mut Probe) {
    number(&mut probe.timeout_seconds, 1);
    number(&mut probe.period_seconds, 10);
    number(&mut probe.success_threshold, 1);
    number(&mut probe.failure_threshold, 3);
    if let Some(handler) = &mut probe.handler {
        handler.http_get.iter_mut().for_each(http_get);
        handler.grpc.iter_mut().for_each(|grpc| {
            grpc.service.get_or_insert_default();
        });
    }
}

fn hook(handler: &mut LifecycleHandler) {
    handler.http_get.iter_mut().for_each(http_get);
}

fn http_get(action: &mut HttpGetAction) {
    text(&mut action.path, "/");
    text(&mut action.scheme, "HTTP");
}

fn volume(volume: &mut Volume) {
    let source = volume.volume_source.get_or_insert_default();
    if *source == VolumeSource::default() {
        source.empty_dir = Some(Default::default());
    }
    if let Some(secret) = &mut source.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config_map) = &mut source.config_map {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut source.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        downward.items.iter_mut().for_each(|item| field_ref(item.field_ref.as_mut()));
    }
    if let Some(projected) = &mut source.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        projected.sources.iter_mut().for_each(projection);
    }
}

fn projection(source: &mut VolumeProjection) {
    if let Some(downward) = &mut source.downward_api {
        downward.items.iter_mut().for_each(|item| field_ref(item.field_ref.as_mut()));
    }
    if let Some(token) = &mut source.service_account_token {
        token.expiration_seconds.get_or_insert(TOKEN_EXPIRATION_SECONDS);
    }
}
