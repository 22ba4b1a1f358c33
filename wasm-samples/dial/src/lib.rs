//! A handler of p2 that uses the sockets of p3 too: two versions of the interfaces in one guest.
//!
//! `/?p2=ADDRESS:PORT` and `/?p3=ADDRESS:PORT` say what became of a connection there, `/?http=HOST:PORT` and
//! `/?https=HOST:PORT` the status of an answer to `/version`.

use std::net::{SocketAddr, TcpStream};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use wasip3::wit_bindgen;

struct Dial;

impl Guest for Dial {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (verb, object) = path.strip_prefix("/?").and_then(|query| query.split_once('=')).unwrap_or_default();
        respond(out, &match (verb, object.parse()) {
            ("p2", _) => told(TcpStream::connect(object).map(|_| "connected".into())),
            ("p3", Ok(address)) => connect(address),
            ("http", _) => told(get(&Scheme::Http, object)),
            ("https", _) => told(get(&Scheme::Https, object)),
            _ => "ask for /?p2=, /?p3=, /?http= or /?https=".into(),
        });
    }
}

fn told<E: std::fmt::Debug>(result: Result<String, E>) -> String {
    result.unwrap_or_else(|error| format!("{error:?}"))
}

fn get(scheme: &Scheme, authority: &str) -> Result<String, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(scheme)).and(request.set_authority(Some(authority)));
    set.and(request.set_path_with_query(Some("/version"))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    let response = pending.get().ok_or(ErrorCode::ConnectionTerminated)?;
    Ok(response.map_err(|()| ErrorCode::ConnectionTerminated)??.status().to_string())
}

/// A connection that is refused is refused at once: nothing needs to wait, which a handler of p2 could not do here.
fn connect(address: SocketAddr) -> String {
    let (family, address) = match address {
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
    };
    let attempt = async {
        let socket = TcpSocket::create(family)?;
        socket.connect(address).await
    };
    match wit_bindgen::block_on(attempt) {
        Ok(()) => "connected".into(),
        Err(error) => format!("{error:?}"),
    }
}

fn respond(out: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Dial);
