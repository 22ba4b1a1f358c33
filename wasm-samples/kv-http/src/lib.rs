//! Keeps values in files of a mounted volume.
//!
//! `PUT /key` stores the body as a file in `/data`, `GET /key` answers with it, `DELETE /key` removes it, `GET /`
//! lists the keys. A key is 1 to 64 letters, digits, dashes and dots; a value at most 1 MiB. A value appears as a whole or not
//! at all: it is written under another name first.

use std::fs;
use std::io::ErrorKind;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::StreamError;

const DIR: &str = "/data";
const MAX_VALUE_BYTES: usize = 1 << 20;
/// What one write to a response's stream may carry.
const MAX_WRITE_BYTES: usize = 4096;

struct Kv;

impl Guest for Kv {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, body) = answer(&request);
        respond(out, status, &body);
    }
}

fn answer(request: &IncomingRequest) -> (u16, Vec<u8>) {
    let path = request.path_with_query().unwrap_or_default();
    let key = path.split('?').next().unwrap_or_default().trim_start_matches('/').to_string();
    if key == "healthz" {
        return (200, b"ok\n".to_vec());
    }
    if key.is_empty() {
        return list();
    }
    if !is_key(&key) {
        return text(400, "a key is 1 to 64 letters, digits, dashes and dots\n");
    }
    match request.method() {
        Method::Get => found(fs::read(format!("{DIR}/{key}"))),
        Method::Delete => found(fs::remove_file(format!("{DIR}/{key}")).map(|()| b"deleted\n".to_vec())),
        Method::Put => match read_body(request) {
            Some(value) => store(&key, &value),
            None => text(413, "a value has at most 1 MiB\n"),
        },
        _ => text(405, "use GET, PUT or DELETE\n"),
    }
}

fn is_key(key: &str) -> bool {
    key.len() <= 64 && !key.starts_with('.') && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

fn list() -> (u16, Vec<u8>) {
    let Ok(entries) = fs::read_dir(DIR) else {
        return text(500, "no volume is mounted at /data\n");
    };
    let mut keys: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    keys.retain(|key| is_key(key));
    keys.sort();
    (200, keys.iter().flat_map(|key| format!("{key}\n").into_bytes()).collect())
}

fn found(result: std::io::Result<Vec<u8>>) -> (u16, Vec<u8>) {
    match result {
        Ok(value) => (200, value),
        Err(error) if error.kind() == ErrorKind::NotFound => text(404, "no such key\n"),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

fn store(key: &str, value: &[u8]) -> (u16, Vec<u8>) {
    let scratch = format!("{DIR}/.{key}.{}", wasip2::random::random::get_random_u64());
    let stored = fs::write(&scratch, value).and_then(|()| fs::rename(&scratch, format!("{DIR}/{key}")));
    match stored {
        Ok(()) => text(200, "stored\n"),
        Err(error) => text(500, &format!("{error}\n")),
    }
}

/// `None` if there is more than a value may have.
fn read_body(request: &IncomingRequest) -> Option<Vec<u8>> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut value = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => value.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Some(value),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
    }
}

fn text(status: u16, text: &str) -> (u16, Vec<u8>) {
    (status, text.as_bytes().to_vec())
}

fn respond(out: ResponseOutparam, status: u16, bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        for piece in bytes.chunks(MAX_WRITE_BYTES) {
            if stream.blocking_write_and_flush(piece).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Kv);
