//! Each check by what it lets pass and what it refuses, with the whole sentence.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::{Level, Policy, Standard, Subject, Version, checks, violations};
use crate::{
    Kind, Object,
    core_v1::Pod,
    json::{Strictness, decode},
    schema::{Scalar, Schema},
};

/// A check, the minor version by whose revision it is made, a Pod, and what is found; nothing if it may pass.
type Row = (&'static str, u64, &'static str, &'static str);

const HOST: &[Row] = &[
    ("hostNamespaces", 0, "spec: {hostNetwork: false}", ""),
    (
        "hostNamespaces",
        0,
        "spec: {hostNetwork: true, hostPID: true, hostIPC: true}",
        "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
    ),
    ("hostPathVolumes", 0, "spec: {volumes: [{name: a, emptyDir: {}}]}", ""),
    (
        "hostPathVolumes",
        0,
        "spec: {volumes: [{name: a, hostPath: {path: /}}, {name: b, hostPath: {path: /b}}, {name: c, emptyDir: {}}]}",
        "hostPath volumes (volumes \"a\", \"b\")",
    ),
    ("hostPorts", 0, "spec: {containers: [{name: a, ports: [{containerPort: 80, hostPort: 0}]}]}", ""),
    (
        "hostPorts",
        0,
        "spec: {containers: [{name: a, ports: [{containerPort: 80, hostPort: 8080}]}]}",
        "hostPort (container \"a\" uses hostPort 8080)",
    ),
    (
        // Numbers are told in the order of their digits, as upstream does.
        "hostPorts",
        0,
        "spec: {initContainers: [{name: i, ports: [{hostPort: 9}, {hostPort: 10}]}], containers: [{name: a, ports: [{hostPort: 10}]}]}",
        "hostPort (containers \"i\", \"a\" use hostPorts 10, 9)",
    ),
    (
        "hostProbesAndHostLifecycle",
        34,
        "spec: {containers: [{name: a, livenessProbe: {httpGet: {path: /, port: 80}}, readinessProbe: {tcpSocket: {port: 1}}}]}",
        "",
    ),
    (
        "hostProbesAndHostLifecycle",
        34,
        "spec: {containers: [{name: b, livenessProbe: {httpGet: {host: h, port: 80}}}, \
         {name: a, lifecycle: {preStop: {tcpSocket: {host: g, port: 80}}, postStart: {httpGet: {host: h, port: 1}}}}]}",
        "probe or lifecycle host (containers \"a\", \"b\" use probe or lifecycle hosts \"g\", \"h\")",
    ),
    (
        "hostProbesAndHostLifecycle",
        34,
        "spec: {containers: [{name: b, startupProbe: {tcpSocket: {host: h, port: 80}}}]}",
        "probe or lifecycle host (container \"b\" uses probe or lifecycle host \"h\")",
    ),
    ("windowsHostProcess", 0, "spec: {securityContext: {windowsOptions: {hostProcess: false}}}", ""),
    (
        "windowsHostProcess",
        0,
        "spec: {securityContext: {windowsOptions: {hostProcess: true}}, containers: [\
         {name: a, securityContext: {windowsOptions: {hostProcess: true}}}, {name: b}]}",
        "hostProcess (pod and container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
    ),
    (
        "restrictedVolumes",
        0,
        "spec: {volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {}}, {name: c, secret: {}}, {name: d, csi: {driver: x}}, \
         {name: e, downwardAPI: {}}, {name: f, projected: {}}, {name: g, persistentVolumeClaim: {claimName: x}}, \
         {name: h, ephemeral: {}}, {name: i, image: {}}]}",
        "",
    ),
    (
        "restrictedVolumes",
        0,
        "spec: {volumes: [{name: a, nfs: {}}, {name: b, hostPath: {path: /}}, {name: c, emptyDir: {}}, {name: d, nfs: {}}, {name: e}]}",
        "restricted volume types (volumes \"a\", \"b\", \"d\", \"e\" use restricted volume types \"hostPath\", \"nfs\", \"unknown\")",
    ),
    (
        "restrictedVolumes",
        0,
        "spec: {volumes: [{name: a, scaleIO: {}}]}",
        "restricted volume types (volume \"a\" uses restricted volume type \"scaleIO\")",
    ),
];

const PRIVILEGES: &[Row] = &[
    ("privileged", 0, "spec: {containers: [{name: a, securityContext: {privileged: false}}, {name: b}]}", ""),
    (
        "privileged",
        0,
        "spec: {initContainers: [{name: i, securityContext: {privileged: true}}], containers: [{name: a, securityContext: {privileged: true}}]}",
        "privileged (containers \"i\", \"a\" must not set securityContext.privileged=true)",
    ),
    (
        "privileged",
        0,
        "spec: {ephemeralContainers: [{name: e, securityContext: {privileged: true}}]}",
        "privileged (container \"e\" must not set securityContext.privileged=true)",
    ),
    (
        "capabilities_baseline",
        0,
        "spec: {containers: [{name: a, securityContext: {capabilities: {add: [CHOWN, NET_BIND_SERVICE], drop: [ALL]}}}]}",
        "",
    ),
    (
        "capabilities_baseline",
        0,
        "spec: {containers: [{name: a, securityContext: {capabilities: {add: [NET_RAW, CHOWN, BPF]}}}]}",
        "non-default capabilities (container \"a\" must not include \"BPF\", \"NET_RAW\" in securityContext.capabilities.add)",
    ),
    (
        "capabilities_restricted",
        22,
        "spec: {containers: [{name: a, securityContext: {capabilities: {add: [NET_BIND_SERVICE], drop: [CHOWN, ALL]}}}]}",
        "",
    ),
    (
        "capabilities_restricted",
        22,
        "spec: {containers: [{name: a}, {name: b, securityContext: {capabilities: {add: [CHOWN], drop: [ALL]}}}, \
         {name: c, securityContext: {capabilities: {add: [BPF]}}}]}",
        "unrestricted capabilities (containers \"a\", \"c\" must set securityContext.capabilities.drop=[\"ALL\"]; \
         containers \"b\", \"c\" must not include \"BPF\", \"CHOWN\" in securityContext.capabilities.add)",
    ),
    (
        "capabilities_restricted",
        24,
        "spec: {os: {name: windows}, containers: [{name: a}]}",
        "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
    ),
    ("capabilities_restricted", 25, "spec: {os: {name: windows}, containers: [{name: a}]}", ""),
    (
        "allowPrivilegeEscalation",
        8,
        "spec: {containers: [{name: a, securityContext: {allowPrivilegeEscalation: false}}]}",
        "",
    ),
    (
        "allowPrivilegeEscalation",
        8,
        "spec: {containers: [{name: a}, {name: b, securityContext: {allowPrivilegeEscalation: true}}, {name: c, securityContext: {}}]}",
        "allowPrivilegeEscalation != false (containers \"a\", \"b\", \"c\" must set securityContext.allowPrivilegeEscalation=false)",
    ),
    ("allowPrivilegeEscalation", 25, "spec: {os: {name: windows}, containers: [{name: a}]}", ""),
    (
        "allowPrivilegeEscalation",
        25,
        "spec: {os: {name: linux}, containers: [{name: a}]}",
        "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
    ),
];

const USERS: &[Row] = &[
    ("runAsNonRoot", 0, "spec: {securityContext: {runAsNonRoot: true}, containers: [{name: a}]}", ""),
    ("runAsNonRoot", 0, "spec: {containers: [{name: a, securityContext: {runAsNonRoot: true}}]}", ""),
    (
        "runAsNonRoot",
        0,
        "spec: {containers: [{name: a}, {name: b, securityContext: {runAsNonRoot: true}}]}",
        "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
    ),
    (
        "runAsNonRoot",
        0,
        "spec: {securityContext: {runAsNonRoot: false}, containers: [{name: a}, {name: b, securityContext: {runAsNonRoot: false}}]}",
        "runAsNonRoot != true (pod and container \"b\" must not set securityContext.runAsNonRoot=false)",
    ),
    (
        "runAsNonRoot",
        34,
        "spec: {hostUsers: false, containers: [{name: a}]}",
        "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
    ),
    ("runAsNonRoot", 35, "spec: {hostUsers: false, containers: [{name: a}]}", ""),
    ("runAsUser", 23, "spec: {securityContext: {runAsUser: 1}, containers: [{name: a}]}", ""),
    (
        "runAsUser",
        23,
        "spec: {hostUsers: false, securityContext: {runAsUser: 0}, containers: [{name: a, securityContext: {runAsUser: 0}}]}",
        "runAsUser=0 (pod and container \"a\" must not set runAsUser=0)",
    ),
    (
        "runAsUser",
        35,
        "spec: {hostUsers: true, containers: [{name: a, securityContext: {runAsUser: 0}}]}",
        "runAsUser=0 (container \"a\" must not set runAsUser=0)",
    ),
    ("runAsUser", 35, "spec: {hostUsers: false, securityContext: {runAsUser: 0}}", ""),
];

const CONFINEMENT: &[Row] = &[
    (
        "appArmorProfile",
        0,
        "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: localhost/x, \
         container.apparmor.security.beta.kubernetes.io/b: runtime/default, container.apparmor.security.beta.kubernetes.io/c: ''}}\n\
         spec: {securityContext: {appArmorProfile: {type: RuntimeDefault}}, \
         containers: [{name: a, securityContext: {appArmorProfile: {type: Localhost}}}]}",
        "",
    ),
    (
        "appArmorProfile",
        0,
        "spec: {containers: [{name: a, securityContext: {appArmorProfile: {type: Unconfined}}}]}",
        "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")",
    ),
    (
        "appArmorProfile",
        0,
        "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}}\n\
         spec: {securityContext: {appArmorProfile: {type: Unconfined}}, containers: [{name: a}]}",
        "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", \
         \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
    ),
    ("procMount", 0, "spec: {containers: [{name: a, securityContext: {procMount: Default}}]}", ""),
    (
        "procMount",
        34,
        "spec: {hostUsers: false, containers: [{name: a, securityContext: {procMount: Unmasked}}]}",
        "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
    ),
    ("procMount", 35, "spec: {hostUsers: false, containers: [{name: a, securityContext: {procMount: Unmasked}}]}", ""),
    (
        "procMount_restricted",
        35,
        "spec: {hostUsers: false, containers: [{name: a, securityContext: {procMount: Unmasked}}]}",
        "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
    ),
    ("seLinuxOptions", 0, "spec: {securityContext: {seLinuxOptions: {type: container_kvm_t, level: s0}}}", ""),
    (
        "seLinuxOptions",
        30,
        "spec: {securityContext: {seLinuxOptions: {type: container_engine_t}}}",
        "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
    ),
    ("seLinuxOptions", 31, "spec: {securityContext: {seLinuxOptions: {type: container_engine_t}}}", ""),
    (
        "seLinuxOptions",
        31,
        "spec: {securityContext: {seLinuxOptions: {type: b}}, containers: [\
         {name: a, securityContext: {seLinuxOptions: {type: a, user: u, role: r}}}, {name: b, securityContext: {seLinuxOptions: {}}}]}",
        "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: types \"a\", \"b\"; \
         user may not be set; role may not be set)",
    ),
    (
        "seccompProfile_baseline",
        18,
        "metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: docker/default, \
         container.seccomp.security.alpha.kubernetes.io/other: unconfined}}\n\
         spec: {containers: [{name: a, securityContext: {seccompProfile: {type: Unconfined}}}]}",
        "",
    ),
    (
        "seccompProfile_baseline",
        0,
        "metadata: {annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined, \
         container.seccomp.security.alpha.kubernetes.io/a: unconfined}}\n\
         spec: {containers: [{name: a}]}",
        "seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/a=\"unconfined\", \
         seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
    ),
    ("seccompProfile_baseline", 19, "spec: {containers: [{name: a}]}", ""),
    (
        "seccompProfile_baseline",
        19,
        "spec: {securityContext: {seccompProfile: {type: Unconfined}}, \
         containers: [{name: a, securityContext: {seccompProfile: {type: Unconfined}}}]}",
        "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
    ),
    (
        "seccompProfile_restricted",
        19,
        "spec: {securityContext: {seccompProfile: {type: RuntimeDefault}}, containers: [{name: a}]}",
        "",
    ),
    (
        "seccompProfile_restricted",
        19,
        "spec: {os: {name: windows}, containers: [{name: a}, {name: b, securityContext: {seccompProfile: {type: Localhost}}}]}",
        "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    ),
    ("seccompProfile_restricted", 25, "spec: {os: {name: windows}, containers: [{name: a}]}", ""),
    ("sysctls", 0, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}}", ""),
    (
        "sysctls",
        26,
        "spec: {securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports, value: '1'}, {name: a, value: ''}]}}",
        "forbidden sysctls (net.ipv4.ip_local_reserved_ports, a)",
    ),
    ("sysctls", 27, "spec: {securityContext: {sysctls: [{name: net.ipv4.ip_local_reserved_ports, value: '1'}]}}", ""),
    (
        "sysctls",
        28,
        "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_keepalive_time, value: '1'}]}}",
        "forbidden sysctls (net.ipv4.tcp_keepalive_time)",
    ),
    ("sysctls", 29, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_keepalive_probes, value: '1'}]}}", ""),
    (
        "sysctls",
        31,
        "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]}}",
        "forbidden sysctls (net.ipv4.tcp_rmem)",
    ),
    ("sysctls", 32, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_wmem, value: '1'}]}}", ""),
    (
        "sysctls",
        36,
        "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat, value: '1'}]}}",
        "forbidden sysctls (net.ipv4.tcp_notsent_lowat)",
    ),
    ("sysctls", 37, "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_notsent_lowat, value: '1'}]}}", ""),
];

fn pod(text: &str) -> Pod {
    let json = serde_yaml::from_str(&format!("apiVersion: v1\nkind: Pod\n{text}")).unwrap();
    let object = decode(Kind::Pod, &json, Strictness::Strict).unwrap_or_else(|error| panic!("{text}: {error}")).object;
    object.get::<Pod>().unwrap().clone()
}

fn standard(level: Level, minor: u64) -> Standard {
    Standard { level, version: Version::Minor(minor) }
}

/// The names of the checks that a standard has.
fn ids(level: Level, minor: u64) -> Vec<&'static str> {
    let standard = standard(level, minor);
    let those = checks::of(standard).filter(|check| check.at(standard.version).is_some());
    those.map(|check| check.id).collect()
}

#[test]
fn each_check_refuses_what_it_is_for_and_nothing_else() {
    let rows = [HOST, PRIVILEGES, USERS, CONFINEMENT].concat();
    for (id, minor, text, expected) in &rows {
        let pod = pod(text);
        let subject = Subject::of_pod(&pod);
        // The check stands in one of both levels.
        let mut found = None;
        for level in [Level::Baseline, Level::Restricted] {
            let standard = standard(level, *minor);
            let check = checks::of(standard).find(|check| check.id == *id).and_then(|check| check.at(standard.version));
            found = found.or(check);
        }
        let found = found.unwrap_or_else(|| panic!("no {id} in v1.{minor}"))(&subject);
        let found = found.map(|found| format!("{} ({})", found.reason, found.detail)).unwrap_or_default();
        assert_eq!(found, *expected, "{id} v1.{minor}: {text}");
    }
    for id in ids(Level::Baseline, 99).into_iter().chain(ids(Level::Restricted, 99)) {
        let of_it: Vec<_> = rows.iter().filter(|row| row.0 == id).collect();
        assert!(of_it.iter().any(|row| row.3.is_empty()) || id == "procMount_restricted", "{id} lets nothing pass");
        assert!(of_it.iter().any(|row| !row.3.is_empty()), "{id} refuses nothing");
    }
}

#[test]
fn a_version_has_the_checks_of_its_time() {
    assert_eq!(
        ids(Level::Baseline, 37),
        [
            "appArmorProfile",
            "capabilities_baseline",
            "hostNamespaces",
            "hostPathVolumes",
            "hostPorts",
            "hostProbesAndHostLifecycle",
            "privileged",
            "procMount",
            "seLinuxOptions",
            "seccompProfile_baseline",
            "sysctls",
            "windowsHostProcess",
        ]
    );
    // What is stricter above takes the place of what is below.
    let old = ids(Level::Restricted, 0);
    assert!(old.contains(&"capabilities_baseline") && old.contains(&"seccompProfile_baseline"));
    assert!(!old.contains(&"hostPathVolumes") && !old.contains(&"allowPrivilegeEscalation"));
    assert!(!ids(Level::Restricted, 22).contains(&"capabilities_baseline"));
    assert!(!ids(Level::Restricted, 19).contains(&"seccompProfile_baseline"));
    assert!(ids(Level::Restricted, 34).contains(&"procMount") && !ids(Level::Restricted, 35).contains(&"procMount"));
    assert!(!ids(Level::Baseline, 33).contains(&"hostProbesAndHostLifecycle"));
    assert_eq!(ids(Level::Privileged, 37), Vec::<&str>::new());
    // Versions that are not known yet are the newest one.
    assert_eq!(ids(Level::Restricted, u64::MAX), ids(Level::Restricted, 37));
}

#[test]
fn a_plain_pod_meets_baseline_and_hears_what_restricted_wants() {
    let pod = pod("spec: {containers: [{name: c, image: web:1}]}");
    let found = |level| violations(&Subject::of_pod(&pod), Standard { level, version: Version::Latest });
    assert_eq!(found(Level::Baseline).to_string(), "");
    assert_eq!(
        found(Level::Restricted).to_string(),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(
        found(Level::Restricted).reasons(),
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    );
}

/// A policy as text, and what is wrong with its labels.
fn read(labels: &[(&str, &str)]) -> (String, Vec<String>) {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), (*value).to_owned())).collect();
    let (policy, causes) = Policy::of(&labels);
    let told = format!("{} {} {}", policy.enforce, policy.audit, policy.warn);
    (told, causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect())
}

#[test]
fn labels_say_what_is_demanded() {
    for (labels, expected) in [
        (&[][..], "privileged:latest privileged:latest privileged:latest"),
        // Whoever enforces also warns.
        (&[("enforce", "baseline")], "baseline:latest privileged:latest baseline:latest"),
        (
            &[("enforce", "restricted"), ("enforce-version", "v1.24")],
            "restricted:v1.24 privileged:latest restricted:v1.24",
        ),
        (
            &[("enforce", "restricted"), ("enforce-version", "v1.24"), ("warn-version", "v1.30")],
            "restricted:v1.24 privileged:latest restricted:v1.30",
        ),
        (&[("enforce", "restricted"), ("warn", "privileged")], "restricted:latest privileged:latest privileged:latest"),
        (
            &[("audit", "restricted"), ("audit-version", "v1.0"), ("warn", "baseline")],
            "privileged:latest restricted:v1.0 baseline:latest",
        ),
    ] {
        assert_eq!(read(labels), (expected.to_owned(), Vec::new()));
    }
}

#[test]
fn labels_that_nobody_understands_are_named() {
    let (policy, causes) = read(&[
        ("enforce", "strict"),
        ("enforce-version", "1.24"),
        ("audit", "Baseline"),
        ("audit-version", "v1.01"),
        ("warn", ""),
        ("warn-version", "v2.0"),
    ]);
    assert_eq!(policy, "restricted:latest privileged:latest privileged:latest");
    let (level, version) = ("must be one of privileged, baseline, restricted", "must be \"latest\" or \"v1.x\"");
    let cause = |label, value, why| {
        format!("metadata.labels[pod-security.kubernetes.io/{label}]: Invalid value: \"{value}\": {why}")
    };
    assert_eq!(
        causes,
        [
            cause("enforce", "strict", level),
            cause("enforce-version", "1.24", version),
            cause("audit", "Baseline", level),
            cause("audit-version", "v1.01", version),
            cause("warn", "", level),
            cause("warn-version", "v2.0", version),
        ]
    );
    // A wrong level of `enforce` demands most, but warns of nothing.
    assert_eq!(read(&[("enforce", "x")]).0, "restricted:latest privileged:latest privileged:latest");
    for version in ["v1.", "v1.-1", "v1.+1", "v1. 1", "v1.9223372036854775808", "Latest", "v1.1.1"] {
        assert_eq!(read(&[("enforce-version", version)]).1.len(), 1, "{version}");
    }
    for version in ["v1.0", "v1.9", "v1.10", "v1.9223372036854775807", "latest"] {
        assert_eq!(read(&[("enforce-version", version)]).1.len(), 0, "{version}");
    }
}

#[test]
fn every_kind_with_a_template_shows_it() {
    let reaches = |kind: Kind| {
        let mut queue = vec![Schema::get().message(kind.info().message).unwrap()];
        let mut seen = Vec::new();
        while let Some(message) = queue.pop() {
            if message.name == "kapelle.core.v1.PodTemplateSpec" {
                return true;
            }
            if !seen.contains(&message.name.as_str()) {
                seen.push(message.name.as_str());
                for field in &message.fields {
                    if let Scalar::Message(index) = field.scalar {
                        queue.push(Schema::get().at(index));
                    }
                }
            }
        }
        false
    };
    for kind in Kind::ALL {
        assert_eq!(Subject::has_template(*kind), reaches(*kind), "{kind}");
        if reaches(*kind) {
            let sample: serde_json::Value = serde_yaml::from_str(kind.sample()).unwrap();
            let object: Object = decode(*kind, &sample, Strictness::Strict).unwrap().object;
            assert!(!Subject::of_template(&object).unwrap().parts.is_empty(), "{kind}");
        }
    }
}
