//! Certificates and tokens, and who believes whom over real connections.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::{
    Timestamp,
    x509::{AlternativeNames, PodIdentity, Request, Template, Usage, der},
};
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{Explained, explained};

use super::{Authority, BadToken, Bearer, Csr, Identity, KeyPair, KeySort, Shared, Subject, Token, pinned_client};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn identity(authority: &Authority, subject: &Subject, life: Duration) -> Identity {
    identity_until(authority, subject, SystemTime::now() + life)
}

/// One whose certificate ended a minute ago.
fn ended(authority: &Authority, subject: &Subject) -> Identity {
    identity_until(authority, subject, SystemTime::now() - Duration::from_secs(60))
}

fn identity_until(authority: &Authority, subject: &Subject, end: SystemTime) -> Identity {
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let hosts = match subject {
        Subject::Master { .. } => vec!["127.0.0.1".to_owned(), "master.example".to_owned()],
        Subject::Node { .. } | Subject::Admin { .. } | Subject::User { .. } | Subject::Pod { .. } => Vec::new(),
    };
    let chain = authority.issue_until(&request, subject, &hosts, end).unwrap();
    Identity::new(&chain, &key, authority.certificate_pem()).unwrap()
}

fn master() -> Subject {
    Subject::Master { member: 7 }
}

fn node() -> Subject {
    named("w1", "uid-1")
}

fn named(name: &str, uid: &str) -> Subject {
    Subject::Node { name: name.to_owned(), uid: uid.to_owned() }
}

/// One handshake. Answers whom the server saw, or what either side complained of.
async fn handshake(server: &Arc<Shared>, client: Arc<rustls::ClientConfig>) -> Result<Option<Subject>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(server.server(&[b"h2"]).unwrap());
    let serve = async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(tcp).await.map_err(|error| format!("server: {error}"))?;
        let seen = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        tokio::io::AsyncWriteExt::write_all(&mut tls, b"x").await.map_err(|error| error.to_string())?;
        Ok::<_, String>(seen.map(|certificate| Subject::of(&certificate).unwrap()))
    };
    let call = async move {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("10.9.8.7").unwrap();
        let tls = TlsConnector::from(client)
            .connect(name, tcp)
            .await
            .map_err(|error| format!("client: {}", explained(error)))?;
        let mut tls = Explained(tls);
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut tls, &mut byte).await.map_err(|error| format!("client: {error}"))?;
        Ok::<_, String>(())
    };
    let (served, called) = tokio::join!(serve, call);
    called.and(served)
}

#[tokio::test]
async fn members_of_a_cluster_believe_each_other_and_nobody_else() {
    let (ours, theirs) = (Authority::found("a").unwrap(), Authority::found("b").unwrap());
    let server = Shared::new(identity(&ours, &master(), DAY)).unwrap();
    let worker = Shared::new(identity(&ours, &node(), DAY)).unwrap();
    let stranger = Shared::new(identity(&theirs, &node(), DAY)).unwrap();
    let ended = Shared::new(ended(&ours, &node())).unwrap();

    assert_eq!(handshake(&server, worker.client()).await, Ok(Some(node())));
    assert_eq!(handshake(&worker, server.client_of(node())).await, Ok(Some(master())));
    assert_eq!(handshake(&server, pinned_client(ours.pin())).await, Ok(None), "a newcomer is nobody yet");

    let refused = |result: Result<Option<Subject>, String>| result.unwrap_err();
    assert!(refused(handshake(&server, stranger.client()).await).contains("UnknownIssuer"));
    assert!(refused(handshake(&server, ended.client()).await).contains("xpired"));
    assert!(refused(handshake(&server, pinned_client(theirs.pin())).await).contains("another cluster"));
    // A node's certificate is none for servers: already the authority's word refuses it, before anybody looks at the name.
    assert!(refused(handshake(&worker, worker.client()).await).contains("extended key usage"));
    assert!(refused(handshake(&worker, pinned_client(ours.pin())).await).contains("extended key usage"));
    let other = named("w2", "uid-1");
    assert!(refused(handshake(&worker, server.client_of(other)).await).contains("system:node:w2 was expected"));
    let before = named("w1", "uid-0");
    assert!(refused(handshake(&worker, server.client_of(before)).await).contains("system:node:w1 was expected"));
}

/// What `kubectl` does: it believes whoever the authority signed for the name that it calls.
#[test]
fn a_nodes_certificate_passes_for_no_server_under_any_name() {
    let authority = Authority::found("a").unwrap();
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    for subject in [node(), Subject::Admin { name: "root".to_owned() }] {
        let refused = authority.issue(&request, &subject, &["10.0.0.1".to_owned()], DAY).unwrap_err();
        assert!(refused.to_string().contains("is reached under no name"), "{refused}");
    }
    let checks = |subject: &Subject| {
        let chain = identity(&authority, subject, DAY).certified().unwrap().cert;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(super::files::certificate_from_pem(authority.certificate_pem()).unwrap()).unwrap();
        let by_name = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), super::provider());
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let now = rustls_pki_types::UnixTime::now();
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*by_name.build().unwrap(),
            &chain[0],
            &chain[1..],
            &name,
            &[],
            now,
        )
    };
    assert!(checks(&master()).is_ok());
    for subject in [node(), Subject::Admin { name: "root".to_owned() }] {
        assert!(checks(&subject).unwrap_err().to_string().contains("extended key usage"), "{subject:?}");
    }
}

/// A master whose clock was wrong said no more than "it was closed".
#[tokio::test]
async fn a_certificate_that_is_not_valid_now_makes_one_think_of_clocks() {
    let authority = Authority::found("a").unwrap();
    let (server, late) = (identity(&authority, &master(), DAY), ended(&authority, &master()));
    let (server, late) = (Shared::new(server).unwrap(), Shared::new(late).unwrap());
    let complaint = handshake(&server, late.client()).await.unwrap_err();
    assert!(complaint.starts_with("client: the other side finds that this process's certificate"), "{complaint}");
    assert!(complaint.ends_with("compare the clocks of both hosts"), "{complaint}");
    let complaint = handshake(&late, server.client()).await.unwrap_err();
    assert!(complaint.starts_with("client: its certificate is not valid at this host's time"), "{complaint}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections() {
    let authority = Authority::found("a").unwrap();
    let server = Shared::new(identity(&authority, &master(), DAY)).unwrap();
    let worker = Shared::new(ended(&authority, &node())).unwrap();
    assert!(handshake(&server, worker.client()).await.is_err());
    worker.replace(identity(&authority, &node(), DAY)).unwrap();
    assert_eq!(handshake(&server, worker.client()).await, Ok(Some(node())));
}

#[test]
fn identities_survive_their_files_and_know_when_they_are_due() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Identity::load(dir.path()).unwrap().is_none());
    let authority = Authority::found("a").unwrap();
    authority.store(dir.path()).unwrap();
    let again = Authority::load(dir.path()).unwrap().unwrap();
    assert_eq!(again.pin(), authority.pin());
    let made = identity(&again, &Subject::Admin { name: "root".to_owned() }, 30 * DAY);
    made.store(dir.path()).unwrap();
    let read = Identity::load(dir.path()).unwrap().unwrap();
    assert_eq!((read.subject(), read.chain_pem()), (made.subject(), made.chain_pem()));
    let now = SystemTime::now();
    assert!(!read.is_due(now) && !read.is_due(now + 19 * DAY) && read.is_due(now + 21 * DAY));
    std::fs::write(dir.path().join("tls.crt"), "nonsense").unwrap();
    assert!(Identity::load(dir.path()).unwrap_err().to_string().contains("certificate"));
}

#[test]
fn tokens_are_read_back_and_mangled_ones_say_how() {
    let token = Token::generate(Authority::found("a").unwrap().pin()).unwrap();
    let text = token.to_string();
    assert_eq!(text.parse(), Ok(token.clone()));
    assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
    assert!(!format!("{token:?}").contains(&token.secret), "secrets stay out of logs");
    let complaint = |text: &str| text.parse::<Token>().map_err(|error: BadToken| error.to_string()).unwrap_err();
    for (mangled, why) in [
        (String::new(), "four parts"),
        (text.replace("kapelle1", "kapelle9"), "begin with kapelle1"),
        (text[..text.len() - 1].to_owned(), "its end is missing"),
        (text.replace(&token.pin.to_string(), "abc"), "64 hexadecimal digits"),
        (text.replacen(&format!(".{}.", token.id), ".a.", 1), "6 letters and digits"),
    ] {
        assert!(complaint(&mangled).contains(why), "{mangled}: {}", complaint(&mangled));
    }
}

#[test]
fn bearer_tokens_survive_their_file_and_are_known_by_their_hash() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Bearer::load(dir.path()).unwrap(), None);
    let (token, other) = (Bearer::generate().unwrap(), Bearer::generate().unwrap());
    token.store(dir.path()).unwrap();
    assert_eq!(Bearer::load(dir.path()).unwrap(), Some(token.clone()));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&dir.path().join("admin.token").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(token.hash().is_of(token.text()) && !token.hash().is_of(other.text()));
    let secret = token.text().strip_prefix("kapelle_admin_").unwrap();
    assert!(!token.hash().is_of(secret) && !token.hash().is_of("") && secret.len() == 64);
    assert!(!format!("{token:?}").contains(secret), "secrets stay out of logs");
    let (beheaded, longer) = (&token.text()[1..], format!("{}0", token.text()));
    for (mangled, why) in [("", "begin with kapelle_admin_"), (beheaded, "begin with"), (longer.as_str(), "64 hex")] {
        std::fs::write(dir.path().join("admin.token"), mangled).unwrap();
        let error = Bearer::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("admin.token") && error.contains("delete the file"), "{error}");
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn a_request_must_be_signed_by_its_key() {
    let mut request = KeyPair::generate().unwrap().request().unwrap();
    assert!(Csr::from_der(&request).is_ok());
    let last = request.len() - 1;
    request[last] ^= 1;
    assert!(Csr::from_der(&request).is_err());
    assert!(Csr::from_der(b"").is_err());
}

/// A certificate as it is signed for somebody who asked through the API, for a key of its own.
fn certified(
    authority: &Authority,
    subject: Vec<u8>,
    purpose: Usage,
    life: Duration,
) -> Result<(String, KeyPair), String> {
    let key = KeyPair::generate().unwrap();
    let request = Request::unproven(&key.request().unwrap()).unwrap();
    let millis = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let time = |time: SystemTime| Timestamp(i64::try_from(millis(time)).unwrap());
    let now = SystemTime::now();
    let template = Template {
        subject,
        key: request.key_der,
        pod: None,
        names: AlternativeNames { dns: vec!["ann.example".to_owned()], ..AlternativeNames::default() },
        usages: vec![Usage::DigitalSignature, Usage::KeyEncipherment, purpose],
        from: time(now - Duration::from_secs(300)),
        until: time(now + life),
    };
    authority.certify(&template).map(|chain| (chain, key)).map_err(|error| error.to_string())
}

/// A name of some attributes, by the last number of each.
fn dn(attributes: &[(u8, &str)]) -> Vec<u8> {
    let attributes =
        attributes.iter().map(|(number, text)| der::attribute(&[0x55, 4, *number], der::UTF8_STRING, text));
    der::group(der::SEQUENCE, &attributes.collect::<Vec<_>>())
}

const CN: u8 = 3;
const SERIAL: u8 = 5;
const O: u8 = 10;

fn user(name: &str, groups: &[&str]) -> Option<Subject> {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Some(Subject::User { name: name.to_owned(), uid: String::new(), groups })
}

#[tokio::test]
async fn whoever_was_certified_is_known_by_name_and_groups() {
    let authority = Authority::found("a").unwrap();
    let server = Shared::new(identity(&authority, &master(), DAY)).unwrap();
    let ann = dn(&[(O, "readers"), (O, "writers"), (CN, "ann")]);
    let (chain, key) = certified(&authority, ann.clone(), Usage::ClientAuth, DAY).unwrap();
    let shown = Shared::new(Identity::new(&chain, &key, authority.certificate_pem()).unwrap()).unwrap();
    assert_eq!(handshake(&server, shown.client()).await, Ok(user("ann", &["readers", "writers"])));

    // One for servers is no client, one of another authority is a stranger's, and none is for a server here.
    let (chain, key) = certified(&authority, ann.clone(), Usage::ServerAuth, DAY).unwrap();
    let serving = Shared::new(Identity::new(&chain, &key, authority.certificate_pem()).unwrap()).unwrap();
    assert!(handshake(&server, serving.client()).await.is_err());
    assert!(handshake(&serving, shown.client()).await.unwrap_err().contains("where a master was expected"));
    let other = Authority::found("a").unwrap();
    let (chain, key) = certified(&other, ann, Usage::ClientAuth, DAY).unwrap();
    let strange = Shared::new(Identity::new(&chain, &key, authority.certificate_pem()).unwrap()).unwrap();
    assert!(handshake(&server, strange.client()).await.is_err());
}

#[tokio::test]
async fn a_pod_is_known_by_an_extension_and_by_nothing_else() {
    let authority = Authority::found("a").unwrap();
    let server = Shared::new(identity(&authority, &master(), DAY)).unwrap();
    let pod = PodIdentity {
        namespace: "shop".to_owned(),
        service_account_name: "till".to_owned(),
        pod_name: "till-1".to_owned(),
        ..PodIdentity::default()
    };
    let now = Timestamp::from(SystemTime::now());
    let of = |sort: KeySort, subject: Vec<u8>, dns: &[&str]| {
        let key = KeyPair::generate_as(sort).unwrap();
        let stub = Request::of_pod(&key.request().unwrap()).unwrap();
        let dns = dns.iter().map(|name| (*name).to_owned()).collect();
        let template = Template {
            subject,
            key: stub.key_der,
            pod: Some(pod.clone()),
            names: AlternativeNames { dns, ..AlternativeNames::default() },
            usages: vec![Usage::DigitalSignature, Usage::ClientAuth],
            from: now,
            until: now.after(DAY),
        };
        (authority.certify(&template).unwrap(), key)
    };
    for sort in ["ECDSAP256", "ECDSAP384", "ED25519"].map(|word| KeySort::from_word(word).unwrap()) {
        let (chain, key) = of(sort, dn(&[]), &[]);
        assert!(key.to_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let key = KeyPair::from_pem(&key.to_pem()).unwrap();
        let shown = Shared::new(Identity::new(&chain, &key, authority.certificate_pem()).unwrap()).unwrap();
        let Ok(Some(Subject::Pod { pod: known, fingerprint })) = handshake(&server, shown.client()).await else {
            panic!("{sort:?} is not known")
        };
        assert_eq!((*known, fingerprint.len()), (pod.clone(), 64));
    }
    for (subject, dns) in [(dn(&[(CN, "ann")]), &[][..]), (dn(&[]), &["kubernetes.default.svc"])] {
        let (chain, key) = of(KeySort::EcdsaP256, subject, dns);
        let refused = Identity::new(&chain, &key, authority.certificate_pem()).unwrap_err();
        assert!(refused.to_string().contains("does not say which Pod"), "{refused}");
    }
}

#[test]
fn a_certificate_says_what_was_decided_and_ends_with_its_authority() {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let authority = Authority::found("a").unwrap();
    let (chain, _) = certified(&authority, dn(&[(CN, "ann")]), Usage::ClientAuth, 100 * 365 * DAY).unwrap();
    let blocks: Vec<_> = api::x509::pem::blocks(chain.as_bytes()).collect();
    assert_eq!(blocks.len(), 1, "the authority is known to whoever believes it");
    let (rest, parsed) = X509Certificate::from_der(&blocks[0].bytes).unwrap();
    assert!(rest.is_empty() && !parsed.is_ca());
    let root = api::x509::pem::blocks(authority.certificate_pem().as_bytes()).next().unwrap();
    let (_, root) = X509Certificate::from_der(&root.bytes).unwrap();
    parsed.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!(parsed.validity().not_after, root.validity().not_after);
    assert_eq!(parsed.issuer(), root.subject());
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let purposes = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    let names = format!("{:?}", parsed.subject_alternative_name().unwrap().unwrap().value.general_names);
    assert_eq!(names, "[DNSName(\"ann.example\")]");
    let end = Subject::end_of(&rustls_pki_types::CertificateDer::from(blocks[0].bytes.clone())).unwrap();
    assert_eq!(end, identity(&authority, &master(), 100 * 365 * DAY).not_after().min(end));
    assert!(certified(&authority, dn(&[(CN, "ann")]), Usage::ClientAuth, Duration::ZERO).is_ok());
}

#[test]
fn names_that_could_be_read_in_two_ways_and_those_of_the_cluster_name_nobody() {
    let authority = Authority::found("a").unwrap();
    let of = |attributes: &[(u8, &str)]| {
        let (chain, _) = certified(&authority, dn(attributes), Usage::ClientAuth, DAY).unwrap();
        let block = api::x509::pem::blocks(chain.as_bytes()).next().unwrap();
        Subject::of(&rustls_pki_types::CertificateDer::from(block.bytes)).ok()
    };
    let node = |uid: &str| Some(named("w1", uid));
    for (attributes, expected) in [
        (&[(CN, "ann")][..], user("ann", &[])),
        (&[(CN, "ann"), (O, "")], user("ann", &[""])),
        (&[(O, "a"), (O, "b"), (CN, "ann")], user("ann", &["a", "b"])),
        (&[(CN, "system:node:w1")], user("system:node:w1", &[])),
        (&[(CN, "system:node:w1"), (O, "a")], user("system:node:w1", &["a"])),
        (&[(CN, "system:node:w1"), (SERIAL, "u1")], user("system:node:w1", &[])),
        (&[(CN, "system:node:w1"), (O, "system:nodes"), (SERIAL, "u1")], node("u1")),
        (&[(CN, "system:node:w1"), (O, "system:nodes")], node("")),
        (&[(CN, "ann"), (O, "system:nodes")], None),
        (&[(CN, "system:node:w1"), (O, "system:nodes"), (O, "a"), (SERIAL, "u1")], None),
        (&[(CN, "system:node:w1"), (O, "system:nodes"), (SERIAL, "u1"), (SERIAL, "u2")], None),
        (&[(CN, "ann"), (O, "a"), (O, "system:masters")], Some(Subject::Admin { name: "ann".to_owned() })),
        (&[(CN, "system:kapelle:master:0000000000000007"), (O, "system:kapelle:masters")], Some(master())),
        (&[(CN, "system:kapelle:master:0000000000000007"), (O, "system:kapelle:masters"), (O, "a")], None),
        (&[(CN, "system:kapelle:master:0000000000000007")], None),
        (&[(CN, "ann"), (O, "system:kapelle:masters")], None),
        (&[(CN, "system:kapelle")], None),
        (&[(CN, "system:kapelle:x")], None),
        (&[(O, "a")], None),
        (&[(CN, ""), (O, "a")], None),
        (&[(CN, "ann"), (CN, "root")], None),
    ] {
        assert_eq!(of(attributes), expected, "{attributes:?}");
    }
}
