//! Asking a container how it is.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use api::core_v1::{Container, HttpGetAction, Pod, Probe};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use proxy::Body;
use tokio::net::TcpStream;

use super::{
    World,
    containers::{Containers, HTTP_PORT},
    images,
};
use crate::brain::{Event, ProbeKind, Run};

/// Who asks, unless the probe says otherwise.
const USER_AGENT: &str = "kapelle-probe";

/// Carries a probe out and tells the brain.
pub(crate) async fn probe(world: &World, run: Run, kind: ProbeKind, pod: &Pod, address: Ipv4Addr) {
    let result = if kind == ProbeKind::Settling {
        let settled = world.containers.has_settled(&run);
        settled.then_some(()).ok_or_else(|| "the program has not begun its work yet".to_owned())
    } else {
        let Some(container) = images::container(pod, &run.container) else { return };
        let Some(spec) = kind.of(container) else { return };
        ask(&world.containers, &run, container, spec, address).await
    };
    world.say(Event::Probed(run, kind, result)).await;
}

async fn ask(
    containers: &Containers,
    run: &Run,
    container: &Container,
    spec: &Probe,
    address: Ipv4Addr,
) -> Result<(), String> {
    let timeout = Duration::from_secs(u64::try_from(spec.timeout_seconds).unwrap_or(1).max(1));
    let handler = spec.handler.clone().unwrap_or_default();
    let asked = async {
        match (&handler.http_get, &handler.tcp_socket) {
            (Some(get), _) => {
                http(containers, run, get, SocketAddr::from((address, port(container, get.port.as_ref())?))).await
            }
            (None, Some(socket)) => {
                tcp(containers, run, SocketAddr::from((address, port(container, socket.port.as_ref())?))).await
            }
            (None, None) => Err("the probe asks nothing that this node understands".to_owned()),
        }
    };
    let answer = tokio::time::timeout(timeout, asked).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", timeout.as_secs())))
}

/// The port by number or by the name that the container gives it.
fn port(container: &Container, port: Option<&api::meta_v1::IntOrString>) -> Result<u16, String> {
    let Some(port) = port else { return Ok(HTTP_PORT) };
    let number = if port.r#type == 0 {
        Some(port.int_val)
    } else {
        let named = container.ports.iter().find(|known| known.name == port.str_val).map(|known| known.container_port);
        named.or_else(|| port.str_val.parse().ok())
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("the container has no port {:?}", port.str_val))
}

async fn tcp(containers: &Containers, run: &Run, address: SocketAddr) -> Result<(), String> {
    // A handler has no socket of its own: that it serves the port is all that a connection could tell.
    if containers.http(run).is_some() {
        return served(containers, run, address);
    }
    dial(address).await.map(drop)
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))
}

/// Whether a handler serves a port: whoever connects to another one is refused.
fn served(containers: &Containers, run: &Run, address: SocketAddr) -> Result<(), String> {
    let ports = containers.ports(run);
    if ports.contains(&address.port()) {
        return Ok(());
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    Err(format!(
        "dial tcp {address}: connection refused: the container serves port {} only; name the others in `ports`",
        ports.join(", ")
    ))
}

async fn http(containers: &Containers, run: &Run, get: &HttpGetAction, address: SocketAddr) -> Result<(), String> {
    if get.scheme == "HTTPS" {
        return Err("probes do not speak TLS; use scheme HTTP, or tcpSocket".to_owned());
    }
    let request = request(get, address)?;
    let url = format!("http://{address}{}", request.uri());
    let told = |why: String| format!("Get {url:?}: {why}");
    let status = match containers.http(run) {
        Some(handle) => {
            served(containers, run, address).map_err(told)?;
            handle.handle(request).await.status()
        }
        None => over(request, address).await.map_err(told)?,
    };
    let status = status.as_u16();
    if (200..400).contains(&status) { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {status}")) }
}

/// The request of a probe. What it says itself goes before what is said otherwise, `Host` too.
fn request(get: &HttpGetAction, address: SocketAddr) -> Result<Request<Body>, String> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| format!("the probe's {what} cannot be sent: {error}");
    let mut headers = HeaderMap::new();
    for header in &get.http_headers {
        let name: HeaderName = header.name.parse().map_err(|error| wrong(&header.name, &error))?;
        let value: HeaderValue = header.value.parse().map_err(|error| wrong(&header.name, &error))?;
        headers.append(name, value);
    }
    let host = HeaderValue::from_str(&address.to_string()).map_err(|error| wrong("Host", &error))?;
    headers.entry(header::HOST).or_insert(host);
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    let body: Body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let mut request = Request::get(&path).body(body).map_err(|error| wrong("path", &error))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Asks over a connection of its own: one that was kept would say nothing about whether the program still takes new ones.
async fn over(request: Request<Body>, address: SocketAddr) -> Result<StatusCode, String> {
    let stream = dial(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let response = sender.send_request(request);
    tokio::pin!(response, connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut response => return answer.map(|answer| answer.status()).map_err(|error| error.to_string()),
            _ = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::net::{Ipv4Addr, SocketAddr};

    use api::core_v1::{HttpGetAction, HttpHeader};

    use super::request;

    #[test]
    fn what_a_probe_says_itself_goes_before_what_is_said_otherwise() {
        let header = |name: &str, value: &str| HttpHeader { name: name.into(), value: value.into() };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let get = HttpGetAction { path: "healthz?full=1".into(), ..HttpGetAction::default() };
        let plain = request(&get, address).unwrap();
        assert_eq!(
            (plain.uri().to_string(), &plain.headers()["host"]),
            ("/healthz?full=1".into(), &"127.0.0.1:80".parse().unwrap())
        );

        let http_headers =
            vec![header("host", "shop.example"), header("User-Agent", "me"), header("X-A", "1"), header("X-A", "2")];
        let own = request(&HttpGetAction { http_headers, ..get.clone() }, address).unwrap();
        let all =
            |name: &str| own.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!((all("host"), all("user-agent"), all("x-a")), (vec!["shop.example"], vec!["me"], vec!["1", "2"]));

        let wrong = request(&HttpGetAction { http_headers: vec![header("X-A", "a\nb")], ..get }, address).unwrap_err();
        assert!(wrong.contains("X-A cannot be sent"), "{wrong}");
    }
}
