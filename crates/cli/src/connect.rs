//! The kubeconfig that masters and `kapelle dev` write. `kapelle-client` reads it, and `kubectl`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kapelle_client::MASTERS_EXTENSION;
use rpc::identity::{Bearer, Identity};
use serde_json::Value;

/// Where a cluster is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// `https://HOST:PORT` of the masters; `kubectl` uses the first, we try all of them.
    pub masters: Vec<String>,
    /// `https://HOST:PORT` under which a worker's or master's own host passes everybody on to whichever master answers.
    pub local: Option<String>,
}

/// By what somebody is known to a cluster.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// A certificate with its key, and that of the authority.
    pub identity: &'a Identity,
    /// A token for programs that cannot show a certificate.
    pub token: Option<&'a Bearer>,
}

/// The kubeconfig for a cluster, with everything in it. Its context `kapelle` goes to the masters; `kapelle-local`, if there
/// is such a way, to whichever answers.
#[must_use]
pub fn kubeconfig_with(served: &Served, user: User<'_>) -> String {
    let User { identity, token } = user;
    let token = token.map(|token| format!("    token: {}\n", token.text())).unwrap_or_default();
    let login = format!(
        "    client-certificate-data: {}\n    client-key-data: {}\n{token}",
        encode(identity.chain_pem()),
        encode(identity.key_pem()),
    );
    written(served, identity.authority_pem(), Login { user: identity.subject().to_string(), login, namespace: "" })
}

/// The kubeconfig of somebody who is known by a token and nothing else, with the namespace that is meant where none is named.
#[must_use]
pub(crate) fn kubeconfig_by_token(
    served: &Served,
    authority: &str,
    (user, token): (&str, &str),
    namespace: &str,
) -> String {
    let login = Login { user: Value::from(user).to_string(), login: format!("    token: {token}\n"), namespace };
    written(served, authority, login)
}

/// The lines of a kubeconfig that are about a user.
struct Login<'a> {
    /// The name, as YAML.
    user: String,
    login: String,
    /// Empty for the usual one.
    namespace: &'a str,
}

fn encode(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn written(served: &Served, authority: &str, Login { user, login, namespace }: Login<'_>) -> String {
    let authority = encode(authority);
    let first = served.masters.first().map(String::as_str).unwrap_or_default();
    let others = served.masters.iter().skip(1).map(|master| format!("        - {master}\n")).collect::<String>();
    let extension = if others.is_empty() {
        others
    } else {
        format!(
            "    extensions:\n    - name: {MASTERS_EXTENSION}\n      extension:\n        servers:\n        - {first}\n{others}"
        )
    };
    let mut ways = vec![("kapelle", first, extension.as_str())];
    ways.extend(served.local.as_deref().map(|local| ("kapelle-local", local, "")));
    let cluster = |(name, server, extension): &(&str, &str, &str)| {
        format!(
            "- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n{extension}"
        )
    };
    let namespace = if namespace.is_empty() { String::new() } else { format!("    namespace: {namespace}\n") };
    let context = |(name, ..): &(&str, &str, &str)| {
        format!("- name: {name}\n  context:\n    cluster: {name}\n    user: {user}\n{namespace}")
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n{}contexts:\n{}users:\n- name: {user}\n  user:\n{login}current-context: \
         kapelle\n",
        ways.iter().map(cluster).collect::<String>(),
        ways.iter().map(context).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{fs, time::Duration};

    use kapelle_client::Config;
    use rpc::{
        Security,
        identity::{Authority, Csr, KeyPair, Subject},
    };

    use super::*;

    fn admin() -> (Subject, Identity) {
        let (authority, key) = (Authority::found("a").unwrap(), KeyPair::generate().unwrap());
        let request = Csr::from_der(&key.request().unwrap()).unwrap();
        let admin = Subject::Admin { name: "ann".to_owned() };
        let chain = authority.issue(&request, &admin, &[], Duration::from_secs(60)).unwrap();
        (admin, Identity::new(&chain, &key, authority.certificate_pem()).unwrap())
    }

    fn read(text: &str, context: Option<&str>) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        fs::write(&path, text).unwrap();
        Config::from_kubeconfig(&path, context).unwrap()
    }

    #[test]
    fn what_dev_and_masters_write_is_understood() {
        let (admin, identity) = admin();
        let served = Served { masters: vec!["https://127.0.0.1:6443".to_owned()], local: None };
        let token = Bearer::generate().unwrap();
        for token in [None, Some(&token)] {
            let text = kubeconfig_with(&served, User { identity: &identity, token });
            assert_eq!(text.contains("    token: kapelle_admin_"), token.is_some());
            let config = read(&text, None);
            assert_eq!((&config.servers, config.namespace.as_str()), (&served.masters, "default"));
            let Security::Tls(shared) = config.security().unwrap() else { panic!("the certificate first") };
            assert_eq!(shared.with(|identity| identity.subject().clone()), admin);
        }
    }

    #[test]
    fn a_token_is_enough() {
        let token = Bearer::generate().unwrap();
        let served = Served { masters: vec!["https://127.0.0.1:6443".to_owned()], local: None };
        let text = kubeconfig_with(&served, User { identity: &admin().1, token: Some(&token) });
        let bare: String = text.split_inclusive('\n').filter(|line| !line.starts_with("    client-")).collect();
        let security = read(&bare, None).security().unwrap();
        let Security::Bearer(_, header) = &security else { panic!("a token, not {security:?}") };
        assert_eq!(header.to_str().unwrap(), format!("Bearer {}", token.text()));
        let debug = format!("{security:?} {:?}", read(&bare, None));
        assert!(!debug.contains(token.text()), "secrets stay out of logs: {debug}");
    }

    #[test]
    fn whoever_has_a_token_needs_nothing_else() {
        let masters = ["https://m1:6443", "https://m2:6443"].map(str::to_owned).to_vec();
        let authority = admin().1.authority_pem().to_owned();
        for user in ["ann@example.org", "- : #\"'{", "0x1"] {
            let served = Served { masters: masters.clone(), local: None };
            let text = kubeconfig_by_token(&served, &authority, (user, "a.b.c"), "shop");
            assert!(!text.contains("client-"), "{text}");
            let config = read(&text, None);
            assert_eq!((&config.servers, config.namespace.as_str()), (&masters, "shop"));
            let Security::Bearer(_, header) = config.security().unwrap() else { panic!("a token") };
            assert_eq!(header, "Bearer a.b.c");
        }
    }

    #[test]
    fn all_masters_are_known_and_the_local_way_is_a_context() {
        let (_, identity) = admin();
        let masters = ["https://m1:6443", "https://m2:6443", "https://m3:6443"].map(str::to_owned).to_vec();
        let text = kubeconfig_with(
            &Served { masters: masters.clone(), local: Some("https://127.0.0.1:6443".into()) },
            User { identity: &identity, token: None },
        );
        assert_eq!(read(&text, None).servers, masters);
        assert_eq!(read(&text, Some("kapelle-local")).servers, ["https://127.0.0.1:6443"]);
        // Another first server, as somebody wrote it by hand, comes first.
        let elsewhere = text.replacen("https://m1:6443", "https://vip:6443", 1);
        assert_eq!(read(&elsewhere, None).servers.first().unwrap(), "https://vip:6443");
    }
}
