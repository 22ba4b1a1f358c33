//! gRPC: `Objects`, `Logs`, `Identities`, `Rights` and `Nodes` over the [`Registry`], `Images` over the images, with reflection and
//! health beside them.
//!
//! A request is read into the words of the API, the Registry is asked, and its answer is written back. Nothing is decided
//! here.

mod cluster;
mod identities;
mod images;
mod join;
mod nodes;
mod ports;
mod reflection;
mod rights;

use std::pin::Pin;

use ::images::Images;
use api::{ApplyOutcome, Error, Key, Kind, Object, Reason, Served, Write, json::Strictness, meta_v1, selector};
use futures::{Stream, StreamExt as _, future::join_all, stream};
use prost::Message as _;
use registry::{
    Found, Item, ListAt, ListQuery, Registry, Wanted, WatchFrom, WatchQuery, WriteOptions, Written,
    budget::BODY_BYTES_MAX,
};
use rpc::{
    Carried, MESSAGE_BYTES_MAX, PUSH_BYTES_MAX, WARNING_BYTES_MAX, WARNING_KEY, convert,
    services::{
        self, cluster_server::ClusterServer, identities_server::IdentitiesServer, images_server::ImagesServer,
        join_server::JoinServer, logs_server::LogsServer, nodes_server::NodesServer, objects_server::ObjectsServer,
        ports_server::PortsServer, rights_server::RightsServer,
    },
    status::to_tonic,
};
use tonic::{Request, Response, Status, metadata::MetadataValue, service::Routes};

use crate::sender;
use cluster::ClusterService;
use identities::IdentityService;
use images::ImageService;
use join::JoinService;
pub use join::{Entrance, LEAF_LIFE};
use nodes::NodeService;
use reflection::{Reflection, V1, V1Alpha};
use rights::RightsService;

/// The most writes in one batch. Each is decided and awaited at the same time as the others.
pub const BATCH_WRITES_MAX: usize = 8192;

/// The longest message of somebody who wants to come in, or to renew, in bytes: it is read before anybody knows who asks.
pub(crate) const JOIN_BYTES_MAX: usize = 64 << 10;

/// How much of a message is filled with objects, in bytes: one more of the largest still fits.
const FILL_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// The services as routes of one HTTP server.
pub(crate) async fn router(registry: Registry, images: Images, entrance: Option<Entrance>) -> axum::Router {
    let service = ObjectService { registry: registry.clone() };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ObjectsServer<ObjectService>>().await;
    health.set_serving::<LogsServer<ObjectService>>().await;
    health.set_serving::<PortsServer<ObjectService>>().await;
    health.set_serving::<NodesServer<NodeService>>().await;
    health.set_serving::<IdentitiesServer<IdentityService>>().await;
    health.set_serving::<RightsServer<RightsService>>().await;
    let objects = ObjectsServer::new(service.clone());
    let objects = objects.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    health.set_serving::<ImagesServer<ImageService>>().await;
    let nodes = NodeService { registry: registry.clone(), images: images.clone() };
    let images = ImagesServer::new(ImageService { images, registry: registry.clone() });
    let images = images.max_decoding_message_size(PUSH_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let routes = Routes::new(objects)
        .add_service(LogsServer::new(service.clone()))
        .add_service(PortsServer::new(service))
        .add_service(IdentitiesServer::new(IdentityService { registry: registry.clone() }))
        .add_service(RightsServer::new(RightsService { registry: registry.clone() }))
        .add_service(NodesServer::new(nodes).max_decoding_message_size(nodes::BEAT_BYTES_MAX))
        .add_service(images)
        .add_service(Reflection::<V1>::new())
        .add_service(Reflection::<V1Alpha>::new())
        .add_service(health_service);
    let routes = match entrance {
        Some(entrance) => {
            health.set_serving::<ClusterServer<ClusterService>>().await;
            let join = JoinService { registry: registry.clone(), entrance: entrance.clone() };
            routes
                .add_service(JoinServer::new(join).max_decoding_message_size(JOIN_BYTES_MAX))
                .add_service(ClusterServer::new(ClusterService { registry, entrance }))
        }
        None => routes,
    };
    routes.prepare().into_axum_router()
}

/// How the body of a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It comes to an end, and soon.
    Usual,
    /// It goes on as long as its caller lives, who always has something to say.
    Endless,
    /// It goes on as long as its caller likes, who may have nothing to say.
    Silent,
}

/// How the body of a request of a path comes.
pub(crate) fn course(path: &str) -> Course {
    match path {
        "/kapelle.api.v1.Nodes/Heartbeat" => Course::Endless,
        "/kapelle.api.v1.Ports/Forward" => Course::Silent,
        _ => Course::Usual,
    }
}

/// How much of a request's body is in memory at a time, at most: its one message, or two of a push's.
pub(crate) fn held_max(path: &str) -> usize {
    if path == "/kapelle.api.v1.Images/Push" { 2 * PUSH_BYTES_MAX } else { MESSAGE_BYTES_MAX }
}

#[derive(Clone)]
struct ObjectService {
    registry: Registry,
}

type Answer<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn refused(error: Error) -> Status {
    to_tonic(&error)
}

fn write_options(options: Option<services::WriteOptions>) -> WriteOptions {
    let services::WriteOptions { dry_run, field_manager } = options.unwrap_or_default();
    WriteOptions { dry_run, field_manager, field_validation: Strictness::Strict, ..WriteOptions::default() }
}

impl ObjectService {
    /// The same for whoever sent a request.
    fn of<T>(&self, request: &Request<T>) -> Self {
        Self { registry: self.registry.for_caller(sender::caller(request.extensions())) }
    }

    /// The kind of a name: one of the table, or `KIND.GROUP` of one that a user has defined.
    fn kind(&self, name: &str) -> Result<Kind, Error> {
        let defined = || self.registry.definitions().from_qualified_name(name).map(Kind::Custom);
        convert::kind_from_wire(name).or_else(|unknown| defined().ok_or(unknown))
    }

    fn key(&self, key: Option<services::ObjectKey>) -> Result<Key, Error> {
        convert::key_from_wire(key, |name| self.kind(name))
    }

    /// The version in which objects of a kind are looked at: the one in which they are kept.
    fn served(&self, kind: Kind) -> Served {
        self.registry.storage(kind).map_or_else(|| kind.into(), Served::Custom)
    }

    /// What was sent, as the definition of its kind has it.
    fn received(&self, write: Write) -> Result<Write, Error> {
        let received = |object: Object| Ok(self.registry.receive(object, Strictness::Strict)?.object);
        Ok(match write {
            Write::Create(object) => Write::Create(received(object)?),
            Write::Update(object, part) => Write::Update(received(object)?, part),
            Write::Delete(key, options) => Write::Delete(key, options),
        })
    }

    async fn write(
        &self,
        write: Result<Write, Error>,
        options: Option<services::WriteOptions>,
    ) -> Result<Written, Status> {
        self.submit(write.map_err(refused)?, options).await.map_err(refused)
    }

    async fn submit(&self, write: Write, options: Option<services::WriteOptions>) -> Result<Written, Error> {
        let write = self.received(write)?;
        let options = write_options(options);
        let options = match &write {
            Write::Create(object) | Write::Update(object, _) => options.sent_as(object.served()),
            Write::Delete(..) => options,
        };
        self.registry.submit(write, options).await
    }

    fn list_query(&self, request: services::ListRequest) -> Result<ListQuery, Error> {
        let kind = self.kind(&request.kind)?;
        let limit =
            usize::try_from(request.limit).map_err(|_| Error::bad_request("limit: 0 for all, or a number above"))?;
        Ok(ListQuery {
            kind,
            namespace: Some(request.namespace).filter(|namespace| !namespace.is_empty()),
            labels: selector::Labels::parse(&request.label_selector)?,
            fields: selector::Fields::parse(self.served(kind), &request.field_selector)?,
            limit: (limit > 0).then_some(limit),
            continue_: Some(request.r#continue).filter(|token| !token.is_empty()),
            at: list_at(&request.resource_version, &request.resource_version_match)?,
        })
    }

    fn watch_query(&self, request: services::WatchRequest) -> Result<WatchQuery, Error> {
        let kind = self.kind(&request.kind)?;
        let at = convert::read_at_from_wire(&request.resource_version)?;
        let from = match at {
            api::ReadAt::NotOlderThan(revision) => WatchFrom::After(revision),
            at @ (api::ReadAt::Latest | api::ReadAt::Any) => WatchFrom::Existing(at),
        };
        Ok(WatchQuery {
            kind,
            namespace: Some(request.namespace).filter(|namespace| !namespace.is_empty()),
            labels: selector::Labels::parse(&request.label_selector)?,
            fields: selector::Fields::parse(self.served(kind), &request.field_selector)?,
            from,
            bookmarks: request.allow_bookmarks,
            send_initial_events: true,
        })
    }

    /// The page that was asked for, or as much of it as fits into a message.
    async fn page(&self, mut query: ListQuery) -> Result<services::ListResponse, Error> {
        loop {
            let page = self.registry.list(query.clone()).await?;
            let items: Vec<Carried> = page.items.iter().map(Found::carried).collect();
            let mut bytes = 0;
            let fits = items.iter().take_while(|item| {
                bytes += item.encoded_len();
                bytes <= FILL_BYTES_MAX
            });
            match fits.count() {
                count if count < items.len() => query.limit = Some(count.max(1)),
                _ => {
                    return Ok(services::ListResponse {
                        items,
                        resource_version: page.revision.to_string(),
                        r#continue: page.continue_.unwrap_or_default(),
                        remaining_item_count: page.remaining.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
                    });
                }
            }
            if query.limit == Some(1) && page.items.len() == 1 {
                return Err(Error::internal("one object does not fit into a message"));
            }
        }
    }

    async fn one_of_batch(&self, write: services::Write) -> services::WriteResult {
        let result = match self.batched(write).await {
            Ok(result) => result,
            Err(error) => services::write_result::Result::Error(Box::new(meta_v1::Status::from(&error))),
        };
        services::WriteResult { result: Some(result) }
    }

    async fn batched(&self, write: services::Write) -> Result<services::write_result::Result, Error> {
        let (write, options) = convert::write_from_wire(write, |name| self.kind(name))?;
        let deletion = matches!(write, Write::Delete(..));
        let written = self.submit(write, Some(options)).await?;
        Ok(if deletion {
            services::write_result::Result::Deleted(deleted(written))
        } else {
            services::write_result::Result::Object(written.object.carried())
        })
    }
}

/// Which state to list.
fn list_at(revision: &str, matching: &str) -> Result<ListAt, Error> {
    match (matching, convert::revision_from_wire(revision)?) {
        ("" | "NotOlderThan", _) => Ok(convert::read_at_from_wire(revision)?.into()),
        ("Exact", Some(exactly)) if exactly.0 > 0 => Ok(ListAt::Exactly(exactly)),
        ("Exact", _) => Err(Error::bad_request("resource_version_match: Exact needs a resource_version above 0")),
        (other, _) => {
            let message = format!("resource_version_match: \"{other}\" is not supported; use Exact or NotOlderThan");
            Err(Error::bad_request(message))
        }
    }
}

/// The messages for a batch of items: as few as their size allows.
fn messages(items: Vec<Item>) -> Vec<Result<services::WatchResponse, Status>> {
    let mut messages = Vec::new();
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut failure = None;
    for item in items {
        match item {
            Item::Change { change, object, revision } => {
                events.push(convert::change_to_wire(change, object.carried(), revision));
            }
            Item::Bookmark { revision, initial_end } => events.push(services::WatchEvent {
                r#type: services::watch_event::Type::Bookmark.into(),
                object: None,
                resource_version: revision.to_string(),
                initial_events_end: initial_end,
            }),
            Item::Error(error) => failure = Some(refused(error)),
        }
        bytes += events.last().map_or(0, |event| event.encoded_len());
        if bytes > FILL_BYTES_MAX {
            bytes = 0;
            messages.push(Ok(services::WatchResponse { events: std::mem::take(&mut events) }));
        }
    }
    if !events.is_empty() {
        messages.push(Ok(services::WatchResponse { events }));
    }
    messages.extend(failure.map(Err));
    messages
}

/// What became of a write. What the writer should know stands in headers, as far as there is room.
fn answered<T>(mut written: Written, say: impl FnOnce(Written) -> T) -> Response<T> {
    let warnings = std::mem::take(&mut written.warnings);
    warned(say(written), warnings)
}

/// An answer, and what its reader should know.
fn warned<T>(answer: T, warnings: Vec<String>) -> Response<T> {
    let mut response = Response::new(answer);
    let mut left = WARNING_BYTES_MAX;
    for warning in warnings {
        let Some(rest) = left.checked_sub(warning.len()) else { break };
        left = rest;
        response.metadata_mut().append_bin(WARNING_KEY, MetadataValue::from_bytes(warning.as_bytes()));
    }
    response
}

fn carried(written: Written) -> Carried {
    written.object.carried()
}

fn deleted(written: Written) -> services::DeleteResponse {
    let uid = written.object.object().metadata().map(|meta| meta.uid.clone()).unwrap_or_default();
    services::DeleteResponse { object: (!written.gone).then(|| written.object.carried()), uid }
}

#[tonic::async_trait]
impl services::objects_server::Objects for ObjectService {
    type WatchStream = BoxStream<services::WatchResponse>;

    async fn get(&self, request: Request<services::GetRequest>) -> Answer<Carried> {
        let service = self.of(&request);
        let request = request.into_inner();
        let key = service.key(request.key).map_err(refused)?;
        let at = convert::read_at_from_wire(&request.resource_version).map_err(refused)?;
        Ok(Response::new(service.registry.get(&key, at).await.map_err(refused)?.carried()))
    }

    async fn list(&self, request: Request<services::ListRequest>) -> Answer<services::ListResponse> {
        let service = self.of(&request);
        let query = service.list_query(request.into_inner()).map_err(refused)?;
        Ok(Response::new(service.page(query).await.map_err(refused)?))
    }

    async fn watch(&self, request: Request<services::WatchRequest>) -> Answer<Self::WatchStream> {
        let service = self.of(&request);
        let query = service.watch_query(request.into_inner()).map_err(refused)?;
        let items = service.registry.watch(query).await.map_err(refused)?;
        Ok(Response::new(Box::pin(items.flat_map(|items| stream::iter(messages(items))))))
    }

    async fn create(&self, request: Request<services::CreateRequest>) -> Answer<Carried> {
        let service = self.of(&request);
        let request = request.into_inner();
        let write = convert::object_from_wire(request.object).map(Write::Create);
        Ok(answered(service.write(write, request.options).await?, carried))
    }

    async fn update(&self, request: Request<services::UpdateRequest>) -> Answer<Carried> {
        let service = self.of(&request);
        let request = request.into_inner();
        let part = convert::subresource_from_wire(&request.subresource).map_err(refused)?;
        let write = convert::object_from_wire(request.object).map(|object| Write::Update(object, part));
        Ok(answered(service.write(write, request.options).await?, carried))
    }

    async fn patch(&self, request: Request<services::PatchRequest>) -> Answer<Carried> {
        let service = self.of(&request);
        let request = request.into_inner();
        let kind = convert::patch_kind_from_wire(request.r#type()).map_err(refused)?;
        let key = service.key(request.key).map_err(refused)?;
        let part = convert::subresource_from_wire(&request.subresource).map_err(refused)?;
        let patch = json(&request.patch, "patch").map_err(refused)?;
        let options = write_options(request.options);
        let written = service.registry.patch(&key, kind, patch, part, options).await.map_err(refused)?;
        Ok(answered(written, carried))
    }

    async fn apply(&self, request: Request<services::ApplyRequest>) -> Answer<services::ApplyResponse> {
        let service = self.of(&request);
        let request = request.into_inner();
        let manifest = json(&request.manifest, "manifest").map_err(refused)?;
        let subresource = convert::subresource_from_wire(&request.subresource).map_err(refused)?;
        let wanted = Wanted { manifest: manifest.into(), subresource, force: request.force };
        let applied = service.registry.apply(wanted, &request.namespace, write_options(request.options)).await;
        let (written, outcome) = applied.map_err(refused)?;
        let outcome = match outcome {
            ApplyOutcome::Created => services::apply_response::Outcome::Created,
            ApplyOutcome::Configured => services::apply_response::Outcome::Configured,
            ApplyOutcome::Unchanged => services::apply_response::Outcome::Unchanged,
        };
        let warnings = written.warnings;
        Ok(Response::new(services::ApplyResponse {
            object: Some(written.object.carried()),
            outcome: outcome.into(),
            warnings,
        }))
    }

    async fn delete(&self, request: Request<services::DeleteRequest>) -> Answer<services::DeleteResponse> {
        let service = self.of(&request);
        let request = request.into_inner();
        let key = service.key(request.key).map_err(refused)?;
        let options = convert::delete_from_wire(request.options.unwrap_or_default()).map_err(refused)?;
        Ok(answered(service.write(Ok(Write::Delete(key, options)), None).await?, deleted))
    }

    async fn batch(&self, request: Request<services::BatchRequest>) -> Answer<services::BatchResponse> {
        let service = self.of(&request);
        let writes = request.into_inner().writes;
        if writes.len() > BATCH_WRITES_MAX {
            let message =
                format!("writes: {} are more than the {BATCH_WRITES_MAX} of one batch; split it", writes.len());
            return Err(refused(Error::bad_request(message)));
        }
        let results = join_all(writes.into_iter().map(|write| service.one_of_batch(write))).await;
        Ok(Response::new(services::BatchResponse { results }))
    }
}

fn json(text: &[u8], field: &str) -> Result<serde_json::Value, Error> {
    if text.len() > BODY_BYTES_MAX {
        let message = format!("{field}: {} bytes are more than the limit of {BODY_BYTES_MAX}", text.len());
        return Err(Error::new(Reason::RequestEntityTooLarge, message));
    }
    let parsed = api::json::parse(text, api::json::Strictness::Strict);
    Ok(parsed.map_err(|error| Error::bad_request(format!("{field}: {error}")))?.value)
}

#[tonic::async_trait]
impl services::logs_server::Logs for ObjectService {
    type ReadStream = BoxStream<services::LogChunk>;

    async fn read(&self, request: Request<services::LogRequest>) -> Answer<Self::ReadStream> {
        let service = self.of(&request);
        let chunks = service.registry.log(request.into_inner()).await.map_err(refused)?;
        Ok(Response::new(Box::pin(chunks.map(|chunk| chunk.map_err(refused)))))
    }
}
