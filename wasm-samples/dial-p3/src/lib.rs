//! Connects, listens and asks, through the asynchronous interfaces of WASI p3, and says what became of it.
//!
//! `/?connect=ADDRESS:PORT` makes a connection, `/?listen=ADDRESS:PORT` listens and tells where, `/?look-up=NAME` tells the
//! first address of a name, `/?get=HOST:PORT` sends a request and tells the status.

use std::net::SocketAddr;

use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::sockets::types::{
    self, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use wasip3::{sockets, wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Dial);

struct Dial;

impl Guest for Dial {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (verb, object) = path.strip_prefix("/?").and_then(|query| query.split_once('=')).unwrap_or_default();
        Ok(respond(match verb {
            "connect" => told(connect(object).await.map(|()| "connected".into())),
            "listen" => told(listen(object)),
            "look-up" => told(look_up(object).await),
            "get" => told(get(object).await),
            _ => "ask for /?connect=, /?listen=, /?look-up= or /?get=".into(),
        }))
    }
}

fn told<E: std::fmt::Debug>(result: Result<String, E>) -> String {
    result.unwrap_or_else(|error| format!("{error:?}"))
}

async fn connect(address: &str) -> Result<(), types::ErrorCode> {
    let (family, address) = socket_address(address)?;
    TcpSocket::create(family)?.connect(address).await
}

fn listen(address: &str) -> Result<String, types::ErrorCode> {
    let (family, address) = socket_address(address)?;
    let socket = TcpSocket::create(family)?;
    socket.bind(address)?;
    let _connections = socket.listen()?;
    Ok(match socket.get_local_address()? {
        IpSocketAddress::Ipv4(Ipv4SocketAddress { address: (a, b, c, d), .. }) => format!("{a}.{b}.{c}.{d}"),
        IpSocketAddress::Ipv6(address) => format!("{address:?}"),
    })
}

async fn look_up(name: &str) -> Result<String, sockets::ip_name_lookup::ErrorCode> {
    let addresses = sockets::ip_name_lookup::resolve_addresses(name.into()).await?;
    Ok(match addresses.first() {
        Some(IpAddress::Ipv4((a, b, c, d))) => format!("{a}.{b}.{c}.{d}"),
        other => format!("{other:?}"),
    })
}

async fn get(authority: &str) -> Result<String, ErrorCode> {
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    drop(no_trailers);
    let wrong = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    request.set_authority(Some(authority)).map_err(wrong)?;
    request.set_path_with_query(Some("/")).map_err(wrong)?;
    Ok(client::send(request).await?.get_status_code().to_string())
}

fn socket_address(text: &str) -> Result<(IpAddressFamily, IpSocketAddress), types::ErrorCode> {
    Ok(match text.parse().map_err(|_| types::ErrorCode::InvalidArgument)? {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) }))
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            let address = (a, b, c, d, e, f, g, h);
            let address = Ipv6SocketAddress { port: v6.port(), address, flow_info: 0, scope_id: 0 };
            (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(address))
        }
    })
}

fn respond(text: String) -> Response {
    let (mut body, body_reader) = wit_stream::new();
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers);
    drop(no_trailers);
    wit_bindgen::spawn_local(async move {
        body.write_all(text.into_bytes()).await;
    });
    response
}
