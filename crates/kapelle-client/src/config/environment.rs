//! A cluster that is named by the environment, for programs that have no kubeconfig.

use std::{fs, path::PathBuf};

use super::{Config, ConfigError, Credentials};

/// The masters, `https://HOST:PORT` with commas between them. Without it the environment says nothing.
const SERVER: &str = "KAPELLE_SERVER";

/// The file with the certificate of the cluster's authority, PEM.
const AUTHORITY: &str = "KAPELLE_AUTHORITY";

/// The file with the client's certificate, PEM.
const CERTIFICATE: &str = "KAPELLE_CERTIFICATE";

/// The file with the certificate's key, PEM.
const KEY: &str = "KAPELLE_KEY";

/// A bearer token, in place of certificate and key.
const TOKEN: &str = "KAPELLE_TOKEN";

/// The file with the bearer token.
const TOKEN_FILE: &str = "KAPELLE_TOKEN_FILE";

/// The namespace that is meant where none is named.
const NAMESPACE: &str = "KAPELLE_NAMESPACE";

/// What variables say; `None` if they name no cluster.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Config>, ConfigError> {
    let variable = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let Some(servers) = variable(SERVER) else { return Ok(None) };
    let file = |name: &'static str, remedy: &str| {
        let path = variable(name).map(PathBuf::from);
        let path = path.ok_or_else(|| ConfigError::malformed(format!("{name} is missing: {remedy}")))?;
        fs::read_to_string(&path).map_err(|source| ConfigError::Unreadable { field: name, path, source })
    };
    let authority = file(AUTHORITY, "name the file with the certificate of the cluster's authority")?;
    let credentials = if variable(CERTIFICATE).is_some() {
        let certificate = file(CERTIFICATE, "name the file with the client's certificate")?;
        Credentials::certificate(authority, certificate, file(KEY, "name the file with the certificate's key")?)
    } else if variable(TOKEN_FILE).is_some() {
        Credentials::token(authority, file(TOKEN_FILE, "name the file with the token")?.trim())
    } else if let Some(token) = variable(TOKEN) {
        Credentials::token(authority, token)
    } else {
        let remedy = "name the file with the client's certificate, or set KAPELLE_TOKEN or KAPELLE_TOKEN_FILE";
        return Err(ConfigError::malformed(format!("{CERTIFICATE} is missing: {remedy}")));
    };
    let mut config = Config::new(servers.split(',').map(str::trim).filter(|server| !server.is_empty()), credentials);
    if let Some(namespace) = variable(NAMESPACE) {
        config.namespace = namespace;
    }
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<Config>, ConfigError> {
        read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn variables_name_a_cluster_or_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pem");
        fs::write(&file, "PEM\n").unwrap();
        let pem = file.to_str().unwrap();
        assert!(of(&[(NAMESPACE, "shop"), (TOKEN, "t")]).unwrap().is_none(), "no cluster is named");

        let servers = (SERVER, "https://m1:6443, https://m2:6443");
        let config = of(&[servers, (AUTHORITY, pem), (TOKEN, "t"), (NAMESPACE, "shop")]).unwrap().unwrap();
        assert_eq!(config.servers, ["https://m1:6443", "https://m2:6443"]);
        assert_eq!((config.namespace.as_str(), config.credentials()), ("shop", &Credentials::token("PEM\n", "t")));
        let by_file = of(&[servers, (AUTHORITY, pem), (TOKEN_FILE, pem)]).unwrap().unwrap();
        assert_eq!(by_file.credentials(), &Credentials::token("PEM\n", "PEM"));
        let by_certificate = of(&[servers, (AUTHORITY, pem), (CERTIFICATE, pem), (KEY, pem)]).unwrap().unwrap();
        assert_eq!(by_certificate.credentials(), &Credentials::certificate("PEM\n", "PEM\n", "PEM\n"));

        let error = |variables: &[(&str, &str)]| of(variables).unwrap_err().to_string();
        assert!(error(&[servers]).starts_with("KAPELLE_AUTHORITY is missing"));
        assert!(error(&[servers, (AUTHORITY, pem)]).contains("KAPELLE_TOKEN"));
        assert!(error(&[servers, (AUTHORITY, pem), (CERTIFICATE, pem)]).starts_with("KAPELLE_KEY is missing"));
        assert!(error(&[servers, (AUTHORITY, "/nowhere")]).starts_with("KAPELLE_AUTHORITY: cannot read /nowhere"));
    }
}
