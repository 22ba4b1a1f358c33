//! The connection that all typed access shares.

use std::sync::Arc;

use api::{Error, Object, Subresource};
use bytes::Bytes;
use rpc::{ApplyOptions, Warned};
use serde_json::Value;

use crate::{
    answers::Applied,
    config::{Config, ConfigError},
    params::ApplyParams,
};

/// A connection to the masters of a cluster, made when it is first needed. Cloning is cheap and shares it.
///
/// Any master serves every request. One that does not answer is passed over, and what passes by itself (an election, a master
/// that is restarted, too many requests at once) is waited for as long as [`Config::retries`] say. A request that may have
/// been carried out is sent again only if that does no harm.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use kapelle_client::{Api, Client, core_v1::Node, ListParams, Resource as _};
///
/// let client = Client::try_default()?;
/// for node in Api::<Node>::all(client).list(&ListParams::default()).await?.items {
///     println!("{}", node.name());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    untyped: rpc::Client,
    namespace: Arc<str>,
}

/// The same for a program that has a connection already, in the namespace `default`.
impl From<rpc::Client> for Client {
    fn from(untyped: rpc::Client) -> Self {
        Self { untyped, namespace: "default".into() }
    }
}

impl Client {
    /// A client of the cluster that [`Config::infer`] finds. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// As [`Config::infer`] and [`Client::connect`].
    pub fn try_default() -> Result<Self, ConfigError> {
        Self::connect(&Config::infer()?)
    }

    /// A client of a cluster. Call it within a Tokio runtime. Warnings of writes are logged, unless
    /// [`Client::with_warned`] says otherwise.
    ///
    /// # Errors
    /// If a certificate, key or token is malformed, or a master's URL is not understood.
    pub fn connect(config: &Config) -> Result<Self, ConfigError> {
        let untyped = rpc::Client::connect_with(&config.servers, config.security()?);
        let untyped = untyped.map_err(|error| ConfigError::Malformed(error.message))?;
        let untyped = untyped
            .with_field_manager(&config.field_manager)
            .with_retries(config.retries)
            .with_warned(Warned::new(|warning| tracing::warn!("{warning}")));
        Ok(Self { untyped, namespace: config.namespace.as_str().into() })
    }

    /// The same connection for writes that do everything but store the result.
    #[must_use]
    pub fn with_dry_run(mut self) -> Self {
        self.untyped = self.untyped.with_dry_run();
        self
    }

    /// The same connection for writes under a name, as `metadata.managedFields` shows it.
    #[must_use]
    pub fn with_field_manager(mut self, name: &str) -> Self {
        self.untyped = self.untyped.with_field_manager(name);
        self
    }

    /// The same connection with somebody else to hear the warnings of creates, updates, patches and deletions.
    #[must_use]
    pub fn with_warned(mut self, warned: Warned) -> Self {
        self.untyped = self.untyped.with_warned(warned);
        self
    }

    /// The namespace that is meant where none is named.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same for kinds that are known only when the program runs.
    #[must_use]
    pub fn untyped(&self) -> &rpc::Client {
        &self.untyped
    }

    /// Makes an object of any kind as a manifest says, as `kapelle apply` does. One that names no namespace is meant for the
    /// client's.
    ///
    /// ```no_run
    /// # async fn run(client: kapelle_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for manifest in kapelle_client::manifest::documents("kind: …")? {
    ///     let applied = client.apply(&manifest, &Default::default()).await?;
    ///     println!("{} {:?}", applied.object.key(), applied.outcome);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the manifest is not understood or invalid, if others own what would be changed, or no master answers.
    pub async fn apply(&self, manifest: &Value, params: &ApplyParams) -> Result<Applied<Object>, Error> {
        self.apply_part(manifest, &self.namespace, params, Subresource::None).await
    }

    pub(crate) async fn apply_part(
        &self,
        manifest: &Value,
        namespace: &str,
        ApplyParams { field_manager, force }: &ApplyParams,
        part: Subresource,
    ) -> Result<Applied<Object>, Error> {
        let mut client = self.untyped.clone();
        if !field_manager.is_empty() {
            client = client.with_field_manager(field_manager);
        }
        let options = ApplyOptions { force: *force, part };
        let rpc::Applied { object, outcome, warnings } =
            client.apply_with(manifest.to_string(), namespace, options).await?;
        Ok(Applied { object, outcome, warnings })
    }

    /// Stores a WebAssembly module in the registry that the masters serve; Pods use it as `REPOSITORY:TAG`. Answers the
    /// digest of its manifest.
    ///
    /// # Errors
    /// If the name is malformed, the module is too large, or no master answers.
    pub async fn push(&self, repository: &str, tag: &str, module: impl Into<Bytes>) -> Result<String, Error> {
        self.untyped.push(repository, tag, module.into()).await
    }
}
