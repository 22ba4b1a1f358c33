//! What is accepted and kept although it means nothing to a Wasm Pod: said aloud, never silently.
//!
//! Only what changes nothing for the worse by being ignored stands here. What would is refused, see [`crate::validate`].

use std::fmt;

use crate::{
    Object,
    core_v1::{
        Affinity, Container, DownwardApiVolumeFile, KeyToPath, PodAffinityTerm, PodSecurityContext, PodSpec,
        PodTemplateSpec, ResourceRequirements, SecurityContext, VolumeMount, VolumeProjection, VolumeSource,
    },
    defaults::pod::{DNS_POLICY, TERMINATION_MESSAGE_PATH, TERMINATION_MESSAGE_POLICY},
    well_known::{DEFAULT_SCHEDULER, PREEMPT_LOWER},
};

const NO_USERS: &str = "a sandbox has no users and groups";
const NO_DISK_LIMIT: &str = "the space of a volume is not limited; the disk of the node is all there is";
const NO_KERNEL: &str = "a sandbox sees nothing of the node's kernel, so there is nothing to confine";
const NO_PROCESSES: &str = "a sandbox has no processes";
const NO_TERMINAL: &str = "a sandbox has no terminal, and its input ends when it is asked to stop";
const NO_SCHEDULING: &str = "the scheduler does not consider it yet";
const NO_LABEL_KEYS: &str = "name the labels in labelSelector";
const NO_PREEMPTION: &str = "no Pod takes the place of another yet; it waits before those of a lower priority";
const NO_DNS: &str = "names are resolved by the sandbox itself: Services by name, all others as the node does";
const NO_LINKS: &str = "no variables are set for Services; find them by name, such as web or web.NAMESPACE";
const NO_HOST_NAMES: &str = "a sandbox has no host name";
const NO_NAME_ALONE: &str = "it names a Pod below a headless Service only together with hostname";
const NO_HOST_PORTS: &str = "no port of the node is opened; reach the Pod through a Service";
const NO_HOOKS: &str = "life-cycle hooks are not run; handle start and stop in the program";

/// One sentence for each field of the object that will have no effect: `spec.hostAliases: ignored: …`.
#[must_use]
pub fn of(object: &Object) -> Vec<String> {
    let mut found = Warnings::default();
    object.warn(&mut found);
    found.0
}

/// The sentences so far.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    /// One line a field: its name, whether it is set to something that would matter elsewhere, why it does not here.
    pub(crate) fn ignored<const N: usize>(&mut self, at: impl fmt::Display, fields: [(&str, bool, &str); N]) {
        let set = fields.into_iter().filter(|(_, set, _)| *set);
        self.0.extend(set.map(|(field, _, why)| format!("{at}.{field}: ignored: {why}")));
    }

    /// A sentence of its own.
    pub(crate) fn say(&mut self, sentence: String) {
        self.0.push(sentence);
    }

    /// What a template of Pods says in vain.
    pub(crate) fn template(&mut self, template: Option<&PodTemplateSpec>) {
        if let Some(spec) = template.and_then(|template| template.spec.as_ref()) {
            self.pod_spec(spec, "spec.template.spec");
        }
    }

    /// What the spec of a Pod at a path says in vain.
    pub(crate) fn pod_spec(&mut self, spec: &PodSpec, at: &str) {
        self.identity(spec, at);
        self.scheduling(spec, at);
        if let Some(context) = &spec.security_context {
            self.pod_security(context, at);
        }
        for (index, volume) in spec.volumes.iter().enumerate() {
            volume.volume_source.iter().for_each(|source| self.volume(source, &format!("{at}.volumes[{index}]")));
        }
        for (field, containers) in [("initContainers", &spec.init_containers), ("containers", &spec.containers)] {
            for (index, container) in containers.iter().enumerate() {
                self.container(container, &format!("{at}.{field}[{index}]"));
            }
        }
    }

    fn identity(&mut self, spec: &PodSpec, at: &str) {
        let dns_policy = !matches!(spec.dns_policy.as_str(), "" | DNS_POLICY);
        self.ignored(
            at,
            [
                ("dnsPolicy", dns_policy, NO_DNS),
                ("dnsConfig", spec.dns_config.is_some(), NO_DNS),
                ("hostAliases", !spec.host_aliases.is_empty(), NO_DNS),
                ("hostname", !spec.hostname.is_empty() && spec.subdomain.is_empty(), NO_HOST_NAMES),
                ("subdomain", !spec.subdomain.is_empty() && spec.hostname.is_empty(), NO_NAME_ALONE),
                ("setHostnameAsFQDN", spec.set_hostname_as_fqdn == Some(true), NO_HOST_NAMES),
                ("hostnameOverride", spec.hostname_override.is_some(), NO_HOST_NAMES),
                ("enableServiceLinks", spec.enable_service_links == Some(true), NO_LINKS),
                ("shareProcessNamespace", spec.share_process_namespace == Some(true), NO_PROCESSES),
                ("hostUsers", spec.host_users == Some(true), NO_USERS),
                ("runtimeClassName", spec.runtime_class_name.is_some(), "there is one runtime, the Wasm sandbox"),
                ("os", spec.os.is_some(), "a Wasm module runs on any operating system"),
            ],
        );
    }

    fn scheduling(&mut self, spec: &PodSpec, at: &str) {
        if !matches!(spec.scheduler_name.as_str(), "" | DEFAULT_SCHEDULER) {
            let name = &spec.scheduler_name;
            self.0.push(format!(
                "{at}.schedulerName: no scheduler {name:?} is part of the cluster: the Pod waits until one binds it to a node"
            ));
        }
        // Every Pod gets a policy; where no other is less important, nothing is missing.
        let may_preempt = spec.preemption_policy.as_deref() == Some(PREEMPT_LOWER)
            && spec.priority.is_none_or(|priority| priority > 0);
        let readiness = "readiness is what the containers' probes say";
        let pod_resources = "amounts of the whole Pod are not considered; set them on the containers";
        self.ignored(
            at,
            [
                ("preemptionPolicy", may_preempt, NO_PREEMPTION),
                ("schedulingGroup", spec.scheduling_group.is_some(), NO_SCHEDULING),
                ("readinessGates", !spec.readiness_gates.is_empty(), readiness),
                ("evictionResponders", !spec.eviction_responders.is_empty(), "evictions ask nobody"),
                ("resources", spec.resources.is_some(), pod_resources),
            ],
        );
        for (index, limit) in spec.topology_spread_constraints.iter().enumerate() {
            self.ignored(
                format_args!("{at}.topologySpreadConstraints[{index}]"),
                [
                    ("minDomains", limit.min_domains.is_some(), NO_SCHEDULING),
                    ("nodeAffinityPolicy", ignores(limit.node_affinity_policy.as_ref()), "it is always Honor"),
                    ("nodeTaintsPolicy", honours(limit.node_taints_policy.as_ref()), "it is always Ignore"),
                    ("matchLabelKeys", !limit.match_label_keys.is_empty(), NO_LABEL_KEYS),
                ],
            );
        }
        if let Some(affinity) = &spec.affinity {
            self.affinity(affinity, &format!("{at}.affinity"));
        }
    }

    /// Of affinities the scheduler considers all but the labels that a Pod's own would add to a selector.
    fn affinity(&mut self, affinity: &Affinity, at: &str) {
        let (near, apart) = (affinity.pod_affinity.clone(), affinity.pod_anti_affinity.clone());
        let (near, apart) = (near.unwrap_or_default(), apart.unwrap_or_default());
        for (field, required, preferred) in [
            (
                "podAffinity",
                near.required_during_scheduling_ignored_during_execution,
                near.preferred_during_scheduling_ignored_during_execution,
            ),
            (
                "podAntiAffinity",
                apart.required_during_scheduling_ignored_during_execution,
                apart.preferred_during_scheduling_ignored_during_execution,
            ),
        ] {
            let must = "requiredDuringSchedulingIgnoredDuringExecution";
            for (index, term) in required.iter().enumerate() {
                self.affinity_term(term, format_args!("{at}.{field}.{must}[{index}]"));
            }
            let should = "preferredDuringSchedulingIgnoredDuringExecution";
            for (index, term) in preferred.iter().enumerate() {
                let place = format_args!("{at}.{field}.{should}[{index}].podAffinityTerm");
                term.pod_affinity_term.iter().for_each(|term| self.affinity_term(term, place));
            }
        }
    }

    fn affinity_term(&mut self, term: &PodAffinityTerm, at: impl fmt::Display) {
        self.ignored(
            at,
            [
                ("matchLabelKeys", !term.match_label_keys.is_empty(), NO_LABEL_KEYS),
                ("mismatchLabelKeys", !term.mismatch_label_keys.is_empty(), NO_LABEL_KEYS),
            ],
        );
    }

    fn pod_security(&mut self, context: &PodSecurityContext, at: &str) {
        self.ignored(
            format_args!("{at}.securityContext"),
            [
                ("runAsUser", context.run_as_user.is_some(), NO_USERS),
                ("runAsGroup", context.run_as_group.is_some(), NO_USERS),
                ("runAsNonRoot", context.run_as_non_root.is_some(), NO_USERS),
                ("fsGroup", context.fs_group.is_some(), NO_USERS),
                ("fsGroupChangePolicy", context.fs_group_change_policy.is_some(), NO_USERS),
                ("supplementalGroups", !context.supplemental_groups.is_empty(), NO_USERS),
                ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some(), NO_USERS),
                ("sysctls", !context.sysctls.is_empty(), NO_KERNEL),
                ("seLinuxOptions", context.se_linux_options.is_some(), NO_KERNEL),
                ("seLinuxChangePolicy", context.se_linux_change_policy.is_some(), NO_KERNEL),
                ("seccompProfile", context.seccomp_profile.is_some(), NO_KERNEL),
                ("appArmorProfile", context.app_armor_profile.is_some(), NO_KERNEL),
                ("windowsOptions", context.windows_options.is_some(), NO_KERNEL),
            ],
        );
    }

    fn container(&mut self, container: &Container, at: &str) {
        let path = !matches!(container.termination_message_path.as_str(), "" | TERMINATION_MESSAGE_PATH);
        let policy = !matches!(container.termination_message_policy.as_str(), "" | TERMINATION_MESSAGE_POLICY);
        let message = "the message is what the sandbox says of the end; the log has the rest";
        self.ignored(
            at,
            [
                (
                    "workingDir",
                    !container.working_dir.is_empty(),
                    "a sandbox has no working directory; use whole paths",
                ),
                ("terminationMessagePath", path, message),
                ("terminationMessagePolicy", policy, message),
                ("stdinOnce", container.stdin_once, NO_TERMINAL),
                ("tty", container.tty, NO_TERMINAL),
                ("resizePolicy", !container.resize_policy.is_empty(), "amounts are fixed while a container runs"),
            ],
        );
        container.resources.iter().for_each(|resources| self.resources(resources, at));
        for (index, port) in container.ports.iter().enumerate() {
            let host_ip = !port.host_ip.is_empty();
            let fields = [("hostPort", port.host_port != 0, NO_HOST_PORTS), ("hostIP", host_ip, NO_HOST_PORTS)];
            self.ignored(format_args!("{at}.ports[{index}]"), fields);
        }
        if let Some(hooks) = &container.lifecycle {
            let fields = [
                ("postStart", hooks.post_start.is_some(), NO_HOOKS),
                ("preStop", hooks.pre_stop.is_some(), NO_HOOKS),
                ("stopSignal", hooks.stop_signal.is_some(), "a sandbox knows no signals"),
            ];
            self.ignored(format_args!("{at}.lifecycle"), fields);
        }
        for (index, mount) in container.volume_mounts.iter().enumerate() {
            self.mount(mount, &format!("{at}.volumeMounts[{index}]"));
        }
        if let Some(context) = &container.security_context {
            self.security(context, at);
        }
    }

    fn resources(&mut self, resources: &ResourceRequirements, at: &str) {
        if resources.limits.contains_key("ephemeral-storage") {
            self.0.push(format!("{at}.resources.limits[ephemeral-storage]: ignored: {NO_DISK_LIMIT}"));
        }
    }

    fn volume(&mut self, source: &VolumeSource, at: &str) {
        if let Some(dir) = &source.empty_dir {
            let fields = [
                ("medium", dir.medium == "Memory", "files of a sandbox are kept on the node's disk"),
                ("sizeLimit", dir.size_limit.is_some(), NO_DISK_LIMIT),
                ("mode", dir.mode.is_some(), NO_USERS),
            ];
            self.ignored(format_args!("{at}.emptyDir"), fields);
        }
        if let Some(map) = &source.config_map {
            self.files(map.default_user, &map.items, &format!("{at}.configMap"));
        }
        if let Some(secret) = &source.secret {
            self.files(secret.default_user, &secret.items, &format!("{at}.secret"));
        }
        if let Some(downward) = &source.downward_api {
            self.ignored(
                format_args!("{at}.downwardAPI"),
                [("defaultUser", downward.default_user.is_some(), NO_USERS)],
            );
            self.downward(&downward.items, &format!("{at}.downwardAPI"));
        }
        if let Some(projected) = &source.projected {
            let user = projected.default_user.is_some();
            self.ignored(format_args!("{at}.projected"), [("defaultUser", user, NO_USERS)]);
            for (index, source) in projected.sources.iter().enumerate() {
                self.projection(source, &format!("{at}.projected.sources[{index}]"));
            }
        }
    }

    fn projection(&mut self, source: &VolumeProjection, at: &str) {
        if let Some(map) = &source.config_map {
            self.files(None, &map.items, &format!("{at}.configMap"));
        }
        if let Some(secret) = &source.secret {
            self.files(None, &secret.items, &format!("{at}.secret"));
        }
        if let Some(downward) = &source.downward_api {
            self.downward(&downward.items, &format!("{at}.downwardAPI"));
        }
        if let Some(token) = &source.service_account_token {
            self.ignored(format_args!("{at}.serviceAccountToken"), [("user", token.user.is_some(), NO_USERS)]);
        }
        if let Some(bundle) = &source.cluster_trust_bundle {
            self.ignored(format_args!("{at}.clusterTrustBundle"), [("user", bundle.user.is_some(), NO_USERS)]);
        }
        if let Some(certificate) = &source.pod_certificate {
            self.ignored(format_args!("{at}.podCertificate"), [("user", certificate.user.is_some(), NO_USERS)]);
        }
    }

    fn files(&mut self, default_user: Option<i64>, items: &[KeyToPath], at: &str) {
        self.ignored(at, [("defaultUser", default_user.is_some(), NO_USERS)]);
        for (index, item) in items.iter().enumerate() {
            self.ignored(format_args!("{at}.items[{index}]"), [("user", item.user.is_some(), NO_USERS)]);
        }
    }

    fn downward(&mut self, items: &[DownwardApiVolumeFile], at: &str) {
        for (index, item) in items.iter().enumerate() {
            self.ignored(format_args!("{at}.items[{index}]"), [("user", item.user.is_some(), NO_USERS)]);
        }
    }

    fn mount(&mut self, mount: &VolumeMount, at: &str) {
        let propagation = mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None");
        let no_mounts = "nothing is mounted below a volume";
        self.ignored(
            at,
            [
                ("mountPropagation", propagation, no_mounts),
                ("recursiveReadOnly", mount.recursive_read_only.is_some(), no_mounts),
                ("bindMountOptions", !mount.bind_mount_options.is_empty(), no_mounts),
            ],
        );
    }

    fn security(&mut self, context: &SecurityContext, at: &str) {
        // Dropped capabilities, forbidden escalation and a read-only root are what a sandbox has anyway: nothing to say.
        let escalation = context.allow_privilege_escalation == Some(true);
        let writable = context.read_only_root_filesystem == Some(false);
        self.ignored(
            format_args!("{at}.securityContext"),
            [
                ("runAsUser", context.run_as_user.is_some(), NO_USERS),
                ("runAsGroup", context.run_as_group.is_some(), NO_USERS),
                ("runAsNonRoot", context.run_as_non_root.is_some(), NO_USERS),
                ("allowPrivilegeEscalation", escalation, "a sandbox has no privileges to gain"),
                ("readOnlyRootFilesystem", writable, "a sandbox has no root file system; mount an emptyDir to write"),
                ("procMount", context.proc_mount.is_some(), "a sandbox has no /proc"),
                ("seLinuxOptions", context.se_linux_options.is_some(), NO_KERNEL),
                ("seccompProfile", context.seccomp_profile.is_some(), NO_KERNEL),
                ("appArmorProfile", context.app_armor_profile.is_some(), NO_KERNEL),
                ("windowsOptions", context.windows_options.is_some(), NO_KERNEL),
            ],
        );
    }
}

/// Whether a policy is another than `Honor`.
fn ignores(policy: Option<&String>) -> bool {
    policy.is_some_and(|policy| policy != "Honor")
}

/// Whether a policy is another than `Ignore`.
fn honours(policy: Option<&String>) -> bool {
    policy.is_some_and(|policy| policy != "Ignore")
}

#[cfg(test)]
mod fields;
#[cfg(test)]
mod tests;
