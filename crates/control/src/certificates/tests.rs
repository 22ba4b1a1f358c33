//! Who gets which certificate, and when requests are forgotten.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use api::{
    Key, Kind, Object, Timestamp, Write,
    certificates_v1::{
        CertificateSigningRequest, CertificateSigningRequestCondition as Condition, CertificateSigningRequestSpec,
        CertificateSigningRequestStatus,
    },
    core_v1::{Node, NodeAddress, NodeStatus},
    kinds::{
        Resource as _,
        certificates::certificate_signing_request::{
            CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER, said,
        },
    },
    x509::{Template, Usage},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use crate::{
    controller::Controller,
    plan::Plan,
    testing::{NOW, plan, world},
};

/// Somebody who asks.
struct Asked {
    name: &'static str,
    groups: Vec<&'static str>,
    names: Vec<SanType>,
    serial: &'static str,
    signer: &'static str,
    usages: &'static [&'static str],
    life_s: Option<i32>,
}

const OF_CLIENTS: &[&str] = &["digital signature", "client auth"];
const OF_SERVERS: &[&str] = &["digital signature", "key encipherment", "server auth"];

fn ada() -> Asked {
    Asked {
        name: "ada",
        groups: vec!["readers", "writers"],
        names: Vec::new(),
        serial: "",
        signer: CLIENT_SIGNER,
        usages: &["client auth"],
        life_s: Some(3600),
    }
}

fn node(signer: &'static str) -> Asked {
    let (usages, names) = match signer {
        KUBELET_SERVING_SIGNER => (OF_SERVERS, vec![dns("w1"), ip([10, 0, 0, 7])]),
        _ => (OF_CLIENTS, Vec::new()),
    };
    Asked { name: "system:node:w1", groups: vec!["system:nodes"], names, signer, usages, ..ada() }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn ip(address: [u8; 4]) -> SanType {
    SanType::IpAddress(address.into())
}

impl Asked {
    fn request(&self, conditions: &[&str]) -> CertificateSigningRequest {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // The library has one of a sort; another spelling of the same sort makes a second one.
        let sorts = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        sorts.into_iter().zip(&self.groups).for_each(|(sort, group)| params.distinguished_name.push(sort, *group));
        params.distinguished_name.push(DnType::CommonName, self.name);
        if !self.serial.is_empty() {
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), self.serial);
        }
        params.subject_alt_names.clone_from(&self.names);
        let text = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        of(text.into_bytes(), self.signer, self.usages, self.life_s, conditions)
    }

    /// What becomes of it once it is approved.
    fn outcome(&self) -> Result<Template, String> {
        outcome(&signing(self.request(&["Approved"])))
    }
}

fn of(
    request: Vec<u8>,
    signer: &str,
    usages: &[&str],
    expiration_seconds: Option<i32>,
    conditions: &[&str],
) -> CertificateSigningRequest {
    let spec = CertificateSigningRequestSpec {
        request: request.into(),
        signer_name: signer.to_owned(),
        usages: usages.iter().map(|usage| (*usage).to_owned()).collect(),
        expiration_seconds,
        ..CertificateSigningRequestSpec::default()
    };
    let condition = |kind: &&str| Condition {
        r#type: (*kind).to_owned(),
        status: "True".to_owned(),
        last_update_time: Some(NOW.into()),
        ..Condition::default()
    };
    let conditions = conditions.iter().map(condition).collect();
    let status = CertificateSigningRequestStatus { conditions, ..CertificateSigningRequestStatus::default() };
    let mut request =
        CertificateSigningRequest { spec: Some(spec), status: Some(status), ..CertificateSigningRequest::default() };
    let meta = request.metadata_mut();
    (meta.name, meta.uid, meta.creation_timestamp) = ("a".to_owned(), "a".to_owned(), Some(NOW.into()));
    request
}

fn w1() -> Node {
    let address = |(kind, address): (&str, &str)| NodeAddress { r#type: kind.to_owned(), address: address.to_owned() };
    let addresses = [("InternalIP", "10.0.0.7"), ("Hostname", "w1")].map(address).to_vec();
    let status = NodeStatus { addresses, ..NodeStatus::default() };
    let mut node = Node { status: Some(status), ..Node::default() };
    (node.metadata_mut().name, node.metadata_mut().uid) = ("w1".to_owned(), "uid-1".to_owned());
    node
}

fn key() -> Key {
    Key::cluster(Kind::CertificateSigningRequest, "a")
}

/// What the signer wants to do about a request, where there is one node.
fn signing(request: CertificateSigningRequest) -> Plan {
    plan(&world([request.into(), w1().into()]), Controller::CertificateSigning, &key())
}

fn outcome(plan: &Plan) -> Result<Template, String> {
    if let Some(order) = &plan.order {
        assert!(plan.steps.is_empty());
        return Ok(order.certificate.clone());
    }
    let [step] = &plan.steps[..] else { panic!("nothing is done: {plan}") };
    let Write::Update(Object::CertificateSigningRequest(request), _) = &step.write else { panic!("{plan}") };
    let failed = said(request, "Failed").unwrap();
    assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", "SignerValidationFailure"));
    Err(failed.message.clone())
}

#[track_caller]
fn refused(asked: &Asked, why: &str) {
    let told = asked.outcome().unwrap_err();
    assert!(told.contains(why), "{told}");
}

/// A name in DER as text: what of it is letters.
fn letters(subject: &[u8]) -> String {
    subject.iter().map(|byte| char::from(*byte)).filter(|letter| letter.is_ascii_graphic()).collect()
}

#[test]
fn a_user_gets_what_was_asked_for_and_not_for_longer() {
    let signed = ada().outcome().unwrap();
    assert_eq!(signed.usages, [Usage::ClientAuth]);
    let (hour, five) = (Duration::from_secs(3600), 300_000);
    assert_eq!((signed.from, signed.until), (Timestamp(NOW.0 - five), NOW.after(hour)));
    assert!(letters(&signed.subject).contains("readers") && letters(&signed.subject).contains("writers"));
    let year = Duration::from_secs(365 * 24 * 3600);
    for life_s in [None, Some(i32::MAX)] {
        let signed = Asked { life_s, ..ada() }.outcome().unwrap();
        assert_eq!(signed.until, Timestamp(NOW.after(year).0 - five), "a year in all, from before it was signed");
    }
    let named = Asked { names: vec![dns("ada.example")], ..ada() }.outcome().unwrap();
    assert_eq!(named.names.dns, ["ada.example"], "as Kubernetes does; it is for no server");
}

#[test]
fn only_what_was_approved_is_signed_once_and_by_its_signer() {
    for conditions in [&[][..], &["Denied"], &["Seen"], &["Approved", "Failed"], &["Approved", "Denied"]] {
        assert_eq!(signing(ada().request(conditions)).to_string(), "", "{conditions:?}");
    }
    assert_eq!(signing(ada().request(&["Approved"])).to_string(), "sign CertificateSigningRequest a\n");
    let other = Asked { signer: "example.org/house", ..ada() };
    assert_eq!(signing(other.request(&["Approved"])).to_string(), "", "somebody else signs it");
    let mut issued = ada().request(&["Approved"]);
    issued.status.get_or_insert_default().certificate = "there".into();
    assert_eq!(signing(issued).to_string(), "");
    let mut leaving = ada().request(&["Approved"]);
    leaving.metadata_mut().deletion_timestamp = Some(NOW.into());
    assert_eq!(signing(leaving).to_string(), "");
}

#[test]
fn no_user_gets_the_rights_of_masters_nodes_or_administrators() {
    let in_group = |group| Asked { groups: vec!["readers", group], ..ada() };
    refused(&in_group("system:masters"), "subject must not name system:masters");
    refused(&in_group("system:kapelle:masters"), "subject must not name system:kapelle:masters");
    refused(&in_group("system:nodes"), "system:nodes is for the signer kubernetes.io/kube-apiserver-client-kubelet");
    let called = |name| Asked { name, ..ada() };
    refused(&called("system:kapelle:master:0000000000000007"), "subject must not name");
    refused(&called("system:kapelle"), "subject must not name");
    refused(&called(""), "is empty");
    assert!(called("system:node:w1").outcome().is_ok(), "who is not of the group of nodes is none");
    let node = Asked { signer: CLIENT_SIGNER, serial: "uid-1", ..node(KUBELET_CLIENT_SIGNER) };
    refused(&node, "system:nodes is for the signer");
}

#[test]
fn a_user_gets_nothing_but_a_clients_certificate() {
    let wants = |usages| Asked { usages, ..ada() };
    refused(&wants(&["client auth", "server auth"]), "invalid usage for client certificate: server auth");
    refused(&wants(&["client auth", "cert sign"]), "invalid usage for client certificate: cert sign");
    refused(&wants(&["any"]), "invalid usage for client certificate: any");
    refused(&wants(&["digital signature"]), "missing required usage for client certificate: client auth");
    assert!(wants(&["client auth", "digital signature", "key encipherment"]).outcome().is_ok());
}

#[test]
fn a_node_is_the_one_that_is_there_and_no_other() {
    let w1 = || node(KUBELET_CLIENT_SIGNER);
    let signed = w1().outcome().unwrap();
    let subject = letters(&signed.subject);
    assert!(subject.contains("system:nodes") && subject.contains("system:node:w1") && subject.contains("uid-1"));
    assert_eq!(signed.usages, [Usage::DigitalSignature, Usage::ClientAuth]);
    refused(&Asked { name: "system:node:w2", ..w1() }, "there is no node \"w2\"");
    refused(&Asked { name: "w1", ..w1() }, "subject common name does not begin with system:node:");
    refused(&Asked { groups: vec!["system:nodes", "a"], ..w1() }, "subject organization is not system:nodes");
    refused(&Asked { groups: vec![], ..w1() }, "subject organization is not system:nodes");
    refused(&Asked { serial: "uid-2", ..w1() }, "subject attribute 2.5.4.5 is not allowed");
    refused(&Asked { names: vec![dns("w1")], ..w1() }, "DNS subjectAltNames are not allowed");
    refused(&Asked { names: vec![ip([10, 0, 0, 7])], ..w1() }, "IP subjectAltNames are not allowed");
    refused(&Asked { usages: &["client auth"], ..w1() }, "usages did not match [client auth digital signature");
    refused(&Asked { usages: OF_SERVERS, ..w1() }, "usages did not match");
}

#[test]
fn a_node_serves_under_its_own_names_alone() {
    let w1 = || node(KUBELET_SERVING_SIGNER);
    assert_eq!(w1().outcome().unwrap().names.dns, ["w1"]);
    refused(&Asked { names: vec![], ..w1() }, "DNS or IP subjectAltName is required");
    for foreign in ["kubernetes.default.svc", "localhost", "w2", "*"] {
        refused(&Asked { names: vec![dns("w1"), dns(foreign)], ..w1() }, "is not in status.addresses of the node");
    }
    refused(&Asked { names: vec![ip([127, 0, 0, 1])], ..w1() }, "IP subjectAltName 127.0.0.1 is not in");
    let mail = SanType::Rfc822Name("a@b".try_into().unwrap());
    refused(&Asked { names: vec![dns("w1"), mail], ..w1() }, "Email subjectAltNames are not allowed");
    refused(&Asked { usages: &["digital signature", "server auth", "client auth"], ..w1() }, "usages did not match");
    refused(&Asked { name: "system:node:w2", ..w1() }, "there is no node \"w2\"");
}

#[test]
fn what_is_no_request_fails_and_is_never_signed() {
    let garbage = of(b"garbage".to_vec(), CLIENT_SIGNER, &["client auth"], None, &["Approved"]);
    assert!(outcome(&signing(garbage)).unwrap_err().contains("PEM block type"));
}

/// When the cleaner deletes a request, in seconds from now; `None` if it never does.
fn forgotten(request: CertificateSigningRequest) -> Option<u64> {
    let world = world([request.into()]);
    let again = plan(&world, Controller::CertificateCleaning, &key()).again?;
    assert_eq!(
        Controller::CertificateCleaning.reconcile(&world, &key(), again).to_string(),
        "delete CertificateSigningRequest a\n"
    );
    Some(again.since(NOW).as_secs())
}

#[test]
fn requests_are_forgotten_when_they_are_done_with() {
    assert_eq!(forgotten(ada().request(&[])), Some(24 * 3600));
    assert_eq!(forgotten(ada().request(&["Denied"])), Some(3600));
    assert_eq!(forgotten(ada().request(&["Approved", "Failed"])), Some(3600));
    assert_eq!(forgotten(ada().request(&["Approved"])), None, "its signer may still come");
    assert_eq!(forgotten(ada().request(&["Seen"])), None, "as in Kubernetes");
    let mut params = CertificateParams::default();
    let mut issued = |seconds: u64| {
        params.not_after = (std::time::SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(NOW.0).unwrap())
            + Duration::from_secs(seconds))
        .into();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let mut request = ada().request(&["Approved"]);
        request.status.get_or_insert_default().certificate = certificate.into();
        request
    };
    assert_eq!(forgotten(issued(7200)), Some(3600));
    assert_eq!(forgotten(issued(600)), Some(600), "the certificate has ended");
}

/// On which grounds a request may be approved by itself.
fn grounds(request: CertificateSigningRequest) -> Vec<&'static str> {
    let plan = plan(&world([request.into(), w1().into()]), Controller::CertificateApproving, &key());
    assert!(plan.steps.is_empty() && plan.order.is_none());
    let grounds = plan.approval.into_iter().flat_map(|approval| approval.grounds);
    grounds.map(|ground| ground.subresource).collect()
}

#[test]
fn only_what_a_node_is_as_a_client_may_be_approved_by_itself() {
    let by = |asked: &Asked, username: &str, conditions: &[&str]| {
        let mut request = asked.request(conditions);
        request.spec.get_or_insert_default().username = username.to_owned();
        grounds(request)
    };
    let own = node(KUBELET_CLIENT_SIGNER);
    assert_eq!(by(&own, "system:node:w1", &[]), ["selfnodeclient", "nodeclient"]);
    assert_eq!(by(&own, "system:node:w2", &[]), ["nodeclient"], "another node is somebody else");
    assert_eq!(by(&own, "bootstrap", &[]), ["nodeclient"]);
    for said in ["Approved", "Denied", "Failed"] {
        assert!(by(&own, "system:node:w1", &[said]).is_empty(), "{said}");
    }
    for other in [
        ada(),
        node(CLIENT_SIGNER),
        node(KUBELET_SERVING_SIGNER),
        Asked { name: "w1", ..node(KUBELET_CLIENT_SIGNER) },
        Asked { groups: vec!["system:masters"], ..node(KUBELET_CLIENT_SIGNER) },
        Asked { groups: vec!["system:nodes", "system:masters"], ..node(KUBELET_CLIENT_SIGNER) },
        Asked { groups: Vec::new(), ..node(KUBELET_CLIENT_SIGNER) },
        Asked { names: vec![dns("kubernetes.default.svc")], ..node(KUBELET_CLIENT_SIGNER) },
        Asked { usages: OF_SERVERS, ..node(KUBELET_CLIENT_SIGNER) },
        Asked { usages: &["client auth"], ..node(KUBELET_CLIENT_SIGNER) },
        Asked { serial: "another", ..node(KUBELET_CLIENT_SIGNER) },
    ] {
        assert!(by(&other, other.name, &[]).is_empty(), "{} of {:?}", other.name, other.groups);
    }
}
