//! What the cluster's own signers sign, by Kubernetes' rules, and by what our certificates mean beyond them: a node's names its
//! Node's uid, and only masters are servers under names that are not a node's own.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use api::{
    Key, Kind, Timestamp,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestSpec},
    core_v1::Node,
    kinds::certificates::certificate_signing_request::{CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER},
    users::{MASTERS, NODE_PREFIX, NODES},
    x509::{PublicKey, Request, Template, Usage, der},
};

use crate::world::World;

/// The longest life of a certificate, and that of one for which nobody asks a shorter one: Kubernetes' own. None can be taken
/// back, so that who asks for less is safer.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Clocks may differ by so much: a certificate is valid from before it was signed.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// From this life on, being valid before is part of it.
const LONG: Duration = Duration::from_secs(8 * 3600);

/// The smallest RSA key that is signed for, in bits.
const RSA_BITS_MIN: usize = 2048;

/// Attributes of names: 2.5.4 and these.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The words for usages of which the signers know.
const USAGES: [(&str, Usage); 4] = [
    ("digital signature", Usage::DigitalSignature),
    ("key encipherment", Usage::KeyEncipherment),
    ("client auth", Usage::ClientAuth),
    ("server auth", Usage::ServerAuth),
];

/// What is to be signed for a request, or why nothing is; `None` if it asks another signer.
pub(super) fn template(
    world: &World,
    request: &CertificateSigningRequest,
    now: Timestamp,
) -> Option<Result<Template, String>> {
    let spec = request.spec.as_ref()?;
    let signer = spec.signer_name.as_str();
    if ![CLIENT_SIGNER, KUBELET_CLIENT_SIGNER, KUBELET_SERVING_SIGNER].contains(&signer) {
        return None;
    }
    Some(Request::read(&spec.request).and_then(|asked| {
        sound(&asked)?;
        let subject = match signer {
            KUBELET_CLIENT_SIGNER => kubelet_client(world, &asked, &spec.usages)?,
            KUBELET_SERVING_SIGNER => kubelet_serving(world, &asked, &spec.usages)?,
            _ => client(&asked, &spec.usages)?,
        };
        let (from, until) = validity(spec, now);
        let is_asked = |word: &str| spec.usages.iter().any(|usage| usage == word);
        let usages = USAGES.into_iter().filter(|(word, _)| is_asked(word)).map(|(_, usage)| usage).collect();
        Ok(Template { subject, key: asked.key_der, pod: None, names: asked.names, usages, from, until })
    }))
}

/// The name under which a request asks for a certificate of a node as a client of the masters, if it is such a one.
pub(super) fn node_client(spec: &CertificateSigningRequestSpec) -> Option<String> {
    if spec.signer_name != KUBELET_CLIENT_SIGNER {
        return None;
    }
    let asked = Request::read(&spec.request).ok()?;
    let is_one = sound(&asked).and_then(|()| for_node_client(&asked, &spec.usages));
    let name = asked.subject.common_name;
    is_one.ok().map(|()| name).filter(|name| name.starts_with(NODE_PREFIX))
}

/// What holds for all signers: nothing is signed that two readers could read differently, and no key that is easily found.
fn sound(asked: &Request) -> Result<(), String> {
    match asked.key {
        PublicKey::Rsa(bits) if bits < RSA_BITS_MIN => {
            return Err(format!("the RSA key has {bits} bits; it needs {RSA_BITS_MIN} at least"));
        }
        PublicKey::OtherCurve | PublicKey::Other => {
            return Err("the key is of another sort than RSA, ECDSA on P-256 or P-384, and Ed25519".to_owned());
        }
        PublicKey::Rsa(_) | PublicKey::Ecdsa | PublicKey::Ed25519 => {}
    }
    if asked.subject.is_doubtful {
        return Err("subject common name or organization is empty, given twice, or not UTF-8 text".to_owned());
    }
    if asked.names.unknown > 0 {
        return Err("subjectAltNames other than DNS, IP, email and URI are not allowed".to_owned());
    }
    Ok(())
}

/// A user: whoever it is, but for those whose rights are not roles'.
fn client(asked: &Request, usages: &[String]) -> Result<Vec<u8>, String> {
    if let Some(usage) = usages.iter().find(|usage| !is_of_client(usage)) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    if !usages.iter().any(|usage| usage == "client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    let subject = &asked.subject;
    let names = subject.organizations.iter().chain([&subject.common_name]);
    let own = |name: &&String| *name == "system:kapelle" || name.starts_with("system:kapelle:") || *name == MASTERS;
    if let Some(name) = names.into_iter().find(own) {
        return Err(format!("subject must not name {name}"));
    }
    if subject.organizations.iter().any(|group| group == NODES) {
        return Err(format!("subject organization {NODES} is for the signer {KUBELET_CLIENT_SIGNER}"));
    }
    Ok(subject.der.clone())
}

fn is_of_client(usage: &str) -> bool {
    matches!(usage, "digital signature" | "key encipherment" | "client auth")
}

/// A node, as a client of the masters: just the one whose Node is there, with its uid.
fn kubelet_client(world: &World, asked: &Request, usages: &[String]) -> Result<Vec<u8>, String> {
    for_node_client(asked, usages)?;
    let (name, node) = node(world, asked)?;
    let uid = node.metadata.as_ref().map_or("", |meta| &meta.uid);
    Ok(der::group(
        der::SEQUENCE,
        &[
            der::attribute(ORGANIZATION, der::UTF8_STRING, NODES),
            der::attribute(COMMON_NAME, der::UTF8_STRING, &format!("{NODE_PREFIX}{name}")),
            der::attribute(SERIAL_NUMBER, der::PRINTABLE_STRING, uid),
        ],
    ))
}

/// What a node as a client of the masters asks for, whichever it is.
fn for_node_client(asked: &Request, usages: &[String]) -> Result<(), String> {
    is_of_nodes(asked)?;
    let names = &asked.names;
    for (kind, is_empty) in [
        ("DNS", names.dns.is_empty()),
        ("Email", names.emails.is_empty()),
        ("IP", names.ips.is_empty()),
        ("URI", names.uris.is_empty()),
    ] {
        if !is_empty {
            return Err(format!("{kind} subjectAltNames are not allowed"));
        }
    }
    exactly(usages, "client auth")
}

/// A node, as a server under its own addresses and name. Whoever believes the cluster's authority and looks at names must find
/// nobody else behind one.
fn kubelet_serving(world: &World, asked: &Request, usages: &[String]) -> Result<Vec<u8>, String> {
    is_of_nodes(asked)?;
    let names = &asked.names;
    if names.dns.is_empty() && names.ips.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if !names.emails.is_empty() {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if !names.uris.is_empty() {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    exactly(usages, "server auth")?;
    let (_, node) = node(world, asked)?;
    let addresses = node.status.as_ref().map(|status| status.addresses.as_slice()).unwrap_or_default();
    let is_own_name =
        |name: &String| addresses.iter().any(|known| !known.r#type.ends_with("IP") && known.address == *name);
    let is_own_address = |address: &IpAddr| {
        addresses.iter().any(|known| known.r#type.ends_with("IP") && known.address.parse() == Ok(*address))
    };
    if let Some(name) = names.dns.iter().find(|name| !is_own_name(name)) {
        return Err(format!("DNS subjectAltName {name} is not in status.addresses of the node"));
    }
    if let Some(address) = names.ips.iter().find(|address| !is_own_address(address)) {
        return Err(format!("IP subjectAltName {address} is not in status.addresses of the node"));
    }
    Ok(asked.subject.der.clone())
}

fn is_of_nodes(asked: &Request) -> Result<(), String> {
    if asked.subject.organizations != [NODES] {
        return Err(format!("subject organization is not {NODES}"));
    }
    match asked.subject.others.first() {
        None => Ok(()),
        Some(other) => Err(format!("subject attribute {other} is not allowed: nodes have a name and an organization")),
    }
}

/// The name of the node that a request names, and its Node.
fn node<'w, 'a>(world: &'w World, asked: &'a Request) -> Result<(&'a str, &'w Node), String> {
    let name = asked.subject.common_name.strip_prefix(NODE_PREFIX);
    let name = name.ok_or_else(|| format!("subject common name does not begin with {NODE_PREFIX}"))?;
    let node = world.get::<Node>(&Key::cluster(Kind::Node, name));
    let node = node.filter(|node| node.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none()));
    let missing =
        || format!("there is no node {name:?}; workers join with a token (kapelle token create --role worker)");
    Ok((name, node.ok_or_else(missing)?))
}

/// Nodes ask for one purpose, and may leave out what only RSA keys need.
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    let asked: BTreeSet<&str> =
        usages.iter().map(String::as_str).filter(|usage| *usage != "key encipherment").collect();
    if asked == ["digital signature", purpose].into() {
        return Ok(());
    }
    let mut wanted = ["digital signature", "key encipherment", purpose];
    wanted.sort_unstable();
    Err(format!("usages did not match [{}]", wanted.join(" ")))
}

/// From when until when a certificate is valid.
fn validity(spec: &CertificateSigningRequestSpec, now: Timestamp) -> (Timestamp, Timestamp) {
    let asked = spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let life = asked.unwrap_or(LIFE_MAX).min(LIFE_MAX);
    let left = if life < LONG { life } else { life.saturating_sub(BACKDATED) };
    let backdated = i64::try_from(BACKDATED.as_millis()).unwrap_or_default();
    (Timestamp(now.0.saturating_sub(backdated)), now.after(left))
}
