//! Where the cluster is, and by what it and its user are known: from a kubeconfig, from the environment, or said in code.

mod environment;
mod error;
mod kubeconfig;

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use rpc::{
    Retries, Security,
    identity::{Identity, KeyPair, Shared},
};

pub use error::ConfigError;
pub use kubeconfig::MASTERS_EXTENSION;

/// Which cluster, as whom, and how patiently.
///
/// ```no_run
/// use kapelle_client::{Config, Credentials};
///
/// // What `kubectl` would take, or what the environment names (see [`Config::infer`]):
/// let config = Config::infer()?;
/// // Or said in code:
/// # let (authority, token) = ("", "");
/// let mut config = Config::new(["https://10.0.0.1:6443", "https://10.0.0.2:6443"], Credentials::token(authority, token));
/// config.namespace = "shop".to_owned();
/// # Ok::<_, kapelle_client::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `https://HOST:PORT` of the masters. Any of them serves every request; they are tried in turn, beginning with the one
    /// that answered last.
    pub servers: Vec<String>,
    /// The namespace that is meant where none is named.
    pub namespace: String,
    /// Who writes, as `metadata.managedFields` shows it: the name of the program unless it is set.
    pub field_manager: String,
    /// How long a request is sent again by itself.
    pub retries: Retries,
    credentials: Credentials,
}

/// What a command line can say of a cluster. Whatever it leaves out is looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The context within the kubeconfig, in place of its `current-context`.
    pub context: Option<String>,
    /// The masters, in place of those that are found.
    pub servers: Vec<String>,
    /// The namespace, in place of the one that is found.
    pub namespace: Option<String>,
}

/// By what the cluster is known (its authority's certificate, PEM), and by what its user is.
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

impl fmt::Debug for Credentials {
    /// Nothing of them: they must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// The authority's certificate, and a client's certificate with its key, all PEM.
    pub fn certificate(authority: impl Into<String>, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        let login = Login::Certificate { certificate: certificate.into(), key: key.into() };
        Self { authority: authority.into(), login }
    }

    /// The authority's certificate, PEM, and a bearer token.
    pub fn token(authority: impl Into<String>, token: impl Into<String>) -> Self {
        Self { authority: authority.into(), login: Login::Token(token.into()) }
    }

    /// By what the cluster is known: its authority's certificate, PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    fn security(&self) -> Result<Security, ConfigError> {
        let unusable = |field| move |source| ConfigError::Identity { field, source };
        match &self.login {
            Login::Certificate { certificate, key } => {
                let key = KeyPair::from_pem(key).map_err(unusable("client-key"))?;
                let identity = Identity::new(certificate, &key, &self.authority);
                let identity = identity.map_err(unusable("client-certificate or certificate-authority"))?;
                Ok(Security::Tls(Shared::new(identity).map_err(unusable("client-certificate"))?))
            }
            Login::Token(token) => {
                Security::bearer(&self.authority, token).map_err(unusable("token or certificate-authority"))
            }
        }
    }
}

impl Config {
    /// The cluster behind some masters, in the namespace `default`.
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>, credentials: Credentials) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            namespace: "default".to_owned(),
            field_manager: program(),
            retries: Retries::PATIENT,
            credentials,
        }
    }

    /// Finds the cluster: by `KAPELLE_SERVER` and what belongs to it, then by `KUBECONFIG`, then by what `kapelle dev` left
    /// in `~/.kapelle`.
    ///
    /// With `KAPELLE_SERVER` (one or several `https://HOST:PORT`, with commas between them) go `KAPELLE_AUTHORITY` (the file
    /// of the authority's certificate), and either `KAPELLE_CERTIFICATE` and `KAPELLE_KEY` (files), or `KAPELLE_TOKEN` or
    /// `KAPELLE_TOKEN_FILE`; and perhaps `KAPELLE_NAMESPACE`.
    ///
    /// # Errors
    /// If nothing says where a cluster is, or what says it is not understood.
    pub fn infer() -> Result<Self, ConfigError> {
        Self::load(&Options::default())
    }

    /// As [`Config::infer`], with what a command line says.
    ///
    /// # Errors
    /// As [`Config::infer`].
    pub fn load(options: &Options) -> Result<Self, ConfigError> {
        let named = options.kubeconfig.is_some() || options.context.is_some();
        let environment = if named { None } else { environment::read(|name| env::var(name).ok())? };
        let mut config = match environment {
            Some(config) => config,
            None => {
                let path = options.kubeconfig.clone().unwrap_or_else(kubeconfig::usual_path);
                Self::from_kubeconfig(&path, options.context.as_deref())?
            }
        };
        if !options.servers.is_empty() {
            config.servers.clone_from(&options.servers);
        }
        if let Some(namespace) = &options.namespace {
            config.namespace.clone_from(namespace);
        }
        Ok(config)
    }

    /// What a kubeconfig says of one of its contexts, or of its current one.
    ///
    /// # Errors
    /// If it cannot be read, or the context needs what is not supported.
    pub fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Self, ConfigError> {
        kubeconfig::read(path, context)
    }

    /// By what the cluster and its user are known.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// How connections are protected.
    ///
    /// # Errors
    /// If a certificate, key or token is malformed.
    pub fn security(&self) -> Result<Security, ConfigError> {
        self.credentials.security()
    }
}

/// The directory in which `kapelle dev` keeps everything unless told otherwise: `~/.kapelle`.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    env::var_os("HOME").map_or_else(|| PathBuf::from(".kapelle"), |home| Path::new(&home).join(".kapelle"))
}

/// What this program is called, as client-go's clients call themselves too.
fn program() -> String {
    let path = env::current_exe().ok();
    let name = path.as_deref().and_then(Path::file_stem).and_then(|name| name.to_str());
    name.unwrap_or("kapelle-client").to_owned()
}
