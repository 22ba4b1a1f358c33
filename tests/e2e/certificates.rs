//! Certificates by Kubernetes' own objects, as users of `kubectl` ask for them, give them and use them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use crate::{
    cluster::{Answer, Cluster},
    kubectl::Kubectl,
    patience::wait_until,
    script::words,
};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";

/// The name of the node of `kapelle dev`.
const NODE: &str = "dev";

/// Somebody with a key who asks for a certificate.
struct Person {
    key: KeyPair,
    params: CertificateParams,
}

impl Person {
    fn new(name: &str, group: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.distinguished_name.push(DnType::CommonName, name);
        Self { key: KeyPair::generate().unwrap(), params }
    }

    fn reached_at(mut self, host: &str) -> Self {
        self.params.subject_alt_names.push(SanType::DnsName(host.try_into().unwrap()));
        self
    }

    fn pem(&self) -> String {
        self.params.serialize_request(&self.key).unwrap().pem().unwrap()
    }
}

fn manifest(name: &str, signer: &str, usages: &str, request: &str) -> String {
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  \
         signerName: {signer}\n  usages: [{usages}]\n  expirationSeconds: 3600\n  username: somebody-else\n  request: {}\n",
        BASE64_STANDARD.encode(request)
    )
}

/// Asks for a certificate as an administrator.
fn create(kubectl: &Kubectl<'_>, name: &str, signer: &str, usages: &str, request: &str) -> Answer {
    kubectl.run("create -f -", &manifest(name, signer, usages, request))
}

/// What became of a request once the cluster's signers had looked at it.
fn outcome(kubectl: &Kubectl<'_>, name: &str) -> String {
    let path = "jsonpath={.status.certificate}{range .status.conditions[?(@.type==\"Failed\")]}failed: {.message}{end}";
    let line = format!("get csr {name} -o '{path}'");
    wait_until(&format!("{name} is signed or failed"), || {
        let told = kubectl.ok(&line);
        if told.is_empty() { Err("not yet".to_owned()) } else { Ok(told) }
    })
}

/// `kubectl` as somebody who has a certificate and nothing else.
fn with_certificate(kubectl: &Kubectl<'_>, config: &Path, arguments: &str) -> Answer {
    Answer::of(kubectl.command().arg("--kubeconfig").arg(config).args(words(arguments)), "")
}

/// A kubeconfig for the owner of a key and a certificate.
fn kubeconfig(cluster: &Cluster, kubectl: &Kubectl<'_>, person: &Person, certificate: &str) -> PathBuf {
    let dir = cluster.dir().join("person");
    fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &[u8]| {
        fs::write(dir.join(name), text).unwrap();
        dir.join(name).display().to_string()
    };
    let certificate = file("tls.crt", &BASE64_STANDARD.decode(certificate).unwrap());
    let key = file("tls.key", person.key.serialize_pem().as_bytes());
    let config = dir.join("kubeconfig");
    fs::copy(cluster.kubeconfig(), &config).unwrap();
    for line in [
        format!("config set-credentials person --client-certificate={certificate} --client-key={key} --embed-certs"),
        "config set-context --current --user=person".to_owned(),
    ] {
        with_certificate(kubectl, &config, &line).ok();
    }
    config
}

#[test]
fn a_certificate_that_was_approved_is_a_user_with_what_roles_give() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let ada = Person::new("ada", "readers");
    kubectl.run("create -f -", &manifest("ada", CLIENT, "client auth, digital signature", &ada.pem())).ok();
    let listed = kubectl.ok("get csr ada");
    for word in ["SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", CLIENT, "60m", "Pending"] {
        assert!(listed.contains(word), "{listed}");
    }
    assert!(!listed.contains("somebody-else"), "who asks is the master's to say: {listed}");
    assert!(
        kubectl.ok("certificate approve ada").contains("certificatesigningrequest.certificates.k8s.io/ada approved")
    );
    let issued = outcome(&kubectl, "ada");
    assert!(kubectl.ok("get csr ada").contains("Approved,Issued"));
    assert!(kubectl.ok("describe csr ada").contains("Subject:"), "kubectl reads what was asked for");

    let config = kubeconfig(&cluster, &kubectl, &ada, &issued);
    let as_ada = |arguments: &str| with_certificate(&kubectl, &config, arguments);
    let me = as_ada("auth whoami -o yaml").ok();
    assert!(me.contains("username: ada") && me.contains("- readers") && me.contains("- system:authenticated"), "{me}");
    let refused = as_ada("get pods").err();
    assert!(refused.contains("User \"ada\" cannot list resource \"pods\""), "{refused}");
    kubectl.ok("create rolebinding ada --clusterrole=view --user=ada");
    as_ada("get pods").ok();
    assert!(as_ada("get secrets").err().contains("cannot list resource \"secrets\""));
    assert!(as_ada("get pods -n kube-system").err().contains("cannot list resource \"pods\""));
    kubectl.ok("create rolebinding readers --clusterrole=edit --group=readers -n kube-public");
    as_ada("create configmap a -n kube-public").ok();

    // Who may ask is not who may approve, and who asks is told by the certificate.
    let eve = Person::new("eve", "readers");
    let request = manifest("eve", CLIENT, "client auth", &eve.pem());
    let run = |input: &str, arguments: &str| {
        Answer::of(kubectl.command().arg("--kubeconfig").arg(&config).args(words(arguments)), input)
    };
    assert!(run(&request, "create -f -").err().contains("User \"ada\" cannot create resource"));
    let role =
        "create clusterrole asks --verb=create,get,list --resource=certificatesigningrequests.certificates.k8s.io";
    kubectl.ok(role);
    kubectl.ok("create clusterrolebinding asks --clusterrole=asks --user=ada");
    run(&request, "create -f -").ok();
    assert_eq!(
        kubectl.ok("get csr eve -o 'jsonpath={.spec.username} {.spec.groups}'"),
        "ada [\"readers\",\"system:authenticated\"]"
    );
    assert!(run("", "certificate approve eve").err().contains("certificatesigningrequests/approval"));
    kubectl.ok(
        "create clusterrole approves --verb=update --resource=certificatesigningrequests.certificates.k8s.io/approval",
    );
    kubectl.ok("create clusterrolebinding approves --clusterrole=approves --user=ada");
    let refused = run("", "certificate approve eve").err();
    assert!(refused.contains("user not permitted to approve requests with signerName"), "{refused}");
    kubectl.ok("create clusterrolebinding signers --clusterrole=system:certificates.k8s.io:kube-apiserver-client-approver --user=ada");
    run("", "certificate deny eve").ok();
    assert!(kubectl.ok("get csr eve").contains("Denied"));
}

#[test]
fn nobody_gets_more_than_its_signer_gives() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let create = |name, signer, usages, request: &str| create(&kubectl, name, signer, usages, request);
    let masters = Person::new("root", "system:masters").pem();
    let refused = create("masters", CLIENT, "client auth", &masters).err();
    assert!(
        refused.contains("use of kubernetes.io/kube-apiserver-client signer with system:masters group"),
        "{refused}"
    );
    let master = Person::new("system:kapelle:master:0000000000000001", "system:kapelle:masters").pem();
    assert!(create("master", CLIENT, "client auth", &master).err().contains("is not allowed"));
    let (good, other) = (Person::new("ada", "readers"), Person::new("bob", "readers"));
    let der = |person: &Person| person.params.serialize_request(&person.key).unwrap().der().to_vec();
    let key = |person: &Person| rcgen::PublicKeyData::der_bytes(&person.key).to_vec();
    let stolen = {
        let (der, old, new) = (der(&good), key(&good), key(&other));
        let at = der.windows(old.len()).position(|window| window == old).unwrap();
        api::x509::pem::encode("CERTIFICATE REQUEST", &[&der[..at], &new, &der[at + old.len()..]].concat())
    };
    for (request, why) in [
        (stolen, "the signature is not that of the key"),
        ("garbage".to_owned(), "PEM block type must be CERTIFICATE REQUEST"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned(), "malformed"),
        (format!("{}{}", good.pem(), " ".repeat(300_000)), "must be no longer than 65536 bytes"),
    ] {
        let refused = create("bad", CLIENT, "client auth", &request).err();
        assert!(refused.contains("spec.request") && refused.contains(why), "{refused}");
    }
}

#[test]
fn a_node_is_one_that_is_there_under_its_own_names() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let create = |name, signer, usages, request: &str| create(&kubectl, name, signer, usages, request);
    let node = format!("system:node:{NODE}");
    for (name, signer, usages, person, why) in [
        ("serves", CLIENT, "client auth, server auth", Person::new("ada", "a"), "invalid usage"),
        ("node", CLIENT, "client auth", Person::new(&node, "system:nodes"), "system:nodes is for the signer"),
        (
            "other",
            KUBELET_CLIENT,
            "client auth, digital signature",
            Person::new("system:node:other", "system:nodes"),
            "no node",
        ),
        (
            "poses",
            KUBELET_SERVING,
            "server auth, digital signature",
            Person::new(&node, "system:nodes").reached_at("kubernetes.default.svc"),
            "is not in status.addresses",
        ),
    ] {
        create(name, signer, usages, &person.pem()).ok();
        kubectl.ok(&format!("certificate approve {name}"));
        let told = outcome(&kubectl, name);
        assert!(told.starts_with("failed: ") && told.contains(why), "{name}: {told}");
    }
    // The node that is there gets what it has already, for another key.
    let twin = Person::new(&node, "system:nodes");
    create("twin", KUBELET_CLIENT, "client auth, digital signature", &twin.pem()).ok();
    kubectl.ok("certificate approve twin");
    let config = kubeconfig(&cluster, &kubectl, &twin, &outcome(&kubectl, "twin"));
    assert!(with_certificate(&kubectl, &config, "auth whoami -o yaml").ok().contains(&format!("username: {node}")));
    with_certificate(&kubectl, &config, &format!("get pods -A --field-selector spec.nodeName={NODE}")).ok();
    assert!(with_certificate(&kubectl, &config, "get secrets -A").err().contains("Forbidden"));
    // Who has no group of nodes is none, whatever it is called.
    let called = Person::new(&node, "readers");
    create("called", CLIENT, "client auth", &called.pem()).ok();
    kubectl.ok("certificate approve called");
    let config = kubeconfig(&cluster, &kubectl, &called, &outcome(&kubectl, "called"));
    let refused =
        with_certificate(&kubectl, &config, &format!("get pods -A --field-selector spec.nodeName={NODE}")).err();
    assert!(refused.contains("cannot list resource \"pods\""), "{refused}");
}

#[test]
fn nodes_get_their_certificates_without_a_person_once_a_role_says_so() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    let node = format!("system:node:{NODE}");
    let usages = "client auth, digital signature";
    let twin = Person::new(&node, "system:nodes");
    let config = cluster.dir().join("bootstrap");
    cluster.kapelle("user create bootstrap --group system:bootstrappers --for 1h").ok();
    fs::write(&config, cluster.kapelle("kubeconfig bootstrap").ok()).unwrap();
    let asks = "create clusterrole asks --verb=create,get --resource=certificatesigningrequests.certificates.k8s.io";
    kubectl.ok(asks);
    kubectl.ok("create clusterrolebinding asks --clusterrole=asks --group=system:bootstrappers");
    let run = |input: &str, arguments: &str| {
        Answer::of(kubectl.command().arg("--kubeconfig").arg(&config).args(words(arguments)), input)
    };
    run(&manifest("twin", KUBELET_CLIENT, usages, &twin.pem()), "create -f -").ok();
    assert!(kubectl.ok("get csr twin").contains("Pending"));
    kubectl.ok("create clusterrolebinding boots --group=system:bootstrappers \
         --clusterrole=system:certificates.k8s.io:certificatesigningrequests:nodeclient");
    let issued = outcome(&kubectl, "twin");
    assert!(!issued.starts_with("failed"), "{issued}");
    let said = kubectl.ok("get csr twin -o 'jsonpath={.status.conditions[0].reason}: {.status.conditions[0].message}'");
    assert_eq!(said, "AutoApproved: Auto approving kubelet client certificate after SubjectAccessReview.");

    // With that certificate the node asks for its next one, for itself alone.
    let config = kubeconfig(&cluster, &kubectl, &twin, &issued);
    let as_node = |input: &str, arguments: &str| {
        Answer::of(kubectl.command().arg("--kubeconfig").arg(&config).args(words(arguments)), input)
    };
    let next = Person::new(&node, "system:nodes");
    as_node(&manifest("next", KUBELET_CLIENT, usages, &next.pem()), "create -f -").ok();
    let other = Person::new("system:node:other", "system:nodes");
    let refused = as_node(&manifest("other", KUBELET_CLIENT, usages, &other.pem()), "create -f -").err();
    assert!(refused.contains("can only create a node CSR with CN=system:node:"), "{refused}");
    kubectl.ok("create clusterrolebinding renews --group=system:nodes \
         --clusterrole=system:certificates.k8s.io:certificatesigningrequests:selfnodeclient");
    assert!(!outcome(&kubectl, "next").starts_with("failed"));
    assert!(as_node("", "get csr next -o yaml").ok().contains("Auto approving self kubelet client certificate"));
    assert!(as_node("", "get csr twin").err().contains("NotFound"), "another asked for that one");
}
