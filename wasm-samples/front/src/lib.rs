//! Asks another Service and wraps its answer.
//!
//! Every request is passed on, as a GET, to the URL in `BACKEND` (such as `http://hello:8080/`), which is resolved by the
//! host: there are no sockets here. If the other side gives no answer, this one says so with 502.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

const MAX_ANSWER_BYTES: usize = 64 * 1024;

struct Front;

impl Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.path_with_query().as_deref() == Some("/healthz") {
            return respond(out, 200, "ok\n");
        }
        let backend = std::env::var("BACKEND").unwrap_or_else(|_| "http://hello:8080/".into());
        match ask(&backend) {
            Ok((status, text)) => respond(out, 200, &format!("{backend} answered {status}: {text}")),
            Err(error) => respond(out, 502, &format!("{backend} gave no answer: {error:?}\n")),
        }
    }
}

fn ask(url: &str) -> Result<(u16, String), ErrorCode> {
    let (scheme, rest) = match url.strip_prefix("https://") {
        Some(rest) => (Scheme::Https, rest),
        None => (Scheme::Http, url.strip_prefix("http://").unwrap_or(url)),
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&scheme)).and(request.set_authority(Some(authority)));
    set.and(request.set_path_with_query(Some(path))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;

    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    let response =
        pending.get().ok_or(ErrorCode::ConnectionTerminated)?.map_err(|()| ErrorCode::ConnectionTerminated)??;
    Ok((response.status(), read(&response)))
}

fn read(response: &IncomingResponse) -> String {
    let mut bytes = Vec::new();
    if let Ok(body) = response.consume()
        && let Ok(stream) = body.stream()
    {
        while bytes.len() < MAX_ANSWER_BYTES {
            match stream.blocking_read(4096) {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => break,
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        for piece in text.as_bytes().chunks(4096) {
            let _ = stream.blocking_write_and_flush(piece);
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

wasip2::http::proxy::export!(Front);
