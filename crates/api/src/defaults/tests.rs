//! What is filled in, and that it stays.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::{collection::vec, prelude::*, sample::Index};

use super::apply;
use crate::{
    Kind, Object, Timestamp, apps_v1, core_v1, fixtures::object, meta_v1::IntOrString, table, validate, warnings,
};

/// Applies the defaults, sees that a second time changes nothing, and returns the object.
fn defaulted(yaml: &str) -> Object {
    let mut once = object(yaml);
    apply(&mut once);
    let mut twice = once.clone();
    apply(&mut twice);
    assert_eq!(once, twice);
    once
}

const POD: &str = "
kind: Pod
metadata: {name: web, namespace: default}
spec:
  initContainers:
  - {name: setup, image: 'setup@sha256:00'}
  containers:
  - name: web
    image: web:1
    ports: [{containerPort: 8080}]
    env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 100m}}
    readinessProbe: {httpGet: {port: 8080}}
    livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 2}
  volumes:
  - {name: a}
  - {name: b, configMap: {name: b}}
  - {name: c, projected: {sources: [{downwardAPI: {items: [{path: x, fieldRef: {fieldPath: metadata.uid}}]}}]}}
";

#[test]
fn a_pod_gets_what_kubernetes_gives_it() {
    let pod = defaulted(POD);
    let pod: &core_v1::Pod = pod.get().unwrap();
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!((spec.restart_policy.as_str(), spec.dns_policy.as_str()), ("Always", "ClusterFirst"));
    assert_eq!(
        (spec.termination_grace_period_seconds, spec.enable_service_links),
        (Some(30), None),
        "nothing is linked"
    );
    assert_eq!((spec.scheduler_name.as_str(), spec.security_context.is_some()), ("default-scheduler", true));
    let tolerations: Vec<_> = spec.tolerations.iter().map(|t| (t.key.as_str(), t.toleration_seconds)).collect();
    let expected = [("node.kubernetes.io/not-ready", Some(300)), ("node.kubernetes.io/unreachable", Some(300))];
    assert_eq!(tolerations, expected);
    let web = &spec.containers[0];
    assert_eq!((web.image_pull_policy.as_str(), web.termination_message_policy.as_str()), ("IfNotPresent", "File"));
    assert_eq!(
        (web.ports[0].protocol.as_str(), web.termination_message_path.as_str()),
        ("TCP", "/dev/termination-log")
    );
    let requests = &web.resources.as_ref().unwrap().requests;
    assert_eq!((requests["cpu"].string.as_str(), requests["memory"].string.as_str()), ("100m", "64Mi"));
    let field = web.env[0].value_from.as_ref().unwrap().field_ref.as_ref().unwrap();
    assert_eq!(field.api_version, "v1");
    let status = pod.status.as_ref().unwrap();
    assert_eq!((status.phase.as_str(), status.qos_class.as_str()), ("Pending", "Burstable"));
}

#[test]
fn probes_and_volumes_are_completed() {
    let pod = defaulted(POD);
    let spec = pod.get::<core_v1::Pod>().unwrap().spec.as_ref().unwrap();
    let numbers = |probe: &Option<Box<core_v1::Probe>>| {
        let probe = probe.as_ref().unwrap();
        (probe.timeout_seconds, probe.period_seconds, probe.success_threshold, probe.failure_threshold)
    };
    assert_eq!(numbers(&spec.containers[0].readiness_probe), (1, 10, 1, 3));
    assert_eq!(numbers(&spec.containers[0].liveness_probe), (1, 2, 1, 3));
    let handler = spec.containers[0].readiness_probe.as_ref().unwrap().handler.as_ref().unwrap();
    let get = handler.http_get.as_ref().unwrap();
    assert_eq!((get.path.as_str(), get.scheme.as_str()), ("/", "HTTP"));
    let source = |index: usize| spec.volumes[index].volume_source.as_ref().unwrap();
    assert!(source(0).empty_dir.is_some());
    assert_eq!(source(1).config_map.as_ref().unwrap().default_mode, Some(0o644));
    assert_eq!(source(2).projected.as_ref().unwrap().default_mode, Some(0o644));
}

#[test]
fn the_tag_decides_whether_an_image_is_pulled_again() {
    for (image, policy) in [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("localhost:5000/web", "Always"),
        ("localhost:5000/web:1", "IfNotPresent"),
        ("web@sha256:00", "IfNotPresent"),
        ("web:latest@sha256:00", "IfNotPresent"),
        ("file:///srv/web.wasm", "Always"),
    ] {
        let yaml = format!("{{kind: Pod, spec: {{containers: [{{name: web, image: '{image}'}}]}}}}");
        let pod = defaulted(&yaml);
        let spec = pod.get::<core_v1::Pod>().unwrap().spec.as_ref().unwrap();
        assert_eq!(spec.containers[0].image_pull_policy, policy, "{image}");
    }
}

#[test]
fn what_is_said_stays() {
    let pod = defaulted(
        "{kind: Pod, spec: {restartPolicy: Never, terminationGracePeriodSeconds: 0, enableServiceLinks: false,
          tolerations: [{operator: Exists}], serviceAccount: robot,
          containers: [{name: a, image: a, imagePullPolicy: Never}]}}",
    );
    let spec = pod.get::<core_v1::Pod>().unwrap().spec.as_ref().unwrap();
    assert_eq!((spec.restart_policy.as_str(), spec.termination_grace_period_seconds), ("Never", Some(0)));
    assert_eq!((spec.enable_service_links, spec.tolerations.len()), (Some(false), 1));
    assert_eq!(spec.service_account_name, "robot");
    assert_eq!(spec.containers[0].image_pull_policy, "Never");
}

#[test]
fn a_pod_has_an_account_and_a_template_leaves_it_to_its_pods() {
    let pod = defaulted("{kind: Pod, spec: {containers: [{name: a, image: a}]}}");
    let spec = pod.get::<core_v1::Pod>().unwrap().spec.as_ref().unwrap();
    assert_eq!((spec.service_account_name.as_str(), spec.service_account.as_str()), ("default", "default"));
    let set = defaulted("{kind: ReplicaSet, spec: {template: {spec: {containers: [{name: a, image: a}]}}}}");
    let spec = set.get::<apps_v1::ReplicaSet>().unwrap().spec.as_ref().unwrap().template.clone().unwrap().spec.unwrap();
    assert_eq!((spec.service_account_name, spec.service_account), (String::new(), String::new()));
}

#[test]
fn a_deployment_rolls_by_a_quarter() {
    let deployment = defaulted(
        "{kind: Deployment, spec: {template: {spec: {containers: [{name: a, image: a, resources: {limits: {cpu: 1}}}]}}}}",
    );
    let spec = deployment.get::<apps_v1::Deployment>().unwrap().spec.as_ref().unwrap();
    assert_eq!(
        (spec.replicas, spec.revision_history_limit, spec.progress_deadline_seconds),
        (Some(1), Some(10), Some(600))
    );
    let strategy = spec.strategy.as_ref().unwrap();
    assert_eq!(strategy.r#type, "RollingUpdate");
    assert_eq!(strategy.rolling_update.as_ref().unwrap().max_surge, Some(IntOrString::text("25%")));
    let template = spec.template.as_ref().unwrap().spec.as_ref().unwrap();
    assert_eq!(template.restart_policy, "Always");
    assert!(template.tolerations.is_empty(), "what admission adds is for Pods, not templates");
    assert!(template.containers[0].resources.as_ref().unwrap().requests.is_empty());

    let recreate = defaulted("{kind: Deployment, spec: {replicas: 0, strategy: {type: Recreate}}}");
    let spec = recreate.get::<apps_v1::Deployment>().unwrap().spec.as_ref().unwrap();
    assert_eq!((spec.replicas, spec.strategy.as_ref().unwrap().rolling_update.as_ref()), (Some(0), None));
}

#[test]
fn a_service_gets_a_type_and_targets() {
    let service = defaulted("{kind: Service, spec: {ports: [{port: 80}, {name: x, port: 81, targetPort: http}]}}");
    let spec = service.get::<core_v1::Service>().unwrap().spec.as_ref().unwrap();
    assert_eq!((spec.r#type.as_str(), spec.session_affinity.as_str()), ("ClusterIP", "None"));
    assert_eq!(spec.ports[0].target_port, Some(IntOrString::int(80)));
    assert_eq!(spec.ports[1].target_port, Some(IntOrString::text("http")));
    assert_eq!(
        (spec.ip_families.join(","), spec.ip_family_policy.as_deref()),
        ("IPv4".to_owned(), Some("SingleStack"))
    );
    assert_eq!(spec.internal_traffic_policy.as_deref(), Some("Cluster"));

    let headless = defaulted("{kind: Service, spec: {clusterIP: None, ports: [{port: 80}]}}");
    assert_eq!(headless.get::<core_v1::Service>().unwrap().spec.as_ref().unwrap().cluster_ips, ["None"]);
    let name = defaulted("{kind: Service, spec: {type: ExternalName, externalName: example.com}}");
    let spec = name.get::<core_v1::Service>().unwrap().spec.as_ref().unwrap();
    assert!(spec.ip_families.is_empty() && spec.internal_traffic_policy.is_none());
}

#[test]
fn a_service_that_changes_its_type_loses_the_defaults_of_the_old_one() {
    let fresh = |kind: &str| {
        let mut service = defaulted("{kind: Service, spec: {type: LoadBalancer, ports: [{port: 80}]}}");
        if let Object::Service(service) = &mut service {
            service.spec.as_mut().unwrap().r#type = kind.to_owned();
        }
        apply(&mut service);
        service
    };
    for kind in ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] {
        let new = defaulted(&format!("{{kind: Service, spec: {{type: {kind}, ports: [{{port: 80}}]}}}}"));
        assert_eq!(fresh(kind), new, "{kind}");
    }
}

#[test]
fn the_other_kinds_get_their_few() {
    let secret = defaulted("{kind: Secret, data: {a: old, b: kept}, stringData: {a: new}}");
    let secret = secret.get::<core_v1::Secret>().unwrap();
    assert_eq!((secret.r#type.as_str(), secret.string_data.len()), ("Opaque", 0));
    assert_eq!((&secret.data["a"][..], &secret.data["b"][..]), (&b"new"[..], &b"kept"[..]));

    let namespace = defaulted("{kind: Namespace, metadata: {name: shop}}");
    let namespace = namespace.get::<core_v1::Namespace>().unwrap();
    assert_eq!(namespace.metadata.as_ref().unwrap().labels["kubernetes.io/metadata.name"], "shop");
    assert_eq!(namespace.spec.as_ref().unwrap().finalizers, ["kubernetes"]);

    let going = "{kind: Namespace, metadata: {name: shop, deletionTimestamp: '2026-11-23T01:00:00Z'}}";
    let going = defaulted(going);
    assert!(going.get::<core_v1::Namespace>().unwrap().spec.as_ref().unwrap().finalizers.is_empty());

    let node =
        defaulted("{kind: Node, metadata: {name: n}, spec: {podCIDR: 127.64.0.0/18}, status: {capacity: {cpu: 2}}}");
    let node = node.get::<core_v1::Node>().unwrap();
    assert_eq!(node.spec.as_ref().unwrap().pod_cidrs, ["127.64.0.0/18"]);
    assert_eq!(node.status.as_ref().unwrap().allocatable["cpu"].string, "2");
}

proptest! {
    /// Whatever bytes arrive: if they are an object at all, every rule has an answer, and the defaults come to rest.
    #[test]
    fn any_object_is_answered(index in 0..Kind::ALL.len(), flips in vec((any::<Index>(), any::<u8>()), 0..8)) {
        let kind = Kind::ALL[index];
        let whole = if kind == Kind::Pod { object(POD) } else { defaulted(&format!("{{kind: {kind}}}")) };
        let mut bytes = whole.encode_bytes().to_vec();
        for (index, byte) in flips {
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
        }
        if let Ok(mut object) = Object::decode_bytes(kind, bytes.into()) {
            let _ = (validate::create(&object), table::row(&object, Timestamp(0)));
            apply(&mut object);
            let once = object.clone();
            apply(&mut object);
            prop_assert_eq!(&once, &object);
            let _ = (validate::update(&whole, &object), warnings::of(&object), table::row(&object, Timestamp(0)));
        }
    }
}

#[test]
fn nothing_and_the_examples_come_to_rest() {
    for kind in Kind::ALL {
        let mut once = Object::empty(*kind);
        apply(&mut once);
        let mut twice = once.clone();
        apply(&mut twice);
        assert_eq!(once, twice, "{kind}");
    }
    for example in crate::fixtures::examples() {
        defaulted(example);
    }
}
