//! Requests that guests send through `wasi:http`, handed to the caller's hook.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use http::{HeaderName, uri::Scheme};
use http_body_util::BodyExt as _;
use tokio::task::JoinHandle;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::grants::{Body, BoxError, SendError, SendOptions, SendRequest};

type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Headers that guests neither see nor set. The library would make the list anew for each header of each request.
static FORBIDDEN: LazyLock<[HeaderName; 9]> = LazyLock::new(|| DEFAULT_FORBIDDEN_HEADERS);

/// What `wasi:http` asks its host.
pub(crate) struct Hooks {
    pub(crate) send: SendRequest,
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        FORBIDDEN.contains(name)
    }

    /// Inside a cluster, a request without a scheme means plain HTTP.
    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _body_sent: Done,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), Error>> + Send> {
        let request = request.map(|body| body.map_err(|error| Box::new(error) as BoxError).boxed_unsync());
        let options = options.unwrap_or_default();
        let answer = (self.send)(
            request,
            SendOptions {
                connect_timeout: options.connect_timeout,
                first_byte_timeout: options.first_byte_timeout,
                between_bytes_timeout: options.between_bytes_timeout,
            },
        );
        Box::new(async move {
            let response = Apart(tokio::spawn(answer)).await.map_err(to_wasi)?;
            let done: Done = Box::new(async { Ok(()) });
            Ok((response.map(|body| body.map_err(from_host).boxed_unsync()), done))
        })
    }
}

/// What answers may be another guest of this process, or the same one: it must not run inside the call of the one that asks, whose
/// stack it would share. Ends with the one that asks.
struct Apart(JoinHandle<Result<http::Response<Body>, SendError>>);

impl Future for Apart {
    type Output = Result<http::Response<Body>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|result| result.unwrap_or_else(|error| Err(SendError::Broken(Box::new(error)))))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An error of a body that the host gave to a guest.
pub(crate) fn from_host(error: BoxError) -> Error {
    Error::InternalError(Some(error.to_string()))
}

fn to_wasi(error: SendError) -> Error {
    match error {
        SendError::Denied => Error::HttpRequestDenied,
        SendError::NameUnknown(name) => Error::DnsError { rcode: Some(format!("NXDOMAIN {name}")), info_code: None },
        SendError::Refused(_) => Error::ConnectionRefused,
        SendError::Timeout => Error::ConnectionReadTimeout,
        SendError::Broken(_) => Error::ConnectionTerminated,
    }
}
