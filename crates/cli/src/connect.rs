//! Where the cluster is: `--kubeconfig`, then `KUBECONFIG`, then what `kapelle dev` left in its default directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rpc::{
    Security,
    identity::{Identity, KeyPair, Shared},
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
    /// `http://host:port` or `https://host:port` of a master.
    pub server: String,
    /// How it is known, and who we are to it; `None` where nothing is encrypted.
    pub identity: Option<Credentials>,
    /// The context's namespace, or `default`.
    pub namespace: String,
}

/// Certificates and a key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    authority: String,
    certificate: String,
    key: String,
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
        let key = KeyPair::from_pem(&self.key).context("client-key-data")?;
        let identity = Identity::new(&self.certificate, &key, &self.authority)?;
        Ok(Security::Tls(Shared::new(identity)?))
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
}

fn parse(text: &str) -> Result<Target> {
    let config: Kubeconfig = serde_yaml::from_str(text).context("not a kubeconfig")?;
    let context = find(&config.contexts, &config.current_context).context("current-context names no context")?;
    let cluster = find(&config.clusters, &context.cluster).context("the context names no cluster")?;
    let server = cluster.server.trim_end_matches('/').to_owned();
    let identity = if server.starts_with("https://") {
        let user = find(&config.users, &context.user).context("the context names no user")?;
        Some(credentials(cluster, user)?)
    } else if server.starts_with("http://") {
        None
    } else {
        bail!("cluster.server is {server:?}: use http:// or https://");
    };
    let namespace = if context.namespace.is_empty() { "default".to_owned() } else { context.namespace.clone() };
    Ok(Target { server, identity, namespace })
}

fn credentials(cluster: &Inside, user: &Inside) -> Result<Credentials> {
    Ok(Credentials {
        authority: pem("certificate-authority", &cluster.certificate_authority_data, &cluster.certificate_authority)?,
        certificate: pem("client-certificate", &user.client_certificate_data, &user.client_certificate)?,
        key: pem("client-key", &user.client_key_data, &user.client_key)?,
    })
}

/// Text that is in the kubeconfig as base64, or in a file.
fn pem(field: &str, data: &str, path: &Path) -> Result<String> {
    if !data.is_empty() {
        let bytes = BASE64_STANDARD.decode(data).with_context(|| format!("{field}-data is not base64"))?;
        return String::from_utf8(bytes).with_context(|| format!("{field}-data is not PEM"));
    }
    if path.as_os_str().is_empty() {
        bail!("{field}-data is missing: an https:// cluster needs an authority, a client certificate and its key");
    }
    fs::read_to_string(path).with_context(|| format!("{field}: cannot read {}", path.display()))
}

fn find<'a>(list: &'a [Named<Inside>], name: &str) -> Option<&'a Inside> {
    list.iter().find(|entry| entry.name == name).map(|entry| &entry.inside)
}

/// The kubeconfig for a cluster without authentication, as `kapelle dev` writes it.
#[must_use]
pub fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: kapelle\n  cluster:\n    server: {server}\n\
         contexts:\n- name: kapelle\n  context:\n    cluster: kapelle\n    user: kapelle\n\
         users:\n- name: kapelle\n  user: {{}}\ncurrent-context: kapelle\n"
    )
}

/// The kubeconfig for a cluster with TLS, with everything in it.
#[must_use]
pub fn kubeconfig_with(server: &str, identity: &Identity) -> String {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: kapelle\n  cluster:\n    server: {server}\n    \
         certificate-authority-data: {}\ncontexts:\n- name: kapelle\n  context:\n    cluster: kapelle\n    user: {user}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n\
         current-context: kapelle\n",
        encode(identity.authority_pem()),
        encode(identity.chain_pem()),
        encode(identity.key_pem()),
        user = identity.subject(),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Target, kubeconfig, parse};

    #[test]
    fn what_dev_writes_is_understood() {
        let target = parse(&kubeconfig("http://127.0.0.1:6443")).unwrap();
        assert_eq!(
            target,
            Target { server: "http://127.0.0.1:6443".into(), identity: None, namespace: "default".into() }
        );
    }

    #[test]
    fn the_context_chooses_cluster_and_namespace() {
        let text = "current-context: b\ncontexts:\n- name: a\n  context: {cluster: x}\n- name: b\n  context: {cluster: y, namespace: shop}\n\
                    clusters:\n- name: x\n  cluster: {server: 'http://x'}\n- name: y\n  cluster: {server: 'http://y/'}\n";
        assert_eq!(
            parse(text).unwrap(),
            Target { server: "http://y".into(), identity: None, namespace: "shop".into() }
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(error("{}"), "current-context names no context");
        let tls = kubeconfig("https://10.0.0.1:6443");
        assert!(error(&tls).contains("certificate-authority-data is missing"), "{}", error(&tls));
    }
}
