//! Serves requests: each in a sandbox of its own, begun on the caller's thread.
//!
//! The way of a request: a permit, of which the container has as many as requests may run at once; an instance, fresh or one
//! that may be used again; the guest's handler, as a future that `drive::Driver` polls first on the caller's thread; the
//! response as soon as the guest has given status and headers. What the guest does after that is driven by whoever reads the
//! body.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::Store;
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use crate::books::Books;
use crate::cpu::Metered;
use crate::drive::{Driver, Failure, GuestBody};
use crate::grants::{Body, BoxFuture};
use crate::guest::{Files, Guest};
use crate::image::{Program, proxy_engine};
use crate::outgoing::from_host;
use crate::spec::Spec;
use crate::trap;

/// How long an instance that may be used again is kept for the next request.
const IDLE_INSTANCE: Duration = Duration::from_secs(1);

/// The most requests of one container that may run at once, whatever its owner asks for.
const MAX_CONCURRENCY: u32 = 100_000;

/// Requests that may wait for each permit; more are refused at once, for they would only time out.
const WAITING_PER_PERMIT: u32 = 10;

/// What a client reads when the guest failed; details are for the container's log only.
const FAILED: &str = "the container failed; its log says why\n";

/// What the guest gave: a response, or the `wasi:http` error it chose instead.
type Answer = Result<http::Response<WasiBody>, String>;

/// Sends requests into an HTTP container. Cheap to clone, to keep and to call from many threads.
#[derive(Clone)]
pub struct HttpHandle {
    service: Arc<Service>,
}

impl HttpHandle {
    pub(crate) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Lets the guest answer. Always gives a response: 500 when the guest failed, 503 when the container has ended or stops,
    /// 504 when it gave no answer in time; the container's log says more.
    ///
    /// Must be called inside a Tokio runtime. Starts on the caller's thread, which costs a quick guest nothing;
    /// a guest that computes for longer is carried on by the guests' own threads.
    /// Dropping the future ends the guest's work on the request.
    pub fn handle(&self, request: http::Request<Body>) -> impl Future<Output = http::Response<Body>> + Send + 'static {
        Arc::clone(&self.service).handle(request)
    }
}

impl std::fmt::Debug for HttpHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HttpHandle").finish_non_exhaustive()
    }
}

/// An instance was refused the memory that it begins with.
#[derive(Clone, Copy, Debug)]
struct Starved;

impl std::fmt::Display for Starved {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("no memory for another instance")
    }
}

/// One HTTP container.
pub(crate) struct Service {
    spec: Spec,
    books: Arc<Books>,
    permits: Arc<Semaphore>,
    concurrency: u32,
    waiting: AtomicU32,
    idle: Mutex<Vec<Instance>>,
    reaping: AtomicBool,
    runtime: Handle,
}

/// A store with an instance in it that has answered some requests.
struct Instance {
    store: Store<Guest>,
    proxy: Proxy,
    served: u32,
    idle_since: Instant,
}

impl Service {
    pub(crate) fn new(spec: Spec, books: Arc<Books>, runtime: Handle) -> Arc<Self> {
        let concurrency = spec.http.concurrency.clamp(1, MAX_CONCURRENCY);
        Arc::new(Self {
            spec,
            books,
            permits: Arc::new(Semaphore::new(concurrency as usize)),
            concurrency,
            waiting: AtomicU32::new(0),
            idle: Mutex::new(Vec::new()),
            reaping: AtomicBool::new(false),
            runtime,
        })
    }

    /// Waits until no request is in a guest, and lets none in afterwards.
    pub(crate) async fn drained(&self) {
        if let Ok(all) = self.permits.acquire_many(self.concurrency).await {
            all.forget();
        }
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn handle(self: Arc<Self>, request: http::Request<Body>) -> http::Response<Body> {
        let deadline = Instant::now() + self.spec.http.timeout;
        let permit = match self.admit(deadline).await {
            Ok(permit) => permit,
            Err(failure) => return self.refuse(&failure),
        };
        self.books.requests.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let work: BoxFuture<_> = Box::pin(Arc::clone(&self).attempt(request, reply, permit));
        let metered = Metered::new(work, Arc::clone(&self.books.meter), Arc::clone(&self.books.ticker));
        let mut driver = Driver::new(metered, self.runtime.clone(), &self.books);
        match self.first_answer(&mut driver, answer, deadline).await {
            Ok(Ok(response)) => response.map(|body| GuestBody::deliver(body, driver, &self.books)),
            Ok(Err(code)) => self.refuse(&Failure::Code(code)),
            Err(failure) => self.refuse(&failure),
        }
    }

    /// A permit to run beside the other requests.
    async fn admit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        if self.books.is_stopping() {
            return Err(Failure::Gone);
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::new(&self.waiting);
        if waiting.before_me >= self.concurrency.saturating_mul(WAITING_PER_PERMIT) {
            return Err(Failure::Host(format!("{} requests wait already", waiting.before_me)));
        }
        let permit = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout_at(deadline.into(), permit).await {
            Ok(Ok(_)) if self.books.is_stopping() => Err(Failure::Gone),
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(Failure::Gone),
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }

    /// Drives the guest until it has answered or cannot any more. Timer and kill switch are only set up
    /// when the guest does not answer at once.
    async fn first_answer(
        &self,
        driver: &mut Driver,
        answer: oneshot::Receiver<Answer>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut answer = Some(answer);
        let mut give_up = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = driver.poll(cx) {
                // Not `poll`: a receiver may claim to be pending because its task has done much already.
                let given = answer.as_mut().and_then(|answer| answer.try_recv().ok());
                return Poll::Ready(given.ok_or_else(|| result.err().unwrap_or(Failure::Silent)));
            }
            match answer.as_mut().map(|answer| Pin::new(answer).poll(cx)) {
                Some(Poll::Ready(Ok(answer))) => return Poll::Ready(Ok(answer)),
                // The guest has dropped its side: how it ends comes from the driver.
                Some(Poll::Ready(Err(_))) => answer = None,
                Some(Poll::Pending) | None => {}
            }
            let give_up = give_up.get_or_insert_with(|| Box::pin(self.give_up(deadline)));
            give_up.as_mut().poll(cx).map(Err)
        })
        .await
    }

    async fn give_up(&self, deadline: Instant) -> Failure {
        tokio::select! {
            () = self.books.killed() => Failure::Gone,
            () = tokio::time::sleep_until(deadline.into()) => Failure::Timeout,
        }
    }

    /// The whole work of the guest on one request.
    async fn attempt(
        self: Arc<Self>,
        request: http::Request<Body>,
        reply: oneshot::Sender<Answer>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Failure> {
        let mut instance = match self.take_idle() {
            Some(instance) => instance,
            None => self.instantiate().await?,
        };
        match answer(&mut instance, with_host(request), reply).await {
            Ok(()) => {
                drop(permit);
                self.keep(instance);
                Ok(())
            }
            Err(error) => Err(self.failed(&error, instance.store.data())),
        }
    }

    async fn instantiate(&self) -> Result<Instance, Failure> {
        let Program::Http(pre) = self.spec.image.program() else {
            return Err(Failure::Host("the image is not an HTTP handler".into()));
        };
        match self.instantiate_on(pre).await {
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                let pre = self.spec.image.overflow().map_err(Failure::Host)?;
                self.instantiate_on(pre).await.map_err(|error| self.no_instance(&error))
            }
            result => result.map_err(|error| self.no_instance(&error)),
        }
    }

    async fn instantiate_on(&self, pre: &ProxyPre<Guest>) -> wasmtime::Result<Instance> {
        let mut store = Guest::store(proxy_engine(pre), self.spec.allowed(), &self.books, Files::SameThread)?;
        match pre.instantiate_async(&mut store).await {
            Ok(proxy) => Ok(Instance { store, proxy, served: 0, idle_since: Instant::now() }),
            Err(error) if store.data().was_refused_memory() => Err(error.context(Starved)),
            Err(error) => Err(error),
        }
    }

    fn no_instance(&self, error: &wasmtime::Error) -> Failure {
        let text = if error.is::<Starved>() || self.books.memory.is_tight() {
            self.books.starved.notify_one();
            format!("no instance: the memory limit of {} bytes is reached", self.books.memory.limit)
        } else {
            format!("no instance: {}", trap::describe(error))
        };
        self.books.log.say(&text);
        Failure::Host(text)
    }

    fn failed(&self, error: &wasmtime::Error, guest: &Guest) -> Failure {
        if self.books.meter.is_killed() {
            return Failure::Gone;
        }
        self.books.traps.fetch_add(1, Ordering::Relaxed);
        let mut text = trap::describe(error);
        if guest.was_refused_memory() {
            self.books.starved.notify_one();
            text = format!("needed more than the memory limit of {} bytes: {text}", self.books.memory.limit);
        }
        self.books.log.say(&format!("a request failed: {text}"));
        Failure::Guest(text)
    }

    fn take_idle(&self) -> Option<Instance> {
        if self.spec.http.reuse <= 1 {
            return None;
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(self: &Arc<Self>, mut instance: Instance) {
        instance.served += 1;
        if instance.served >= self.spec.http.reuse || self.books.is_stopping() {
            return;
        }
        instance.idle_since = Instant::now();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
        if !self.reaping.swap(true, Ordering::SeqCst) {
            self.runtime.spawn(Arc::clone(self).reap());
        }
    }

    /// Throws instances away that nobody has wanted for a while, until none is left.
    async fn reap(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE_INSTANCE).await;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|instance| instance.idle_since.elapsed() < IDLE_INSTANCE && !self.books.is_stopping());
            if idle.is_empty() {
                self.reaping.store(false, Ordering::SeqCst);
                return;
            }
        }
    }

    fn refuse(&self, failure: &Failure) -> http::Response<Body> {
        let (status, text) = match failure {
            Failure::Gone => (StatusCode::SERVICE_UNAVAILABLE, "the container is stopping or has ended\n".to_string()),
            Failure::Timeout => {
                self.books.timeouts.fetch_add(1, Ordering::Relaxed);
                let text = format!("no answer within {:?}\n", self.spec.http.timeout);
                self.books.log.say(&format!("a request got {text}").replace('\n', ""));
                (StatusCode::GATEWAY_TIMEOUT, text)
            }
            Failure::Guest(_) => (StatusCode::INTERNAL_SERVER_ERROR, FAILED.to_string()),
            Failure::Code(code) => {
                self.books.log.say(&format!("a request was answered with the error {code}"));
                (StatusCode::INTERNAL_SERVER_ERROR, FAILED.to_string())
            }
            Failure::Silent => {
                self.books.log.say("a request got no answer: the handler returned without setting one");
                (StatusCode::INTERNAL_SERVER_ERROR, FAILED.to_string())
            }
            Failure::Host(_) => (StatusCode::SERVICE_UNAVAILABLE, "the container has no room for the request\n".into()),
        };
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Counts a waiting request for as long as it lives.
struct Waiting<'a> {
    count: &'a AtomicU32,
    before_me: u32,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        Self { count, before_me: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Guests learn their authority from the request; without one there would be no request for them.
fn with_host(mut request: http::Request<Body>) -> http::Request<Body> {
    if request.uri().authority().is_none() && !request.headers().contains_key(http::header::HOST) {
        request.headers_mut().insert(http::header::HOST, HeaderValue::from_static("localhost"));
    }
    request
}

async fn answer(
    instance: &mut Instance,
    request: http::Request<Body>,
    reply: oneshot::Sender<Answer>,
) -> wasmtime::Result<()> {
    let request = request.map(|body| body.map_err(from_host));
    match &instance.proxy {
        Proxy::P2(proxy) => {
            let mut view = instance.store.data_mut().http();
            let incoming = view.new_incoming_request(Scheme::Http, request)?;
            let out = view.new_response_outparam_from_callback(move |value| {
                // Nobody waits any more if the caller has gone away.
                let _ = reply.send(value.map_err(|code| format!("{code:?}")));
            })?;
            proxy.wasi_http_incoming_handler().call_handle(&mut instance.store, incoming, out).await
        }
        Proxy::P3(service) => answer_p3(&mut instance.store, service, request, reply).await,
    }
}

async fn answer_p3<B>(
    store: &mut Store<Guest>,
    service: &wasmtime_wasi_http::p3::bindings::Service,
    request: http::Request<B>,
    reply: oneshot::Sender<Answer>,
) -> wasmtime::Result<()>
where
    B: http_body::Body<Data = Bytes, Error = wasmtime_wasi_http::Error> + Send + 'static,
{
    use wasmtime_wasi_http::p3::Request;
    store
        .run_concurrent(async |accessor| {
            let (incoming, sent) = accessor.with(|mut access| {
                let (incoming, sent) = Request::from_http(access.get().http().hooks, request);
                (incoming, Box::pin(sent) as BoxFuture<_>)
            });
            let answer = match service.handle(accessor, incoming).await? {
                Ok(response) => Ok(accessor.with(|mut access| response.into_http(&mut access, sent))?),
                Err(code) => Err(format!("{code:?}")),
            };
            // Nobody waits any more if the caller has gone away.
            let _ = reply.send(answer);
            // The body is written by the guest's tasks, which run only inside this call.
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}
