//! Reads kubeconfigs: those that Kapelle writes, and those of others as far as they name a cluster that is reached by TLS, and
//! a user who has a certificate or a token. What cannot be honoured is refused.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use api::yaml;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{Config, ConfigError, Credentials, default_data_dir};

/// The name of our extension of a cluster: all its masters, of which `kubectl` knows only one.
pub const MASTERS_EXTENSION: &str = "kapelle/masters";

/// Where the kubeconfig is if nobody names it.
pub(super) fn usual_path() -> PathBuf {
    let from_environment = env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    // Like kubectl's, the variable may list several files; the first that exists is ours.
    let first = from_environment.as_ref().and_then(|list| env::split_paths(list).find(|path| path.exists()));
    match (first, from_environment) {
        (Some(path), _) => path,
        (None, Some(list)) => PathBuf::from(list),
        (None, None) => default_data_dir().join("kubeconfig"),
    }
}

pub(super) fn read(path: &Path, context: Option<&str>) -> Result<Config, ConfigError> {
    if !path.exists() {
        return Err(ConfigError::NoCluster(path.to_owned()));
    }
    let text = file("kubeconfig", path)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, dir, context).map_err(|error| ConfigError::Within { path: path.to_owned(), source: Box::new(error) })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: String,
    contexts: Vec<Named<Context>>,
    clusters: Vec<Named<Cluster>>,
    users: Vec<Named<User>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user", default)]
    inside: T,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: String,
}

/// What it says of the server's name is passed over: masters are known by the cluster's authority, under whatever name.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    extensions: Vec<Extension>,
    certificate_authority: PathBuf,
    certificate_authority_data: String,
    insecure_skip_tls_verify: String,
    proxy_url: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: PathBuf,
    client_certificate_data: String,
    client_key: PathBuf,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: PathBuf,
    #[serde(rename = "as")]
    impersonated: String,
    exec: Option<Value>,
    auth_provider: Option<Value>,
    username: String,
}

/// What a program adds to a kubeconfig for itself.
#[derive(Deserialize)]
struct Extension {
    name: String,
    #[serde(default)]
    extension: Value,
}

fn parse(text: &str, dir: &Path, context: Option<&str>) -> Result<Config, ConfigError> {
    let not_one = |error: &dyn std::fmt::Display| ConfigError::malformed(format!("not a kubeconfig: {error}"));
    let document = yaml::documents(text).map_err(|error| not_one(&error))?.into_iter().next();
    let document = document.map_or_else(|| Value::Object(serde_json::Map::new()), as_texts);
    let config: File = serde_json::from_value(document).map_err(|error| not_one(&error))?;
    let (cluster, user, namespace) = chosen(&config, context)?;
    let server = cluster.server.trim_end_matches('/').to_owned();
    if !server.starts_with("https://") {
        let why = format!("cluster.server is {server:?}: use https://; nothing is served without encryption");
        return Err(ConfigError::Malformed(why));
    }
    refuse(cluster, user)?;
    let mut servers = vec![server];
    let ours = cluster.extensions.iter().find(|extension| extension.name == MASTERS_EXTENSION);
    let listed = ours.and_then(|extension| extension.extension.get("servers")?.as_array());
    for master in listed.into_iter().flatten().filter_map(|master| master.as_str()) {
        if !servers.iter().any(|known| known == master) {
            servers.push(master.to_owned());
        }
    }
    let mut found = Config::new(servers, credentials(cluster, user, dir)?);
    if !namespace.is_empty() {
        namespace.clone_into(&mut found.namespace);
    }
    Ok(found)
}

/// The cluster, the user and the namespace of a context.
fn chosen<'a>(config: &'a File, named: Option<&str>) -> Result<(&'a Cluster, &'a User, &'a str), ConfigError> {
    let context = find(&config.contexts, named.unwrap_or(&config.current_context)).ok_or_else(|| match named {
        Some(name) => {
            let known: Vec<&str> = config.contexts.iter().map(|context| context.name.as_str()).collect();
            ConfigError::malformed(format!("there is no context {name:?}; there are {}", known.join(", ")))
        }
        None => ConfigError::malformed("current-context names no context"),
    })?;
    let missing = |what: &str| ConfigError::malformed(format!("the context names no {what}"));
    let cluster = find(&config.clusters, &context.cluster).ok_or_else(|| missing("cluster"))?;
    let user = find(&config.users, &context.user).ok_or_else(|| missing("user"))?;
    Ok((cluster, user, context.namespace.as_str()))
}

fn find<'a, T>(list: &'a [Named<T>], name: &str) -> Option<&'a T> {
    list.iter().find(|entry| entry.name == name).map(|entry| &entry.inside)
}

/// What would make the connection another one than the file means.
fn refuse(cluster: &Cluster, user: &User) -> Result<(), ConfigError> {
    let refused = if cluster.insecure_skip_tls_verify == "true" {
        "cluster.insecure-skip-tls-verify: who answers is always verified; give certificate-authority-data instead"
    } else if !cluster.proxy_url.is_empty() {
        "cluster.proxy-url: proxies are not supported; name masters that are reached without one"
    } else if !user.impersonated.is_empty() {
        "user.as: acting as somebody else is not supported; use that user's certificate or token"
    } else {
        return Ok(());
    };
    Err(ConfigError::malformed(refused))
}

fn credentials(cluster: &Cluster, user: &User, dir: &Path) -> Result<Credentials, ConfigError> {
    let Cluster { certificate_authority_data: data, certificate_authority: path, .. } = cluster;
    let authority = pem("certificate-authority", data, path, dir)?;
    // A certificate goes first, as on the server: whoever shows one is known from the first byte on, and the token stays here.
    let has_certificate = !user.client_certificate_data.is_empty() || !user.client_certificate.as_os_str().is_empty();
    if has_certificate {
        let certificate = pem("client-certificate", &user.client_certificate_data, &user.client_certificate, dir)?;
        let key = pem("client-key", &user.client_key_data, &user.client_key, dir)?;
        return Ok(Credentials::certificate(authority, certificate, key));
    }
    match token(user, dir)? {
        Some(token) => Ok(Credentials::token(authority, token)),
        None => Err(ConfigError::malformed(no_login(user))),
    }
}

/// As for `kubectl`, the file counts if both are given.
fn token(user: &User, dir: &Path) -> Result<Option<String>, ConfigError> {
    let text = if user.token_file.as_os_str().is_empty() {
        user.token.clone()
    } else {
        file("tokenFile", &dir.join(&user.token_file))?
    };
    Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
}

fn no_login(user: &User) -> String {
    let other = if user.exec.is_some() {
        "user.exec is not supported: "
    } else if user.auth_provider.is_some() {
        "user.auth-provider is not supported: "
    } else if !user.username.is_empty() {
        "user.username is not supported: "
    } else {
        ""
    };
    format!("{other}client-certificate-data is missing: give a client certificate with its key, or a token")
}

/// Text that is in the kubeconfig as base64, or in a file, whose path is relative to that of the kubeconfig.
fn pem(field: &'static str, data: &str, path: &Path, dir: &Path) -> Result<String, ConfigError> {
    if !data.is_empty() {
        let bytes = BASE64_STANDARD.decode(data);
        let bytes = bytes.map_err(|_| ConfigError::malformed(format!("{field}-data is not base64")))?;
        return String::from_utf8(bytes).map_err(|_| ConfigError::malformed(format!("{field}-data is not PEM")));
    }
    if path.as_os_str().is_empty() {
        let needed = "an https:// cluster needs an authority, and a client certificate with its key or a token";
        return Err(ConfigError::malformed(format!("{field}-data is missing: {needed}")));
    }
    file(field, &dir.join(path))
}

fn file(field: &'static str, path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { field, path: path.to_owned(), source })
}

/// A value as kubectl reads it: fields without a value are not there (it writes `users: null` and means none), and whatever
/// YAML takes for a number or a truth is text, as in `name: 1` or `name: y`.
fn as_texts(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, as_texts(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(as_texts).collect()),
        Value::Bool(truth) => Value::String(truth.to_string()),
        Value::Number(number) => Value::String(number.to_string()),
        value @ (Value::Null | Value::String(_)) => value,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::error::Error as _;

    use super::*;

    const TWO: &str = "current-context: b\ncontexts:\n- name: a\n  context: {cluster: x, user: u}\n\
                       - name: b\n  context: {cluster: y, namespace: shop, user: u}\nclusters:\n\
                       - name: x\n  cluster: {server: 'https://x', certificate-authority-data: eA==}\n\
                       - name: y\n  cluster: {server: 'https://y/', certificate-authority-data: eA==}\n\
                       users:\n- name: u\n  user: {client-certificate-data: eA==, client-key-data: eA==}\n";

    fn parsed(text: &str) -> Result<Config, ConfigError> {
        parse(text, Path::new(""), None)
    }

    #[test]
    fn the_context_chooses_cluster_and_namespace() {
        let of = |context| parse(TWO, Path::new(""), context);
        let config = of(None).unwrap();
        assert_eq!((config.servers, config.namespace.as_str()), (vec!["https://y".to_owned()], "shop"));
        let other = of(Some("a")).unwrap();
        assert_eq!((other.servers, other.namespace.as_str()), (vec!["https://x".to_owned()], "default"));
        assert_eq!(of(Some("c")).unwrap_err().to_string(), "there is no context \"c\"; there are a, b");
    }

    #[test]
    fn masters_that_only_we_understand_follow_the_first() {
        let extension = "certificate-authority-data: eA==, extensions: [{name: kapelle/masters, extension: {servers: \
                         ['https://m1', 'https://y', 'https://m2']}}, {name: other, extension: null}]";
        let text = TWO.replace(
            "server: 'https://y/', certificate-authority-data: eA==",
            &format!("server: 'https://y', {extension}"),
        );
        assert_eq!(parsed(&text).unwrap().servers, ["https://y", "https://m1", "https://m2"]);
    }

    #[test]
    fn files_are_looked_for_beside_the_kubeconfig() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), "authority").unwrap();
        fs::write(dir.path().join("token"), "secret\n").unwrap();
        let text = TWO
            .replace("certificate-authority-data: eA==", "certificate-authority: ca.pem")
            .replace("client-certificate-data: eA==, client-key-data: eA==", "token: other, tokenFile: token");
        let path = dir.path().join("kubeconfig");
        fs::write(&path, text).unwrap();
        let config = read(&path, None).unwrap();
        assert_eq!(config.credentials(), &Credentials::token("authority", "secret"));

        fs::remove_file(dir.path().join("token")).unwrap();
        let error = read(&path, None).unwrap_err();
        assert!(error.to_string().starts_with("in /"), "{error}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.starts_with("tokenFile: cannot read"), "{cause}");
        let nowhere = read(&dir.path().join("none"), None).unwrap_err().to_string();
        assert!(nowhere.starts_with("no cluster is known"), "{nowhere}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| parsed(text).unwrap_err().to_string();
        assert_eq!(error("{}"), "current-context names no context");
        assert_eq!(error(""), "current-context names no context");
        assert!(error("contexts: 7").starts_with("not a kubeconfig"));
        let with = |from: &str, to: &str| error(&TWO.replace(from, to));
        assert!(with("https://y/", "http://y").contains("use https://"));
        assert!(with("certificate-authority-data: eA==", "server: 'https://x'").starts_with("not a kubeconfig"));
        assert!(
            with("certificate-authority-data: eA==", "certificate-authority-data: null")
                .contains("-authority-data is missing")
        );
        assert!(with("certificate-authority-data: eA==", "certificate-authority-data: '?'").contains("is not base64"));
        let login = "client-certificate-data: eA==, client-key-data: eA==";
        assert!(with(login, "").ends_with("or a token"));
        assert!(with(login, "exec: {command: x}").starts_with("user.exec is not supported"));
        assert!(with(login, "username: ann, password: x").starts_with("user.username is not supported"));
        assert!(with(login, "as: root, token: x").starts_with("user.as"));
        assert!(
            with("server: 'https://y/'", "server: 'https://y', insecure-skip-tls-verify: true")
                .starts_with("cluster.insec")
        );
        assert!(
            with("server: 'https://y/'", "server: 'https://y', proxy-url: 'http://p'").starts_with("cluster.proxy-url")
        );
    }

    #[test]
    fn what_kubectl_leaves_empty_is_not_there() {
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: ''\ncontexts: null\nclusters: null\nusers: null\n";
        assert_eq!(parsed(text).unwrap_err().to_string(), "current-context names no context");
        let text = TWO.replace("namespace: shop", "namespace: null");
        assert_eq!(parsed(&text).unwrap().namespace, "default");
        assert_eq!(parsed(&TWO.replace("namespace: shop", "namespace: 12")).unwrap().namespace, "12");
    }
}
