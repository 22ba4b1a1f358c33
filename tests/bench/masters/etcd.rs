//! As much of etcd's API as is measured: the messages by their field numbers, and a client that keeps to one member until
//! it is told to turn to the next.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use prost::Message;
use rpc::identity::Shared;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tonic::{
    Request,
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::identity::tls;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(uint64, tag = "2")]
    member: u64,
    #[prost(int64, tag = "3")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    limit: i64,
    #[prost(int64, tag = "4")]
    revision: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    more: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create: Option<WatchCreate>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchResponse {
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// The keys of everything, and the end of that range.
const ALL: (&[u8], &[u8]) = (b"/registry/configmaps/", b"/registry/configmaps0");

fn key(number: u64) -> Vec<u8> {
    format!("/registry/configmaps/default/object-{number:08}").into_bytes()
}

/// Connections to some members, of which one is used.
#[derive(Clone)]
pub(crate) struct Client {
    channels: Arc<[Channel]>,
    current: Arc<AtomicUsize>,
}

impl Client {
    pub(crate) fn connect(urls: &[String], identity: &Arc<Shared>) -> Result<Self> {
        let channels: Vec<Channel> = urls.iter().map(|url| channel(url, identity)).collect::<Result<_>>()?;
        Ok(Self { channels: channels.into(), current: Arc::default() })
    }

    /// From now on, the next member is asked.
    pub(crate) fn turn(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    async fn grpc(&self) -> Result<Grpc<Channel>> {
        let channel = self.channels[self.current.load(Ordering::Relaxed) % self.channels.len()].clone();
        let mut grpc = Grpc::new(channel).max_decoding_message_size(rpc::MESSAGE_BYTES_MAX);
        grpc.ready().await?;
        Ok(grpc)
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A>
    where
        Q: Message + Default + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let codec = ProstCodec::<Q, A>::default();
        let asked = self.grpc().await?.unary(Request::new(request), PathAndQuery::from_static(path), codec).await;
        Ok(asked?.into_inner())
    }

    pub(crate) async fn put(&self, number: u64, value: String) -> Result<()> {
        let request = PutRequest { key: key(number), value: value.into_bytes() };
        self.unary::<_, PutResponse>("/etcdserverpb.KV/Put", request).await.map(drop)
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse> {
        self.unary("/etcdserverpb.KV/Range", request).await
    }

    pub(crate) async fn get(&self, number: u64) -> Result<()> {
        self.range(RangeRequest { key: key(number), ..RangeRequest::default() }).await.map(drop)
    }

    /// Reads everything at one revision, page by page; answers how much there is.
    pub(crate) async fn pages(&self, limit: i64) -> Result<u64> {
        let (first, end) = ALL;
        let mut request = RangeRequest { key: first.to_vec(), range_end: end.to_vec(), limit, revision: 0 };
        let mut count = 0;
        loop {
            let page = self.range(request.clone()).await?;
            count += page.kvs.len() as u64;
            let last = page.kvs.last().filter(|_| page.more);
            let Some(last) = last else { return Ok(count) };
            request.key.clone_from(&last.key);
            request.key.push(0);
            request.revision = page.header.context("every answer has a header")?.revision;
        }
    }

    /// The values of everything that changes from now on; the first item says that it has begun.
    pub(crate) async fn watch(&self) -> Result<impl Stream<Item = Vec<String>> + Send + 'static + use<>> {
        let (key, range_end) = (ALL.0.to_vec(), ALL.1.to_vec());
        let create = WatchRequest { create: Some(WatchCreate { key, range_end }) };
        let requests = stream::once(async { create }).chain(stream::pending());
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answers = self.grpc().await?.streaming(Request::new(requests), path, codec).await?.into_inner();
        let value = |event: Event| event.kv.and_then(|kv| String::from_utf8(kv.value).ok());
        Ok(answers
            .map(move |answer| answer.map(|answer| answer.events.into_iter().filter_map(value).collect()))
            .take_while(|answer| std::future::ready(answer.is_ok()))
            .filter_map(|answer| std::future::ready(answer.ok())))
    }

    /// Whether the asked member leads.
    pub(crate) async fn leads(&self) -> Result<bool> {
        let status: StatusResponse = self.unary("/etcdserverpb.Maintenance/Status", StatusRequest {}).await?;
        Ok(status.header.is_some_and(|header| header.member == status.leader))
    }
}

/// A connection made as Kapelle's client makes it.
fn channel(url: &str, identity: &Arc<Shared>) -> Result<Channel> {
    let config = Arc::new(identity.with(|identity| tls(identity, b"h2"))?);
    let endpoint = Endpoint::from_shared(url.to_owned())?.http2_adaptive_window(true);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
        let connector = TlsConnector::from(config.clone());
        async move {
            let host = uri.host().unwrap_or_default().to_owned();
            let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or_default())).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    })))
}
