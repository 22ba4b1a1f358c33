//! The client: typed requests to whichever master answers.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use api::{
    ApplyOutcome, DeleteOptions, Error, Key, Kind, Object, PatchKind, ReadAt, Reason, Revision, Subresource, Write,
    WriteOutcome,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tonic::{Response, Status, transport::Endpoint};

use crate::{
    Carried, MESSAGE_BYTES_MAX, Security, WARNING_KEY, convert,
    forward::Tunnel,
    retry::{Refused, Retries, Trial, spread},
    security::Channel,
    services::{self, logs_client::LogsClient, objects_client::ObjectsClient, ports_client::PortsClient},
    status,
};

/// How long a connection may take to be made before another master is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer, or the beginning of a stream, may take. Masters themselves give up earlier.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a quiet connection is tried, and how long an answer may take: a dead host is noticed in ten seconds.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// How much masters may send that nobody has read yet, on a stream, in bytes: enough for lists over a long line.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;

/// The same on all streams of a connection.
pub const WINDOW_BYTES: u32 = 4 << 20;

/// How many objects are asked for at once; lists are read in pages of this size.
const PAGE_SIZE: i64 = 500;

/// How often a list is begun anew whose next page the masters have forgotten.
const LIST_TRIES_MAX: usize = 3;

/// A connection to the masters. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Client {
    masters: Arc<Masters>,
    options: services::WriteOptions,
    retries: Retries,
    warned: Option<Warned>,
}

/// Who is told what a writer should know, such as fields that mean nothing to a Wasm Pod.
#[derive(Clone)]
pub struct Warned(Arc<dyn Fn(&str) + Send + Sync>);

impl Warned {
    /// Calls a function with each warning.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Warned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warned")
    }
}

#[derive(Debug)]
struct Masters {
    security: Security,
    /// All known masters by their URLs.
    channels: RwLock<Arc<[(String, Channel)]>>,
    /// The master that answered last.
    current: AtomicUsize,
}

impl Masters {
    fn channels(&self) -> Arc<[(String, Channel)]> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Which objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for all.
    pub namespace: String,
    /// Conditions on labels, as `kubectl get -l` takes them; empty for none.
    pub labels: String,
    /// Conditions on fields, as `kubectl get --field-selector` takes them; empty for none.
    pub fields: String,
}

impl Query {
    /// Every object of a kind.
    #[must_use]
    pub fn all(kind: Kind) -> Self {
        Self { kind, namespace: String::new(), labels: String::new(), fields: String::new() }
    }
}

/// Objects of one state.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// The objects, ordered by namespace and name.
    pub items: Vec<Object>,
    /// The state; a watch after it misses nothing.
    pub revision: Revision,
}

/// How a manifest is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Take over what others own; without it their fields are conflicts.
    pub force: bool,
    /// The part that is meant: of the manifest counts only what belongs there.
    pub part: Subresource,
}

/// What became of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object as stored.
    pub object: Object,
    /// What was done to it.
    pub outcome: ApplyOutcome,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted {
    /// The object while it still exists, because of its grace period or finalizers.
    pub object: Option<Object>,
    /// The uid of the object.
    pub uid: String,
}

/// Whether a request may be sent again without knowing what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or nothing more the second time.
    Always,
    /// Only if it reached nobody, or was refused before anything happened.
    IfNotDone,
}

/// How to reach one process.
pub(crate) fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::bad_request(format!("\"{url}\" is not https://HOST:PORT: {why}"));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(&error))?;
    if endpoint.uri().scheme_str() != Some("https") {
        return Err(wrong(&"nothing is served without encryption"));
    }
    let (interval, timeout) = KEEP_ALIVE;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES))
}

impl Client {
    /// A client of the masters at some URLs, `https://host:port`. Connections are made when they are needed; call this
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// If there is no URL, or one is not understood.
    pub fn connect_with(urls: &[String], security: Security) -> Result<Self, Error> {
        let connect = |url: &String| Ok::<_, Error>((url.clone(), security.channel(endpoint(url)?)));
        let channels: Arc<[_]> = urls.iter().map(connect).collect::<Result<_, _>>()?;
        if channels.is_empty() {
            return Err(Error::bad_request("no master is named; give at least one"));
        }
        let masters = Masters { security, channels: RwLock::new(channels), current: AtomicUsize::new(0) };
        let options = services::WriteOptions::default();
        Ok(Self { masters: Arc::new(masters), options, retries: Retries::ELECTIONS, warned: None })
    }

    /// From now on these are the masters, for all clones too. Connections to those that were known stay.
    ///
    /// # Errors
    /// As [`Client::connect_with`]; then everything stays as it was.
    pub fn learn(&self, urls: &[String]) -> Result<(), Error> {
        let known = self.masters.channels();
        let security = &self.masters.security;
        let connect = |url: &String| match known.iter().find(|(known, _)| known == url) {
            Some(known) => Ok(known.clone()),
            None => Ok::<_, Error>((url.clone(), security.channel(endpoint(url)?))),
        };
        let channels: Arc<[_]> = urls.iter().map(connect).collect::<Result<_, _>>()?;
        if channels.is_empty() {
            return Err(Error::bad_request("no master is named; give at least one"));
        }
        *self.masters.channels.write().unwrap_or_else(PoisonError::into_inner) = channels;
        Ok(())
    }

    /// The URLs of the masters that are known.
    #[must_use]
    pub fn masters(&self) -> Vec<String> {
        self.masters.channels().iter().map(|(url, _)| url.clone()).collect()
    }

    pub(crate) fn security(&self) -> &Security {
        &self.masters.security
    }

    /// The same connection for writes under a name, as `metadata.managedFields` shows it.
    #[must_use]
    pub fn with_field_manager(mut self, name: &str) -> Self {
        name.clone_into(&mut self.options.field_manager);
        self
    }

    /// The same connection for writes that do everything but store the result.
    #[must_use]
    pub fn with_dry_run(mut self) -> Self {
        self.options.dry_run = true;
        self
    }

    /// The same connection with more or less patience; [`Retries::ELECTIONS`] unless this is called.
    #[must_use]
    pub fn with_retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// The same connection, on which warnings of creates, updates, patches and deletions are told. What applying a manifest
    /// warns of is in its answer.
    #[must_use]
    pub fn with_warned(mut self, warned: Warned) -> Self {
        self.warned = Some(warned);
        self
    }

    /// Reads one object in its latest state.
    ///
    /// # Errors
    /// If it does not exist or no master answers.
    pub async fn get(&self, key: &Key) -> Result<Object, Error> {
        self.get_at(key, ReadAt::Latest).await
    }

    /// Reads one object.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_at(&self, key: &Key, at: ReadAt) -> Result<Object, Error> {
        let request = services::GetRequest {
            key: Some(convert::key_to_wire(key)),
            resource_version: convert::read_at_to_wire(at),
        };
        let send = |mut client: Objects, request| async move { client.get(request).await };
        convert::object_from_answer(Some(self.ask(Repeat::Always, objects, request, send).await?))
    }

    /// Reads all objects that a query selects, page by page, in one state.
    ///
    /// # Errors
    /// If the query is not understood or no master answers.
    pub async fn list(&self, query: &Query) -> Result<List, Error> {
        self.list_at(query, ReadAt::Latest).await
    }

    /// As [`Client::list`], of the state that the reader wants. If the masters forget the state before its last page was
    /// read, the list begins anew.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn list_at(&self, query: &Query, at: ReadAt) -> Result<List, Error> {
        for _ in 1..LIST_TRIES_MAX {
            match self.list_once(query, at).await {
                Err(error) if error.reason == Reason::Expired => {}
                outcome => return outcome,
            }
        }
        self.list_once(query, at).await
    }

    async fn list_once(&self, query: &Query, at: ReadAt) -> Result<List, Error> {
        let mut items = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.page_at(query, PAGE_SIZE, token, at).await?;
            for object in page.items {
                items.push(convert::object_from_answer(Some(object))?);
            }
            token = page.r#continue;
            if token.is_empty() {
                let revision = convert::revision_from_wire(&page.resource_version)?.unwrap_or_default();
                return Ok(List { items, revision });
            }
        }
    }

    /// Reads one page of objects. `token` is that of the page before, or empty.
    ///
    /// # Errors
    /// As [`Client::list`]; [`Reason::Expired`] if the token is too old.
    pub async fn page(&self, query: &Query, limit: i64, token: String) -> Result<services::ListResponse, Error> {
        self.page_at(query, limit, token, ReadAt::Latest).await
    }

    /// As [`Client::page`]. Of which state the first page is, the reader says; the others are of the same.
    ///
    /// # Errors
    /// As [`Client::page`].
    pub async fn page_at(
        &self,
        query: &Query,
        limit: i64,
        token: String,
        at: ReadAt,
    ) -> Result<services::ListResponse, Error> {
        let at = if token.is_empty() { at } else { ReadAt::Latest };
        let request = services::ListRequest {
            kind: convert::kind_to_wire(query.kind),
            namespace: query.namespace.clone(),
            label_selector: query.labels.clone(),
            field_selector: query.fields.clone(),
            limit,
            r#continue: token,
            resource_version: convert::read_at_to_wire(at),
            resource_version_match: String::new(),
        };
        let send = |mut client: Objects, request| async move { client.list(request).await };
        self.ask(Repeat::Always, objects, request, send).await
    }

    /// Stores a new object. Answers it as stored.
    ///
    /// # Errors
    /// If it is invalid or its name is taken, or no master answers.
    pub async fn create(&self, object: Object) -> Result<Object, Error> {
        let request = services::CreateRequest { object: Some(object.into()), options: Some(self.options.clone()) };
        let send = |mut client: Objects, request| async move { client.create(request).await };
        convert::object_from_answer(Some(self.ask(Repeat::IfNotDone, objects, request, send).await?))
    }

    /// Replaces an object, or the part that `part` names. A `metadata.resourceVersion` is a precondition.
    ///
    /// # Errors
    /// If it is invalid, does not exist or has changed, or no master answers.
    pub async fn update(&self, object: Object, part: Subresource) -> Result<Object, Error> {
        let request = services::UpdateRequest {
            object: Some(object.into()),
            subresource: part.word().to_owned(),
            options: Some(self.options.clone()),
        };
        let send = |mut client: Objects, request| async move { client.update(request).await };
        convert::object_from_answer(Some(self.ask(Repeat::IfNotDone, objects, request, send).await?))
    }

    /// Changes parts of an object. `patch` is JSON text.
    ///
    /// # Errors
    /// If the object does not exist, the patch does not fit it, or no master answers.
    pub async fn patch(
        &self,
        key: &Key,
        kind: PatchKind,
        patch: impl Into<Bytes>,
        part: Subresource,
    ) -> Result<Object, Error> {
        let request = services::PatchRequest {
            key: Some(convert::key_to_wire(key)),
            r#type: convert::patch_kind_to_wire(kind).into(),
            patch: patch.into(),
            subresource: part.word().to_owned(),
            options: Some(self.options.clone()),
        };
        let send = |mut client: Objects, request| async move { client.patch(request).await };
        convert::object_from_answer(Some(self.ask(Repeat::IfNotDone, objects, request, send).await?))
    }

    /// Makes an object as a manifest (JSON text with apiVersion and kind) says, and owns what it names under the field
    /// manager of the connection. `namespace` is for one that names none.
    ///
    /// # Errors
    /// If the manifest is not understood or invalid, if others own what would be changed, or no master answers.
    pub async fn apply(&self, manifest: impl Into<Bytes>, namespace: &str) -> Result<Applied, Error> {
        self.apply_with(manifest, namespace, ApplyOptions::default()).await
    }

    /// As [`Client::apply`], perhaps of a part, and perhaps taking over what others own.
    ///
    /// # Errors
    /// As [`Client::apply`]; with `force`, not for what others own.
    pub async fn apply_with(
        &self,
        manifest: impl Into<Bytes>,
        namespace: &str,
        ApplyOptions { force, part }: ApplyOptions,
    ) -> Result<Applied, Error> {
        let request = services::ApplyRequest {
            manifest: manifest.into(),
            namespace: namespace.to_owned(),
            options: Some(self.options.clone()),
            force,
            subresource: part.word().to_owned(),
        };
        let send = |mut client: Objects, request| async move { client.apply(request).await };
        let answer = self.ask(Repeat::Always, objects, request, send).await?;
        let outcome = match answer.outcome() {
            services::apply_response::Outcome::Created => ApplyOutcome::Created,
            services::apply_response::Outcome::Configured => ApplyOutcome::Configured,
            services::apply_response::Outcome::Unchanged => ApplyOutcome::Unchanged,
            services::apply_response::Outcome::Unspecified => {
                return Err(Error::internal("the master did not say what it did"));
            }
        };
        Ok(Applied { object: convert::object_from_answer(answer.object)?, outcome, warnings: answer.warnings })
    }

    /// Deletes an object, at once or gracefully.
    ///
    /// # Errors
    /// If it does not exist or is not as the options demand, or no master answers.
    pub async fn delete(&self, key: &Key, options: &DeleteOptions) -> Result<Deleted, Error> {
        let dry_run = options.dry_run || self.options.dry_run;
        let request = services::DeleteRequest {
            key: Some(convert::key_to_wire(key)),
            options: Some(convert::delete_to_wire(&DeleteOptions { dry_run, ..options.clone() })),
        };
        let send = |mut client: Objects, request| async move { client.delete(request).await };
        let answer = self.ask(Repeat::IfNotDone, objects, request, send).await?;
        Ok(Deleted { object: answer.object.and_then(Carried::into_object), uid: answer.uid })
    }

    /// Carries out many independent writes. Of an object that a deletion left nothing of, the outcome has only kind,
    /// name and uid.
    ///
    /// # Errors
    /// If no master answers; what became of each write is in its outcome.
    pub async fn batch(&self, writes: Vec<Write>) -> Result<Vec<WriteOutcome>, Error> {
        let keys: Vec<Key> = writes.iter().map(Write::key).collect();
        let writes = writes.into_iter().map(|write| convert::write_to_wire(write, &self.options)).collect();
        let request = services::BatchRequest { writes };
        let send = |mut client: Objects, request| async move { client.batch(request).await };
        let answer = self.ask(Repeat::IfNotDone, objects, request, send).await?;
        if answer.results.len() != keys.len() {
            return Err(Error::internal("the master answered another number of writes"));
        }
        Ok(keys.iter().zip(answer.results).map(|(key, result)| outcome(key, result)).collect())
    }

    /// Reads a container's log, and with `follow` goes on reading.
    ///
    /// # Errors
    /// If there is no such log or no master answers.
    pub async fn logs(
        &self,
        request: services::LogRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static + use<>, Error> {
        let logs = |channel| LogsClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let send = |mut client: LogsClient<Channel>, request| async move { client.read(request).await };
        let stream = self.ask(Repeat::Always, logs, request, send).await?;
        Ok(stream.map(|chunk| chunk.map(|chunk| chunk.data).map_err(|error| status::from_tonic(&error))))
    }

    /// Opens a connection to a port of a Pod.
    ///
    /// # Errors
    /// If there is no such Pod, nobody takes the connection there, or no master answers.
    pub async fn forward(&self, pod: &Key, port: u16) -> Result<Tunnel, Error> {
        let to = services::ForwardRequest {
            namespace: pod.namespace.to_string(),
            pod: pod.name.to_string(),
            port: port.into(),
            ..services::ForwardRequest::default()
        };
        let send = |mut client: PortsClient<Channel>, to| async move {
            Tunnel::open(to, |requests| async move { client.forward(requests).await }).await
        };
        self.ask(Repeat::IfNotDone, PortsClient::new, to, send).await
    }

    /// Sends a request to the master that answered last, then to each of the others, as far as sending it again does no harm.
    /// What passes is waited for as long as [`Retries`] say: masters that have no leader, as during an election, those that
    /// lost it before they knew what became of a request that may be done twice, those that cannot be reached, and those that
    /// have too much to do.
    pub(crate) async fn ask<S, Q, T, F>(
        &self,
        repeat: Repeat,
        service: impl Fn(Channel) -> S,
        request: Q,
        send: impl Fn(S, Q) -> F,
    ) -> Result<T, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let ask = |channel| send(service(channel), request.clone());
        let mut trial = Trial::begin(self.retries, Instant::now());
        loop {
            let refused = match self.round(repeat, &ask).await {
                Ok(answer) => return Ok(self.told(answer)),
                Err(refused) => refused,
            };
            let Some(pause) = trial.pause(&refused, Instant::now()) else { return Err(refused.into_error()) };
            tokio::time::sleep(spread(pause)).await;
        }
    }

    /// What was answered; warnings beside it are told.
    fn told<T>(&self, answer: Response<T>) -> T {
        if let Some(Warned(tell)) = &self.warned {
            for warning in answer.metadata().get_all_bin(WARNING_KEY) {
                warning.to_bytes().iter().for_each(|text| tell(&String::from_utf8_lossy(text)));
            }
        }
        answer.into_inner()
    }

    /// Asks each master once. If none carries the request out, the most telling refusal is answered: what a master said,
    /// else why the first could not be reached.
    async fn round<T, F>(&self, repeat: Repeat, ask: &impl Fn(Channel) -> F) -> Result<Response<T>, Refused>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (channels, current) = (self.masters.channels(), &self.masters.current);
        let first = current.load(Ordering::Relaxed);
        let mut telling = None;
        for step in 0..channels.len() {
            let index = (first + step) % channels.len();
            match ask(channels[index].1.clone()).await {
                Ok(response) => {
                    current.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(refused) if elsewhere(&refused, repeat) => {
                    let error = status::from_tonic(&refused);
                    if was_said(&refused) {
                        telling = Some(Refused::ForNow(error));
                    } else if telling.is_none() {
                        telling = Some(Refused::Unreachable(error));
                    }
                }
                Err(refused) => return Err(final_refusal(&refused)),
            }
        }
        Err(telling.unwrap_or_else(|| Refused::Other(Error::internal("no master is known"))))
    }
}

/// A refusal after which no other master is asked.
fn final_refusal(refused: &Status) -> Refused {
    let error = status::from_tonic(refused);
    if error.reason == Reason::TooManyRequests && was_said(refused) {
        Refused::Busy(error)
    } else {
        Refused::Other(error)
    }
}

/// Whether a master itself refused, rather than the connection to it.
fn was_said(refused: &Status) -> bool {
    refused.metadata().get_bin(status::STATUS_KEY).is_some()
}

pub(crate) type Objects = ObjectsClient<Channel>;

pub(crate) fn objects(channel: Channel) -> Objects {
    let client = ObjectsClient::new(channel);
    client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Whether another master may be asked the same.
pub(crate) fn elsewhere(refused: &Status, repeat: Repeat) -> bool {
    if status::never_sent(refused) {
        return true;
    }
    let error = status::from_tonic(refused);
    let said = was_said(refused);
    // Said of an object, it is that (a node, a port of a Pod) which does not answer, and no master would know better.
    if said && error.reason == Reason::ServiceUnavailable && error.about.is_some() {
        return false;
    }
    match repeat {
        // Said by a master, a timeout means that the outcome is unknown. Without an answer the patience is used up.
        Repeat::Always => {
            let unknown = error.reason == Reason::Timeout && said || status::is_broken(refused);
            unknown || error.reason == Reason::ServiceUnavailable
        }
        // Said by a master: it has no leader and did nothing. Said by the connection: nobody knows.
        Repeat::IfNotDone => error.reason == Reason::ServiceUnavailable && said,
    }
}

fn outcome(key: &Key, result: services::WriteResult) -> WriteOutcome {
    let incomplete = || Error::internal("the master did not say what became of a write");
    match result.result.ok_or_else(incomplete)? {
        services::write_result::Result::Object(object) => Ok(Arc::new(convert::object_from_answer(Some(object))?)),
        services::write_result::Result::Deleted(deleted) => match deleted.object.and_then(Carried::into_object) {
            Some(object) => Ok(Arc::new(object)),
            None => Ok(Arc::new(name_only(key, deleted.uid))),
        },
        services::write_result::Result::Error(error) => Err(status::from_status(&error)),
    }
}

fn name_only(key: &Key, uid: String) -> Object {
    let mut object = Object::empty(key.kind);
    let metadata = object.metadata_mut();
    metadata.name = key.name.to_string();
    metadata.namespace = key.namespace.to_string();
    metadata.uid = uid;
    object
}
