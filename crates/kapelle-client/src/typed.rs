//! Access to the objects of one kind.

use std::{fmt, marker::PhantomData, sync::Arc};

use api::{DeleteOptions, Error, Key, Object, ReadAt, Reason, Subresource, core_v1::Pod, json, kinds::Scale};
use bytes::Bytes;
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use rpc::{Query, convert, forward::Tunnel};
use serde_json::json;

use crate::{
    answers::{Applied, Deleted, List, Page},
    client::Client,
    conflict,
    kind::{Typed, has, typed},
    params::{ApplyParams, ListParams, LogParams, Patch},
};

/// The objects of a kind, in one namespace or in all. Cloning is cheap and shares the connection.
///
/// ```no_run
/// # async fn run(client: kapelle_client::Client) -> Result<(), kapelle_client::Error> {
/// use kapelle_client::{Api, ListParams, apps_v1::Deployment, core_v1::ConfigMap, manifest};
///
/// let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
/// let map = manifest::from_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: colours}, data: {sky: blue}}")?;
/// maps.create(map).await?;
/// maps.modify("colours", |map| _ = map.data.insert("grass".to_owned(), "green".to_owned())).await?;
/// maps.delete("colours", &Default::default()).await?;
///
/// let deployments: Api<Deployment> = Api::namespaced(client, "shop");
/// deployments.set_replicas("web", 3).await?;
/// # Ok(())
/// # }
/// ```
///
/// What a kind does not have, it cannot be asked for: a namespace for a Node, or a scale for a ConfigMap, is an error of the
/// compiler.
///
/// ```compile_fail
/// # fn no(client: kapelle_client::Client) {
/// kapelle_client::Api::<kapelle_client::core_v1::Node>::namespaced(client, "default");
/// # }
/// # fn main() { no(kapelle_client::Client::try_default().unwrap()) }
/// ```
///
/// ```compile_fail
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = kapelle_client::Client::try_default()?;
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let maps = kapelle_client::Api::<kapelle_client::core_v1::ConfigMap>::default_namespaced(client);
/// maps.get_scale("a").await?;
/// # Ok::<_, kapelle_client::Error>(())
/// # })?;
/// # Ok(())
/// # }
/// ```
pub struct Api<K> {
    client: Client,
    /// Empty for all.
    namespace: Arc<str>,
    at: ReadAt,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        let Self { client, namespace, at, kind } = self;
        Self { client: client.clone(), namespace: namespace.clone(), at: *at, kind: *kind }
    }
}

impl<K: Typed> fmt::Debug for Api<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("kind", &K::KIND).field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl<K: Typed> Api<K> {
    /// The objects of all namespaces, or of a kind that has none. What is written says its namespace itself.
    #[must_use]
    pub fn all(client: Client) -> Self {
        Self { client, namespace: "".into(), at: ReadAt::Latest, kind: PhantomData }
    }

    /// The objects of one namespace.
    #[must_use]
    pub fn namespaced(client: Client, namespace: &str) -> Self {
        const { assert!(K::KIND.info().namespaced, "objects of this kind live in no namespace: use Api::all") };
        Self { namespace: namespace.into(), ..Self::all(client) }
    }

    /// The objects of the client's namespace.
    #[must_use]
    pub fn default_namespaced(client: Client) -> Self {
        let namespace = client.namespace().to_owned();
        Self::namespaced(client, &namespace)
    }

    /// The same with another state to read: [`ReadAt::Any`] is whatever the asked master knows, which costs nobody else
    /// anything; [`ReadAt::Latest`], unless this is called, is as new as every write that was answered before.
    #[must_use]
    pub fn reading(mut self, at: ReadAt) -> Self {
        self.at = at;
        self
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`Reason::NotFound`] if there is none.
    pub async fn get(&self, name: &str) -> Result<K, Error> {
        typed(self.untyped().get_at(&self.key(name)?, self.at).await?)
    }

    /// Reads one object, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn get_opt(&self, name: &str) -> Result<Option<K>, Error> {
        match self.get(name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads all objects that are selected, in one state. Of very many, [`Api::page`] and [`Api::stream`] hold only some in
    /// memory.
    ///
    /// # Errors
    /// If a selector is not understood.
    pub async fn list(&self, params: &ListParams) -> Result<List<K>, Error> {
        let list = self.untyped().list_at(&self.query(params), self.at).await?;
        let items = list.items.into_iter().map(typed).collect::<Result<_, _>>()?;
        Ok(List { items, revision: list.revision })
    }

    /// Reads one page of objects: the first, or the one after the page whose `next` is given.
    ///
    /// # Errors
    /// As [`Api::list`]; [`Reason::Expired`] if the masters have forgotten the state: begin anew.
    pub async fn page(&self, params: &ListParams, next: Option<&str>) -> Result<Page<K>, Error> {
        let token = next.unwrap_or_default().to_owned();
        let page = self.untyped().page_at(&self.query(params), params.limit.into(), token, self.at).await?;
        let items = page.items.into_iter().map(|object| typed(convert::object_from_wire(Some(object))?));
        Ok(Page {
            items: items.collect::<Result<_, _>>()?,
            revision: convert::revision_from_wire(&page.resource_version)?.unwrap_or_default(),
            next: Some(page.r#continue).filter(|token| !token.is_empty()),
            remaining: page.remaining_item_count.and_then(|count| count.try_into().ok()),
        })
    }

    /// Reads all objects that are selected, in one state, a page at a time.
    ///
    /// # Errors
    /// The stream ends with an error where [`Api::page`] has one.
    pub fn stream(&self, params: &ListParams) -> BoxStream<'static, Result<K, Error>> {
        let (api, params) = (self.clone(), params.clone());
        let pages = stream::try_unfold(Some(None::<String>), move |next| {
            let (api, params) = (api.clone(), params.clone());
            async move {
                let Some(token) = next else { return Ok::<_, Error>(None) };
                let page = api.page(&params, token.as_deref()).await?;
                Ok(Some((stream::iter(page.items.into_iter().map(Ok::<K, Error>)), page.next.map(Some))))
            }
        });
        pages.try_flatten().boxed()
    }

    /// Stores a new object. Answers it as stored.
    ///
    /// # Errors
    /// [`Reason::AlreadyExists`] if the name is taken, [`Reason::Invalid`] with the fields that are wrong.
    pub async fn create(&self, object: K) -> Result<K, Error> {
        typed(self.untyped().create(self.here(object)?).await?)
    }

    /// Replaces an object, all but its status. A `metadata.resourceVersion` is a precondition.
    ///
    /// # Errors
    /// [`Reason::Conflict`] if somebody else was quicker: read it again, change it again, as [`Api::modify`] does.
    pub async fn update(&self, object: K) -> Result<K, Error> {
        self.update_part(object, Subresource::None).await
    }

    /// Replaces the status of an object, and nothing else.
    ///
    /// # Errors
    /// As [`Api::update`].
    pub async fn update_status(&self, object: K) -> Result<K, Error> {
        const { assert!(has(K::KIND, Subresource::Status), "objects of this kind have no status") };
        self.update_part(object, Subresource::Status).await
    }

    /// Reads an object, changes it, and writes it; all of it again while somebody else is quicker. If nothing is changed,
    /// nothing is written.
    ///
    /// # Errors
    /// As [`Api::get`] and [`Api::update`].
    pub async fn modify(&self, name: &str, change: impl FnMut(&mut K)) -> Result<K, Error> {
        self.modify_part(name, change, Subresource::None).await
    }

    /// As [`Api::modify`], for the status.
    ///
    /// # Errors
    /// As [`Api::modify`].
    pub async fn modify_status(&self, name: &str, change: impl FnMut(&mut K)) -> Result<K, Error> {
        const { assert!(has(K::KIND, Subresource::Status), "objects of this kind have no status") };
        self.modify_part(name, change, Subresource::Status).await
    }

    /// Changes parts of an object.
    ///
    /// # Errors
    /// If there is no such object, or the patch does not fit it.
    pub async fn patch(&self, name: &str, patch: &Patch) -> Result<K, Error> {
        self.patch_part(name, patch, Subresource::None).await
    }

    /// Changes parts of an object's status.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn patch_status(&self, name: &str, patch: &Patch) -> Result<K, Error> {
        const { assert!(has(K::KIND, Subresource::Status), "objects of this kind have no status") };
        self.patch_part(name, patch, Subresource::Status).await
    }

    /// How many replicas are wanted and there, and by which labels they are found.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn get_scale(&self, name: &str) -> Result<Scale, Error> {
        const { assert!(has(K::KIND, Subresource::Scale), "objects of this kind have no scale") };
        let object = self.untyped().get_at(&self.key(name)?, self.at).await?;
        Ok(object.scale().unwrap_or_default())
    }

    /// Says how many replicas there should be.
    ///
    /// # Errors
    /// As [`Api::patch`].
    pub async fn set_replicas(&self, name: &str, replicas: u32) -> Result<K, Error> {
        const { assert!(has(K::KIND, Subresource::Scale), "objects of this kind have no scale") };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.patch_part(name, &patch, Subresource::Scale).await
    }

    /// Makes an object as the one that is given says, whether it exists or not: server-side apply. Whoever applies owns the
    /// fields that are said; what the same one applied before and does not say any more is removed. Give what the program
    /// wants, not what it read. A type says some fields that a manifest would leave out (`strategy: {}`); to own nothing but
    /// what is written, apply a manifest by [`Client::apply`].
    ///
    /// ```no_run
    /// # async fn run(maps: kapelle_client::Api<kapelle_client::core_v1::ConfigMap>) -> Result<(), kapelle_client::Error> {
    /// use kapelle_client::{ApplyParams, manifest};
    ///
    /// let map = manifest::from_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: colours}, data: {sky: blue}}")?;
    /// match maps.apply(&map, &ApplyParams::default()).await {
    ///     Err(error) if error.is_owned_by_others() => println!("left to others: {:?}", error.causes),
    ///     applied => println!("{:?}", applied?.outcome),
    /// }
    /// maps.apply(&map, &ApplyParams::manager("shop-controller").force()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Reason::Conflict`] with the fields that others own, unless it is forced; if the object is invalid.
    pub async fn apply(&self, object: &K, params: &ApplyParams) -> Result<Applied<K>, Error> {
        self.apply_part(object, params, Subresource::None).await
    }

    /// As [`Api::apply`], for the status of an object that exists; of what is given nothing else counts.
    ///
    /// # Errors
    /// As [`Api::apply`].
    pub async fn apply_status(&self, object: &K, params: &ApplyParams) -> Result<Applied<K>, Error> {
        const { assert!(has(K::KIND, Subresource::Status), "objects of this kind have no status") };
        self.apply_part(object, params, Subresource::Status).await
    }

    /// Deletes an object, at once or gracefully.
    ///
    /// # Errors
    /// [`Reason::NotFound`] if there is none, [`Reason::Conflict`] if it is not the one that the options mean.
    pub async fn delete(&self, name: &str, options: &DeleteOptions) -> Result<Deleted<K>, Error> {
        let deleted = self.untyped().delete(&self.key(name)?, options).await?;
        Ok(Deleted { object: deleted.object.map(typed).transpose()?, uid: deleted.uid })
    }

    async fn apply_part(&self, object: &K, params: &ApplyParams, part: Subresource) -> Result<Applied<K>, Error> {
        let manifest = json::encode(&self.here(object.clone())?);
        let applied = self.client.apply_part(&manifest, &self.namespace, params, part).await?;
        Ok(Applied { object: typed(applied.object)?, outcome: applied.outcome, warnings: applied.warnings })
    }

    async fn update_part(&self, object: K, part: Subresource) -> Result<K, Error> {
        typed(self.untyped().update(self.here(object)?, part).await?)
    }

    async fn patch_part(&self, name: &str, patch: &Patch, part: Subresource) -> Result<K, Error> {
        let (kind, patch) = patch.of_kind();
        typed(self.untyped().patch(&self.key(name)?, kind, patch.to_string(), part).await?)
    }

    async fn modify_part(&self, name: &str, mut change: impl FnMut(&mut K), part: Subresource) -> Result<K, Error> {
        let mut tried = 0;
        loop {
            let read: K = typed(self.untyped().get(&self.key(name)?).await?)?;
            let mut object = read.clone();
            change(&mut object);
            if object == read {
                return Ok(read);
            }
            match self.update_part(object, part).await {
                Err(error) if conflict::is_tried_again(&error, &mut tried) => {
                    tokio::time::sleep(conflict::pause(tried)).await;
                }
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn untyped(&self) -> &rpc::Client {
        self.client.untyped()
    }

    pub(crate) fn query(&self, params: &ListParams) -> Query {
        Query {
            kind: K::KIND,
            namespace: self.namespace.to_string(),
            labels: params.labels.clone(),
            fields: params.fields.clone(),
        }
    }

    fn key(&self, name: &str) -> Result<Key, Error> {
        if K::KIND.info().namespaced && self.namespace.is_empty() {
            return Err(Error::bad_request(format!(
                "{}: name a namespace with Api::namespaced",
                K::KIND.resource_name()
            )));
        }
        Ok(Key::namespaced(K::KIND, self.namespace.clone(), name))
    }

    /// An object that is to be written, in the namespace that is meant.
    fn here(&self, mut object: K) -> Result<Object, Error> {
        if K::KIND.info().namespaced {
            let metadata = object.metadata_mut();
            if metadata.namespace.is_empty() {
                (*self.namespace).clone_into(&mut metadata.namespace);
            }
            let wrong = |why: &str| Err(Error::bad_request(format!("metadata.namespace: {why}")));
            if metadata.namespace.is_empty() {
                return wrong("say it, or use Api::namespaced");
            }
            if !self.namespace.is_empty() && metadata.namespace != *self.namespace {
                return wrong(&format!("{:?} is not {:?}, which is meant here", metadata.namespace, self.namespace));
            }
        }
        Ok(object.into())
    }
}

impl Api<Pod> {
    /// Reads the log of a Pod's container from whichever node it is on, and with [`LogParams::follow`] goes on reading until
    /// the container ends for good. Lines may be split between pieces.
    ///
    /// ```no_run
    /// # async fn run(pods: kapelle_client::Api<kapelle_client::core_v1::Pod>) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::io::Write as _;
    ///
    /// use futures::TryStreamExt as _;
    /// use kapelle_client::LogParams;
    ///
    /// let mut log = pods.logs("web-0", &LogParams { follow: true, tail_lines: Some(10), ..Default::default() }).await?;
    /// while let Some(piece) = log.try_next().await? {
    ///     std::io::stdout().write_all(&piece)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is no such log.
    pub async fn logs(&self, pod: &str, params: &LogParams) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let key = self.key(pod)?;
        Ok(self.untyped().logs(params.of_pod(&key.namespace, pod)).await?.boxed())
    }

    /// Opens a connection to a port of a Pod, through whichever master answers: bytes both ways, each side ended by itself.
    ///
    /// ```no_run
    /// # async fn run(pods: kapelle_client::Api<kapelle_client::core_v1::Pod>) -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    ///
    /// let mut tunnel = pods.forward("web-0", 8080).await?;
    /// tunnel.write_all(b"GET / HTTP/1.1\r\nhost: web-0\r\nconnection: close\r\n\r\n").await?;
    /// let mut answer = String::new();
    /// tunnel.read_to_string(&mut answer).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If there is no such Pod, or nobody takes the connection there.
    pub async fn forward(&self, pod: &str, port: u16) -> Result<Tunnel, Error> {
        self.untyped().forward(&self.key(pod)?, port).await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{core_v1::Node, kinds::Resource as _};
    use rpc::identity::Authority;

    use super::*;
    use crate::{Config, Credentials, Retries};

    fn client() -> Client {
        let authority = Authority::found("a").unwrap();
        let credentials = Credentials::token(authority.certificate_pem(), "secret");
        // Port 1 is reserved and never listens.
        let mut config = Config::new(["https://127.0.0.1:1"], credentials);
        config.retries = Retries::NEVER;
        Client::connect(&config).unwrap()
    }

    fn pod(namespace: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata_mut().name = "a".to_owned();
        pod.metadata_mut().namespace = namespace.to_owned();
        pod
    }

    #[tokio::test]
    async fn what_is_written_is_in_the_namespace_that_is_meant() {
        let (here, all) = (Api::<Pod>::namespaced(client(), "shop"), Api::<Pod>::all(client()));
        let namespace = |object: Result<Object, Error>| object.map(|object| object.key().namespace.to_string());
        assert_eq!(namespace(here.here(pod(""))).unwrap(), "shop");
        assert_eq!(namespace(all.here(pod("other"))).unwrap(), "other");
        let error = |object: Result<Object, Error>| object.unwrap_err().message;
        assert_eq!(
            error(here.here(pod("other"))),
            "metadata.namespace: \"other\" is not \"shop\", which is meant here"
        );
        assert!(error(all.here(pod(""))).starts_with("metadata.namespace: say it"));
        assert!(all.key("a").unwrap_err().message.starts_with("pods: name a namespace"));
        assert_eq!(Api::<Node>::all(client()).key("a").unwrap(), Key::cluster(api::Kind::Node, "a"));
        assert_eq!(Api::<Pod>::default_namespaced(client()).key("a").unwrap().namespace.as_ref(), "default");
    }

    #[tokio::test]
    async fn a_cluster_that_is_not_there_is_told_by_every_verb() {
        let pods = Api::<Pod>::namespaced(client(), "shop");
        let unreachable = |error: Error| assert_eq!(error.reason, Reason::ServiceUnavailable, "{error}");
        unreachable(pods.get_opt("a").await.unwrap_err());
        unreachable(pods.list(&ListParams::default()).await.unwrap_err());
        unreachable(pods.stream(&ListParams::default()).try_next().await.unwrap_err());
        unreachable(pods.modify("a", |_| ()).await.unwrap_err());
        unreachable(pods.apply(&pod(""), &ApplyParams::default()).await.unwrap_err());
        unreachable(pods.logs("a", &LogParams::default()).await.err().unwrap());
        unreachable(pods.forward("a", 80).await.unwrap_err());
    }

    #[test]
    fn a_client_must_know_whom_it_asks() {
        let authority = Authority::found("a").unwrap();
        let with = |servers: &[&str], authority: &str| {
            let config = Config::new(servers.iter().copied(), Credentials::token(authority, "secret"));
            Client::connect(&config).unwrap_err().to_string()
        };
        assert_eq!(with(&[], authority.certificate_pem()), "no master is named; give at least one");
        assert!(with(&["http://host:1"], authority.certificate_pem()).contains("is not https://HOST:PORT"));
        assert_eq!(with(&["https://host:1"], "nonsense"), "token or certificate-authority");
    }
}
