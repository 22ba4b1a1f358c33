//! Containers.

use std::collections::BTreeSet;

use super::{
    PROTOCOLS,
    causes::{Causes, Path},
    env,
    limits::{CONTAINER_PORTS_MAX, VOLUMES_MAX, WORDS_MAX},
    names, probe, resources, volume,
};
use crate::core_v1::{Container, ContainerPort, SecurityContext, VolumeMount};

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn container(causes: &mut Causes, container: &Container, volumes: &BTreeSet<&str>, at: &Path<'_>) {
    causes.required_syntax(&at.field("name"), &container.name, names::dns_label);
    image(causes, &container.image, &at.field("image"));
    causes.one_of(&at.field("imagePullPolicy"), &container.image_pull_policy, &PULL_POLICIES);
    let policies = ["FallbackToLogsOnError", "File"];
    causes.one_of(&at.field("terminationMessagePolicy"), &container.termination_message_policy, &policies);
    causes.at_most(&at.field("command"), container.command.len(), WORDS_MAX);
    causes.at_most(&at.field("args"), container.args.len(), WORDS_MAX);
    ports(causes, &container.ports, &at.field("ports"));
    env::env(causes, container, at);
    mounts(causes, &container.volume_mounts, volumes, &at.field("volumeMounts"));
    if let Some(found) = &container.resources {
        resources::requirements(causes, found, &at.field("resources"));
    }
    probe::probes(causes, container, at);
    if let Some(context) = &container.security_context {
        security(causes, context, &at.field("securityContext"));
    }
    if !container.volume_devices.is_empty() {
        let why = "a Wasm sandbox has no block devices; mount a volume with `volumeMounts`";
        causes.forbidden(&at.field("volumeDevices"), why);
    }
    if !container.restart_policy_rules.is_empty() {
        causes.forbidden(&at.field("restartPolicyRules"), "not supported; the Pod's `restartPolicy` decides alone");
    }
}

fn image(causes: &mut Causes, image: &str, at: &Path<'_>) {
    if image.is_empty() {
        causes.required(at, "");
    } else if image.trim() != image {
        causes.invalid(at, image, "must not have leading or trailing whitespace");
    } else if image.contains(char::is_whitespace) {
        causes.invalid(at, image, "must be the name of an image, such as web:1 or registry.example.com/team/web:1");
    }
}

fn ports(causes: &mut Causes, ports: &[ContainerPort], at: &Path<'_>) {
    if !causes.at_most(at, ports.len(), CONTAINER_PORTS_MAX) {
        return;
    }
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        if !port.name.is_empty() {
            causes.syntax(&at.field("name"), &port.name, names::port_name);
            if ports[..index].iter().any(|other| other.name == port.name) {
                causes.duplicate(&at.field("name"), &port.name);
            }
        }
        if port.container_port == 0 {
            causes.required(&at.field("containerPort"), "");
        } else {
            causes.port(&at.field("containerPort"), port.container_port);
        }
        if port.host_port != 0 {
            causes.port(&at.field("hostPort"), port.host_port);
        }
        causes.required_one_of(&at.field("protocol"), &port.protocol, &PROTOCOLS);
    }
}

fn mounts(causes: &mut Causes, mounts: &[VolumeMount], volumes: &BTreeSet<&str>, at: &Path<'_>) {
    if !causes.at_most(at, mounts.len(), VOLUMES_MAX) {
        return;
    }
    for (index, mount) in mounts.iter().enumerate() {
        let at = at.index(index);
        self::mount(causes, mount, volumes, &at);
        if mounts[..index].iter().any(|other| other.mount_path == mount.mount_path) {
            causes.invalid(&at.field("mountPath"), &mount.mount_path, "must be unique");
        }
    }
}

fn mount(causes: &mut Causes, mount: &VolumeMount, volumes: &BTreeSet<&str>, at: &Path<'_>) {
    if mount.name.is_empty() {
        causes.required(&at.field("name"), "");
    } else if !volumes.contains(mount.name.as_str()) {
        causes.not_found(&at.field("name"), &mount.name);
    }
    if mount.mount_path.is_empty() {
        causes.required(&at.field("mountPath"), "");
    } else if mount.mount_path.contains(':') {
        causes.invalid(&at.field("mountPath"), &mount.mount_path, "must not contain ':'");
    }
    if !mount.sub_path.is_empty() {
        volume::local_path(causes, &mount.sub_path, &at.field("subPath"));
    }
    if !mount.sub_path_expr.is_empty() {
        volume::local_path(causes, &mount.sub_path_expr, &at.field("subPathExpr"));
        if !mount.sub_path.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            causes.invalid(&at.field("subPathExpr"), &mount.sub_path_expr, why);
        }
    }
    if let Some(propagation) = &mount.mount_propagation {
        causes.one_of(&at.field("mountPropagation"), propagation, &["None", "HostToContainer"]);
    }
}

/// Rights that a sandbox never gives: a program that asks for them would not work as meant.
fn security(causes: &mut Causes, context: &SecurityContext, at: &Path<'_>) {
    if context.privileged == Some(true) {
        let why = "a Wasm sandbox cannot be privileged; remove the field, and mount what the program needs as volumes";
        causes.forbidden(&at.field("privileged"), why);
    }
    let capabilities = context.capabilities.as_ref();
    if let Some(first) = capabilities.and_then(|capabilities| capabilities.add.first()) {
        let why = format!("a Wasm sandbox has no Linux capabilities, so {first} cannot be added; remove the list");
        causes.forbidden(&at.field("capabilities").field("add"), why);
    }
    if context.proc_mount.as_deref() == Some("Unmasked") {
        causes.forbidden(&at.field("procMount"), "a Wasm sandbox has no /proc; remove the field");
    }
    if context.windows_options.as_ref().is_some_and(|options| options.host_process == Some(true)) {
        causes.forbidden(&at.field("windowsOptions").field("hostProcess"), "a Wasm sandbox is no process of its host");
    }
}
