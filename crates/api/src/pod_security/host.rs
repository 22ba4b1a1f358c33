//! Checks of ways to the node: its namespaces, files, ports, and what it is made to ask.

use super::{
    subject::Subject,
    violation::{Values, Violation, containers, counted, quoted, setters},
};
use crate::core_v1::{HttpGetAction, LifecycleHandler, Probe, TcpSocketAction, Volume, VolumeSource};

pub(super) fn namespaces(subject: &Subject<'_>) -> Option<Violation> {
    let spec = subject.spec;
    let all = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let shared: Vec<_> = all.into_iter().filter(|(_, set)| *set).map(|(field, _)| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| Violation::new("host namespaces", shared.join(", ")))
}

pub(super) fn paths(subject: &Subject<'_>) -> Option<Violation> {
    let is_path = |volume: &&Volume| volume.volume_source.as_ref().is_some_and(|source| source.host_path.is_some());
    let names: Vec<_> = subject.spec.volumes.iter().filter(is_path).map(|volume| &volume.name).collect();
    let told = || format!("{} {}", counted("volume", "volumes", names.len()), quoted(&names));
    (!names.is_empty()).then(|| Violation::new("hostPath volumes", told()))
}

pub(super) fn ports(subject: &Subject<'_>) -> Option<Violation> {
    let mut ports = Values::new();
    let names = subject.those(|part| {
        let mut taken = part.ports.iter().map(|port| port.host_port).filter(|port| *port != 0).peekable();
        let is_bad = taken.peek().is_some();
        ports.extend(taken.map(|port| port.to_string()));
        is_bad
    });
    let told = || {
        let uses = counted("uses", "use", names.len());
        let what = counted("hostPort", "hostPorts", ports.len());
        let all: Vec<_> = ports.iter().map(String::as_str).collect();
        format!("{} {uses} {what} {}", containers(&names), all.join(", "))
    };
    (!names.is_empty()).then(|| Violation::new("hostPort", told()))
}

/// Probes and hooks that ask somebody else than their Pod.
pub(super) fn asked(subject: &Subject<'_>) -> Option<Violation> {
    let (mut names, mut hosts) = (Values::new(), Values::new());
    for part in &subject.parts {
        let hooks = part.lifecycle.into_iter().flat_map(|hooks| [&hooks.post_start, &hooks.pre_stop]);
        let of_hooks = hooks.flatten().flat_map(hook_hosts);
        let of_probes = part.probes.into_iter().flatten().flat_map(probe_hosts);
        let named: Vec<_> = of_probes.chain(of_hooks).filter(|host| !host.is_empty()).map(str::to_owned).collect();
        if !named.is_empty() {
            names.insert(part.name.to_owned());
            hosts.extend(named);
        }
    }
    let told = || {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let uses = counted("uses", "use", names.len());
        let what = counted("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
        format!("{} {uses} {what} {}", containers(&names), quoted(&hosts))
    };
    (!names.is_empty()).then(|| Violation::new("probe or lifecycle host", told()))
}

fn probe_hosts(probe: &Probe) -> [&str; 2] {
    let Some(handler) = &probe.handler else { return [""; 2] };
    hosts(handler.http_get.as_ref(), handler.tcp_socket.as_ref())
}

fn hook_hosts(hook: &LifecycleHandler) -> [&str; 2] {
    hosts(hook.http_get.as_ref(), hook.tcp_socket.as_ref())
}

fn hosts<'a>(http: Option<&'a HttpGetAction>, tcp: Option<&'a TcpSocketAction>) -> [&'a str; 2] {
    [http.map_or("", |action| &action.host), tcp.map_or("", |action| &action.host)]
}

pub(super) fn process(subject: &Subject<'_>) -> Option<Violation> {
    let pod = subject.security().and_then(|context| context.windows_options.as_ref());
    let pod = pod.is_some_and(|options| options.host_process == Some(true));
    let names = subject
        .secured(|context| context.windows_options.as_ref().is_some_and(|options| options.host_process == Some(true)));
    let who = setters(pod, &names)?;
    Some(Violation::new(
        "hostProcess",
        format_args!("{who} must not set securityContext.windowsOptions.hostProcess=true"),
    ))
}

/// Volumes of other types than those whose content Kubernetes itself brings or provisions.
pub(super) fn volumes(subject: &Subject<'_>) -> Option<Violation> {
    let (mut names, mut types) = (Vec::new(), Values::new());
    for volume in &subject.spec.volumes {
        let source = volume.volume_source.as_ref();
        if !source.is_some_and(is_free) {
            names.push(&volume.name);
            types.insert(source.map_or("unknown", restricted).to_owned());
        }
    }
    let told = || {
        let uses = counted("uses", "use", names.len());
        let what = counted("restricted volume type", "restricted volume types", types.len());
        let volumes = counted("volume", "volumes", names.len());
        format!("{volumes} {} {uses} {what} {}", quoted(&names), quoted(&types))
    };
    (!names.is_empty()).then(|| Violation::new("restricted volume types", told()))
}

fn is_free(source: &VolumeSource) -> bool {
    source.config_map.is_some()
        || source.csi.is_some()
        || source.downward_api.is_some()
        || source.empty_dir.is_some()
        || source.ephemeral.is_some()
        || source.image.is_some()
        || source.persistent_volume_claim.is_some()
        || source.projected.is_some()
        || source.secret.is_some()
}

/// Of which other type a volume is.
fn restricted(source: &VolumeSource) -> &'static str {
    let types = [
        ("hostPath", source.host_path.is_some()),
        ("gcePersistentDisk", source.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", source.aws_elastic_block_store.is_some()),
        ("gitRepo", source.git_repo.is_some()),
        ("nfs", source.nfs.is_some()),
        ("iscsi", source.iscsi.is_some()),
        ("glusterfs", source.glusterfs.is_some()),
        ("rbd", source.rbd.is_some()),
        ("flexVolume", source.flex_volume.is_some()),
        ("cinder", source.cinder.is_some()),
        ("cephfs", source.cephfs.is_some()),
        ("flocker", source.flocker.is_some()),
        ("fc", source.fc.is_some()),
        ("azureFile", source.azure_file.is_some()),
        ("vsphereVolume", source.vsphere_volume.is_some()),
        ("quobyte", source.quobyte.is_some()),
        ("azureDisk", source.azure_disk.is_some()),
        ("photonPersistentDisk", source.photon_persistent_disk.is_some()),
        ("portworxVolume", source.portworx_volume.is_some()),
        ("scaleIO", source.scale_io.is_some()),
        ("storageos", source.storageos.is_some()),
    ];
    types.into_iter().find(|(_, set)| *set).map_or("unknown", |(name, _)| name)
}
