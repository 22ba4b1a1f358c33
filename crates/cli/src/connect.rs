//! Where the cluster is: `--kubeconfig`, then `KUBECONFIG`, then what `kapelle dev` left in its default directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rpc::{
    Security,
    identity::{Bearer, Identity, KeyPair, Shared},
};
use serde::Deserialize;

/// The directory in which `kapelle dev` keeps everything unless told otherwise: `~/.kapelle`.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    env::var_os("HOME").map_or_else(|| PathBuf::from(".kapelle"), |home| Path::new(&home).join(".kapelle"))
}

/// Which cluster, and which namespace is meant when none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `https://host:port` of the masters, to be tried in turn: the one that `kubectl` uses, and those that only we understand.
    pub servers: Vec<String>,
    /// How it is known, and who we are to it.
    pub identity: Credentials,
    /// The context's namespace, or `default`.
    pub namespace: String,
}

/// By what the cluster is known (its authority's certificate, PEM), and by what we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    authority: String,
    login: Login,
}

/// What is shown of ourselves.
#[derive(Clone, PartialEq, Eq)]
enum Login {
    /// A certificate and its key, PEM.
    Certificate { certificate: String, key: String },
    /// A bearer token.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// The same as connections want it.
    ///
    /// # Errors
    /// If one of them is malformed.
    pub fn security(&self) -> Result<Security> {
        match &self.login {
            Login::Certificate { certificate, key } => {
                let key = KeyPair::from_pem(key).context("client-key-data")?;
                let identity = Identity::new(certificate, &key, &self.authority)?;
                Ok(Security::Tls(Shared::new(identity)?))
            }
            Login::Token(token) => Ok(Security::bearer(&self.authority, token)?),
        }
    }
}

/// Finds the cluster.
///
/// # Errors
/// If the kubeconfig cannot be read, names no usable context, or there is none and `kapelle dev` never ran here.
pub fn target(flag: Option<&Path>) -> Result<Target> {
    let path = kubeconfig_path(flag);
    if !path.exists() {
        let path = path.display();
        bail!(
            "no cluster is known: {path} does not exist; start one with `kapelle dev`, or name a kubeconfig with --kubeconfig"
        );
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

fn kubeconfig_path(flag: Option<&Path>) -> PathBuf {
    if let Some(path) = flag {
        return path.to_owned();
    }
    let from_environment = env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    // Like kubectl's, the variable may list several files; the first that exists is ours.
    let first = from_environment.as_ref().and_then(|list| env::split_paths(list).find(|path| path.exists()));
    match (first, from_environment) {
        (Some(path), _) => path,
        (None, Some(list)) => PathBuf::from(list),
        (None, None) => default_data_dir().join("kubeconfig"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<Named<Inside>>,
    #[serde(default)]
    clusters: Vec<Named<Inside>>,
    #[serde(default)]
    users: Vec<Named<Inside>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    inside: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Inside {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    server: String,
    #[serde(default)]
    extensions: Vec<Extension>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    certificate_authority: PathBuf,
    #[serde(default)]
    certificate_authority_data: String,
    #[serde(default)]
    client_certificate: PathBuf,
    #[serde(default)]
    client_certificate_data: String,
    #[serde(default)]
    client_key: PathBuf,
    #[serde(default)]
    client_key_data: String,
    #[serde(default)]
    token: String,
    #[serde(default, rename = "tokenFile")]
    token_file: PathBuf,
}

/// What a program adds to a kubeconfig for itself.
#[derive(Deserialize)]
struct Extension {
    name: String,
    #[serde(default)]
    extension: serde_json::Value,
}

/// The name of our extension of a cluster: all its masters.
const MASTERS: &str = "kapelle/masters";

fn parse(text: &str) -> Result<Target> {
    let config: Kubeconfig = serde_yaml::from_str(text).context("not a kubeconfig")?;
    let context = find(&config.contexts, &config.current_context).context("current-context names no context")?;
    let cluster = find(&config.clusters, &context.cluster).context("the context names no cluster")?;
    let server = cluster.server.trim_end_matches('/').to_owned();
    if !server.starts_with("https://") {
        bail!("cluster.server is {server:?}: use https://; nothing is served without encryption");
    }
    let user = find(&config.users, &context.user).context("the context names no user")?;
    let identity = credentials(cluster, user)?;
    let mut servers = vec![server];
    let ours = cluster.extensions.iter().find(|extension| extension.name == MASTERS);
    let listed = ours.and_then(|extension| extension.extension.get("servers")?.as_array());
    for master in listed.into_iter().flatten().filter_map(|master| master.as_str()) {
        if !servers.iter().any(|known| known == master) {
            servers.push(master.to_owned());
        }
    }
    let namespace = if context.namespace.is_empty() { "default".to_owned() } else { context.namespace.clone() };
    Ok(Target { servers, identity, namespace })
}

fn credentials(cluster: &Inside, user: &Inside) -> Result<Credentials> {
    let authority = pem("certificate-authority", &cluster.certificate_authority_data, &cluster.certificate_authority)?;
    Ok(Credentials { authority, login: login(user)? })
}

/// A certificate goes first, as on the server: whoever shows one is known from the first byte on, and the token stays here.
fn login(user: &Inside) -> Result<Login> {
    let has_certificate = !user.client_certificate_data.is_empty() || !user.client_certificate.as_os_str().is_empty();
    if !has_certificate && let Some(token) = token(user)? {
        return Ok(Login::Token(token));
    }
    Ok(Login::Certificate {
        certificate: pem("client-certificate", &user.client_certificate_data, &user.client_certificate)?,
        key: pem("client-key", &user.client_key_data, &user.client_key)?,
    })
}

/// As for `kubectl`, the file counts if both are given.
fn token(user: &Inside) -> Result<Option<String>> {
    let text = if user.token_file.as_os_str().is_empty() {
        user.token.clone()
    } else {
        let read = fs::read_to_string(&user.token_file);
        read.with_context(|| format!("tokenFile: cannot read {}", user.token_file.display()))?
    };
    Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// Text that is in the kubeconfig as base64, or in a file.
fn pem(field: &str, data: &str, path: &Path) -> Result<String> {
    if !data.is_empty() {
        let bytes = BASE64_STANDARD.decode(data).with_context(|| format!("{field}-data is not base64"))?;
        return String::from_utf8(bytes).with_context(|| format!("{field}-data is not PEM"));
    }
    if path.as_os_str().is_empty() {
        bail!(
            "{field}-data is missing: an https:// cluster needs an authority, and a client certificate with its key or a token"
        );
    }
    fs::read_to_string(path).with_context(|| format!("{field}: cannot read {}", path.display()))
}

fn find<'a>(list: &'a [Named<Inside>], name: &str) -> Option<&'a Inside> {
    list.iter().find(|entry| entry.name == name).map(|entry| &entry.inside)
}

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
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let User { identity, token } = user;
    let token = token.map(|token| format!("    token: {}\n", token.text())).unwrap_or_default();
    let (authority, user) = (encode(identity.authority_pem()), identity.subject());
    let first = served.masters.first().map(String::as_str).unwrap_or_default();
    let others = served.masters.iter().skip(1).map(|master| format!("        - {master}\n")).collect::<String>();
    let extension = if others.is_empty() {
        others
    } else {
        format!(
            "    extensions:\n    - name: {MASTERS}\n      extension:\n        servers:\n        - {first}\n{others}"
        )
    };
    let mut ways = vec![("kapelle", first, extension.as_str())];
    ways.extend(served.local.as_deref().map(|local| ("kapelle-local", local, "")));
    let cluster = |(name, server, extension): &(&str, &str, &str)| {
        format!(
            "- name: {name}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n{extension}"
        )
    };
    let context = |(name, ..): &(&str, &str, &str)| {
        format!("- name: {name}\n  context:\n    cluster: {name}\n    user: {user}\n")
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n{}contexts:\n{}users:\n- name: {user}\n  user:\n    \
         client-certificate-data: {}\n    client-key-data: {}\n{token}current-context: kapelle\n",
        ways.iter().map(cluster).collect::<String>(),
        ways.iter().map(context).collect::<String>(),
        encode(identity.chain_pem()),
        encode(identity.key_pem()),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use rpc::identity::{Authority, Csr, Subject};

    use super::*;

    fn admin() -> (Subject, Identity) {
        let (authority, key) = (Authority::found("a").unwrap(), KeyPair::generate().unwrap());
        let request = Csr::from_der(&key.request().unwrap()).unwrap();
        let admin = Subject::Admin { name: "ann".to_owned() };
        let chain = authority.issue(&request, &admin, &[], Duration::from_secs(60)).unwrap();
        (admin, Identity::new(&chain, &key, authority.certificate_pem()).unwrap())
    }

    #[test]
    fn what_dev_and_masters_write_is_understood() {
        let (admin, identity) = admin();
        let served = Served { masters: vec!["https://127.0.0.1:6443".to_owned()], local: None };
        let token = Bearer::generate().unwrap();
        for token in [None, Some(&token)] {
            let text = kubeconfig_with(&served, User { identity: &identity, token });
            assert_eq!(text.contains("    token: kapelle_admin_"), token.is_some());
            let target = parse(&text).unwrap();
            assert_eq!((&target.servers, target.namespace.as_str()), (&served.masters, "default"));
            let Security::Tls(shared) = target.identity.security().unwrap() else { panic!("the certificate first") };
            assert_eq!(shared.with(|identity| identity.subject().clone()), admin);
        }
    }

    #[test]
    fn a_token_is_enough() {
        let (token, dir) = (Bearer::generate().unwrap(), tempfile::tempdir().unwrap());
        let served = Served { masters: vec!["https://127.0.0.1:6443".to_owned()], local: None };
        let text = kubeconfig_with(&served, User { identity: &admin().1, token: Some(&token) });
        let bare: String = text.split_inclusive('\n').filter(|line| !line.starts_with("    client-")).collect();
        let shown = |text: &str| match parse(text).unwrap().identity.security().unwrap() {
            Security::Bearer(_, header) => header.to_str().unwrap().to_owned(),
            other => panic!("a token, not {other:?}"),
        };
        assert_eq!(shown(&bare), format!("Bearer {}", token.text()));
        let debug = format!("{:?}", parse(&bare).unwrap().identity.security().unwrap());
        assert!(!debug.contains(token.text()), "secrets stay out of logs: {debug}");
        let file = dir.path().join("token");
        fs::write(&file, "from-a-file\n").unwrap();
        let by_file = bare.replace("    token: ", &format!("    tokenFile: {}\n    token: ", file.display()));
        assert_eq!(shown(&by_file), "Bearer from-a-file");
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        fs::remove_file(&file).unwrap();
        assert!(error(&by_file).contains("tokenFile: cannot read"), "{}", error(&by_file));
        let nothing = error(&bare.replace(token.text(), "''"));
        assert!(nothing.contains("client-certificate-data is missing") && nothing.contains("or a token"), "{nothing}");
    }

    #[test]
    fn the_context_chooses_cluster_and_namespace() {
        let data = "client-certificate-data: eA==, client-key-data: eA==";
        let text = format!(
            "current-context: b\ncontexts:\n- name: a\n  context: {{cluster: x}}\n\
             - name: b\n  context: {{cluster: y, namespace: shop, user: u}}\n\
             clusters:\n- name: x\n  cluster: {{server: 'https://x'}}\n\
             - name: y\n  cluster: {{server: 'https://y/', certificate-authority-data: eA==}}\n\
             users:\n- name: u\n  user: {{{data}}}\n"
        );
        let target = parse(&text).unwrap();
        assert_eq!((target.servers, target.namespace.as_str()), (vec!["https://y".to_owned()], "shop"));
    }

    #[test]
    fn all_masters_are_known_and_the_local_way_is_a_context() {
        let (_, identity) = admin();
        let masters = ["https://m1:6443", "https://m2:6443", "https://m3:6443"].map(str::to_owned).to_vec();
        let text = kubeconfig_with(
            &Served { masters: masters.clone(), local: Some("https://127.0.0.1:6443".into()) },
            User { identity: &identity, token: None },
        );
        assert_eq!(parse(&text).unwrap().servers, masters);
        let local = text.replace("current-context: kapelle", "current-context: kapelle-local");
        assert_eq!(parse(&local).unwrap().servers, ["https://127.0.0.1:6443"]);
        // Another first server, as somebody wrote it by hand, comes first.
        let elsewhere = text.replacen("https://m1:6443", "https://vip:6443", 1);
        assert_eq!(parse(&elsewhere).unwrap().servers.first().unwrap(), "https://vip:6443");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(error("{}"), "current-context names no context");
        let bare = |server: &str| {
            error(&format!(
                "current-context: a\ncontexts:\n- name: a\n  context: {{cluster: a, user: a}}\n\
                 clusters:\n- name: a\n  cluster: {{server: '{server}'}}\nusers:\n- name: a\n  user: {{}}\n"
            ))
        };
        let plain = bare("http://10.0.0.1:6443");
        assert!(plain.contains("use https://"), "{plain}");
        let tls = bare("https://10.0.0.1:6443");
        assert!(tls.contains("certificate-authority-data is missing"), "{tls}");
    }
}
