//! One cluster, one namespace, one connection: what every verb works with.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use api::{
    Change, DeleteOptions, Error, Key, Kind, Object, PatchKind, Reason, Revision, Served, Subresource, Timestamp,
    apiextensions_v1::CustomResourceDefinition,
    custom::{Definition, Definitions},
    json::{self, Strictness},
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use kapelle_client::{Api, Config, Options, Typed};
use rpc::{Applied, ApplyOptions, Client, Query, Retries, Update, Warned, forward::Tunnel, services::LogRequest};
use serde_json::Value;

use crate::{
    Connection, errln,
    names::{self, Named},
};

/// Under which name this command owns what it writes.
pub(crate) const FIELD_MANAGER: &str = "kapelle";

/// A connection to a cluster with the namespace that is meant. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    client: Client,
    /// The same connection, for kinds that are known beforehand.
    typed: kapelle_client::Client,
    namespace: String,
    /// By what the cluster is known.
    authority: Arc<str>,
    /// The kinds that users have defined, once somebody has asked.
    defined: Arc<OnceLock<Definitions>>,
}

/// How a manifest is applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How<'a> {
    /// Under which name its fields are owned.
    pub(crate) manager: &'a str,
    /// Do everything but store the result.
    pub(crate) dry_run: bool,
    /// Take over what others own.
    pub(crate) force: bool,
}

/// Which log, and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    pub(crate) pod: String,
    /// Empty if the Pod has only one.
    pub(crate) container: String,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) tail_lines: Option<i64>,
    pub(crate) timestamps: bool,
}

/// The wall clock, for ages.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Session {
    /// Finds the cluster; the connection itself is made when it is first needed.
    pub(crate) fn open(connection: &Connection) -> Result<Self> {
        let mut config = Config::load(&Options {
            kubeconfig: connection.kubeconfig.clone(),
            context: connection.context.clone(),
            servers: connection.server.clone(),
            namespace: connection.namespace.clone(),
        })?;
        FIELD_MANAGER.clone_into(&mut config.field_manager);
        // Somebody waits: a cluster that is not there is told at once.
        config.retries = Retries { unreachable_for: Duration::ZERO, ..config.retries };
        let warned = Warned::new(|warning| errln!("Warning: {warning}"));
        let typed = kapelle_client::Client::connect(&config)?.with_warned(warned);
        let authority = config.credentials().authority().into();
        let client = typed.untyped().clone();
        Ok(Self { client, typed, namespace: config.namespace, authority, defined: Arc::default() })
    }

    /// The connection itself.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The objects of a kind in the namespace that is meant.
    pub(crate) fn api<K: Typed>(&self) -> Api<K> {
        Api::namespaced(self.typed.clone(), &self.namespace)
    }

    /// By what the cluster is known: its authority's certificate, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace for a kind: none for kinds that have none.
    pub(crate) fn namespace_for(&self, kind: Kind) -> String {
        if kind.info().namespaced { self.namespace.clone() } else { String::new() }
    }

    fn key(&self, kind: Kind, name: &str) -> Key {
        Key::namespaced(kind, self.namespace_for(kind), name)
    }

    /// The kinds that users have defined.
    pub(crate) async fn defined(&self) -> Result<&Definitions, Error> {
        if let Some(defined) = self.defined.get() {
            return Ok(defined);
        }
        let all = self.client.list(&Query::all(Kind::CustomResourceDefinition)).await?.items;
        let read = all.iter().filter_map(|object| Definition::of(object.get::<CustomResourceDefinition>()?));
        let defined = Definitions::of(read.map(Arc::new));
        Ok(self.defined.get_or_init(|| defined))
    }

    /// What a command line names. The cluster is asked only for what the table of kinds does not have.
    pub(crate) async fn named(&self, words: &[String]) -> Result<Named> {
        match names::parse(words, &Definitions::default()) {
            Ok(named) => Ok(named),
            Err(_) => names::parse(words, self.defined().await?),
        }
    }

    /// The kind of a manifest.
    pub(crate) async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind> {
        if let Some(kind) = Kind::from_api_version(api_version, kind) {
            return Ok(kind);
        }
        let found = self.defined().await?.from_api_version(api_version, kind).map(Served::kind);
        found.with_context(|| format!("no kind {kind:?} in version {api_version:?}"))
    }

    /// An object as tables show it: in the version in which it is kept, if a user has defined what it is.
    pub(crate) fn shown(&self, mut object: Object) -> Object {
        if let Some(custom) = object.custom_mut()
            && let Some(version) = self.defined.get().and_then(|defined| defined.storage(custom.kind()))
        {
            custom.set_version(version.version);
        }
        object
    }

    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<Object, Error> {
        Ok(self.shown(self.client.get(&self.key(kind, name)).await?))
    }

    /// An object, if there is one of that name.
    pub(crate) async fn find(&self, key: &Key) -> Result<Option<Object>, Error> {
        match self.client.get(key).await {
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// The objects, and the revision after which a watch misses nothing.
    pub(crate) async fn list(&self, query: &Query) -> Result<(Vec<Object>, Revision), Error> {
        let list = self.client.list(query).await?;
        Ok((list.items.into_iter().map(|object| self.shown(object)).collect(), list.revision))
    }

    /// The changes after a revision, for ever.
    pub(crate) fn watch(
        &self,
        query: &Query,
        after: Revision,
    ) -> impl Stream<Item = Result<Vec<Change>, Error>> + Unpin + use<> {
        let updates = self.client.watch(query.clone(), Some(after));
        Box::pin(updates.filter_map(|update| async {
            match update {
                Ok(Update::Changes(changes)) => Some(Ok(changes)),
                Ok(Update::Synced(_) | Update::Restarted) => None,
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// Creates what a manifest describes; it must not exist.
    pub(crate) async fn create(&self, manifest: &Value) -> Result<Object> {
        let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
        let served = Served::from_api_version(text("apiVersion"), text("kind")).context("an unknown kind")?;
        let mut object = json::decode(served, manifest, Strictness::Strict)?.object;
        object.metadata_mut().namespace = self.namespace_for(served.kind());
        Ok(self.client.create(object).await?)
    }

    pub(crate) async fn apply(&self, manifest: &Value, how: How<'_>) -> Result<Applied, Error> {
        let client = self.client.clone().with_field_manager(how.manager);
        let client = if how.dry_run { client.with_dry_run() } else { client };
        let options = ApplyOptions { force: how.force, ..ApplyOptions::default() };
        client.apply_with(manifest.to_string(), &self.namespace, options).await
    }

    /// A JSON merge patch.
    pub(crate) async fn merge(
        &self,
        kind: Kind,
        name: &str,
        patch: &Value,
        part: Subresource,
    ) -> Result<Object, Error> {
        self.client.patch(&self.key(kind, name), PatchKind::Merge, patch.to_string(), part).await
    }

    /// A JSON patch.
    pub(crate) async fn json_patch(&self, kind: Kind, name: &str, patch: &Value) -> Result<Object, Error> {
        self.client.patch(&self.key(kind, name), PatchKind::Json, patch.to_string(), Subresource::None).await
    }

    /// Answers the object if it still exists, because of its grace period or finalizers.
    pub(crate) async fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Option<Object>, Error> {
        Ok(self.client.delete(key, options).await?.object)
    }

    pub(crate) async fn logs(
        &self,
        options: LogOptions,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Unpin + use<>, Error> {
        let LogOptions { pod, container, follow, previous, tail_lines, timestamps } = options;
        let namespace = self.namespace.clone();
        let request =
            LogRequest { namespace, pod, container, follow, previous, tail_lines, timestamps, ..LogRequest::default() };
        Ok(Box::pin(self.client.logs(request).await?))
    }

    /// A connection to a port of a Pod.
    pub(crate) async fn forward(&self, pod: &str, port: u16) -> Result<Tunnel, Error> {
        self.client.forward(&self.key(Kind::Pod, pod), port).await
    }
}

/// What the asked master is: `v1.32.0+kapelle.0.1.0`.
///
/// # Errors
/// If the cluster cannot be found or reached.
pub async fn server_version(connection: &Connection) -> Result<String> {
    let session = Session::open(connection)?;
    let nodes = session.list(&Query::all(Kind::Node)).await?.0;
    let version = nodes.iter().find_map(|node| match node {
        Object::Node(node) => Some(node.status.as_ref()?.node_info.as_ref()?.kubelet_version.clone()),
        _ => None,
    });
    version.context("no node tells its version")
}

/// Stores a module under `NAME[:TAG]` in the registry that the masters serve. Answers the manifest's digest.
///
/// # Errors
/// If the name is not one, or no master takes the module.
pub async fn push(client: &Client, name: &str, module: Vec<u8>) -> Result<String> {
    if name.contains('@') {
        bail!("{name:?}: a digest cannot be chosen, it follows from the content; give NAME[:TAG]");
    }
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    };
    Ok(client.push(repository, tag, module.into()).await?)
}
