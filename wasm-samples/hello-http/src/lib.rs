//! Says who answered, and how often it has.
//!
//! `/` names the Pod and its version (from `POD_NAME`, else `HOSTNAME`, and `VERSION`) and the number of requests
//! that this Pod has answered. Every request runs in a fresh sandbox, so the number is kept where it survives: as the length of
//! a file in the volume `/state`, to which each request appends one byte. Without that volume the number is left out.
//! `/healthz` answers `ok`, `/env` lists the environment.

use std::fs::OpenOptions;
use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, text) = match path.split('?').next().unwrap_or_default() {
            "/healthz" => (200, "ok\n".to_string()),
            "/env" => (200, std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()),
            "/" => (200, greeting()),
            other => (404, format!("there is nothing at {other}; try /, /env or /healthz\n")),
        };
        respond(out, status, &text);
    }
}

fn greeting() -> String {
    let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "nobody".into());
    let version = std::env::var("VERSION").unwrap_or_else(|_| "1".into());
    match count() {
        Some(count) => format!("Hello from {name}, version {version}, request {count}\n"),
        None => format!("Hello from {name}, version {version}\n"),
    }
}

/// One byte appended for each request: appends of several instances at once do not overwrite each other.
fn count() -> Option<u64> {
    let mut file = OpenOptions::new().append(true).create(true).open("/state/requests").ok()?;
    file.write_all(b".").ok()?;
    file.metadata().ok().map(|meta| meta.len())
}

fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::new();
    let _ = headers.append("content-type", b"text/plain; charset=utf-8");
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Hello);
