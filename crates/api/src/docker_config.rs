//! What a Secret for pulling images holds: logins by registry, in the form of Docker's configuration file.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::core_v1::Secret;

/// The key of a Secret of the type `kubernetes.io/dockerconfigjson`.
const KEY: &str = ".dockerconfigjson";

/// A login for one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The host of the registry, with its port.
    pub host: String,
    /// Who logs in, or why that cannot be read.
    pub credentials: Result<Credentials, String>,
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who logs in.
    pub name: String,
    /// With which password or token.
    pub password: String,
}

#[derive(Deserialize)]
struct Config {
    auths: BTreeMap<String, Entry>,
}

/// A login as it is written: either both names, or both in one as base64.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

/// The logins that a Secret holds, in the order of their registries.
///
/// # Errors
/// If the Secret holds none.
pub fn logins(secret: &Secret) -> Result<Vec<Login>, String> {
    let missing = || format!("it has no {KEY}; make it with `kubectl create secret docker-registry`");
    read(secret.data.get(KEY).ok_or_else(missing)?)
}

fn read(config: &[u8]) -> Result<Vec<Login>, String> {
    let config: Config = serde_json::from_slice(config).map_err(|error| error.to_string())?;
    let login = |(registry, entry): (String, Entry)| Login { host: host(&registry), credentials: entry.credentials() };
    Ok(config.auths.into_iter().map(login).collect())
}

/// The host in the name of a registry, which may be written as a URL.
fn host(registry: &str) -> String {
    let name = registry.trim_start_matches("https://").trim_start_matches("http://");
    name.split('/').next().unwrap_or_default().to_owned()
}

impl Entry {
    fn credentials(self) -> Result<Credentials, String> {
        if !self.username.is_empty() {
            return Ok(Credentials { name: self.username, password: self.password });
        }
        let wrong = || "auth is not the base64 of NAME:PASSWORD".to_owned();
        let decoded = BASE64_STANDARD.decode(&self.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':')).ok_or_else(wrong)?;
        Ok(Credentials { name: pair.0.to_owned(), password: pair.1.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn logins_are_read_in_both_forms_and_a_bad_one_spoils_no_other() {
        let config = br#"{"auths": {
            "bad.example": {"auth": "!"},
            "https://one.example/v1/": {"username": "u", "password": "p"},
            "two.example:5000": {"auth": "YTpiOmM="}
        }}"#;
        let login = |host: &str, credentials| Login { host: host.to_owned(), credentials };
        let good =
            |name: &str, password: &str| Ok(Credentials { name: name.to_owned(), password: password.to_owned() });
        let bad = Err("auth is not the base64 of NAME:PASSWORD".to_owned());
        let expected = [
            login("bad.example", bad),
            login("one.example", good("u", "p")),
            login("two.example:5000", good("a", "b:c")),
        ];
        assert_eq!(read(config).unwrap(), expected);
        assert!(read(b"{}").is_err() && read(b"").is_err());
        let none = logins(&Secret::default()).unwrap_err();
        assert!(none.contains("docker-registry"), "{none}");
    }
}
