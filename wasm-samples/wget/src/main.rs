//! Fetches a page and ends, for Pods that test others: `wget URL` as charts write it.
//!
//! The last argument is the URL, `http://` may be left out. The page goes to the output. Without an answer, or with another
//! status than 200, the program says so and fails.

use std::io::Write as _;
use std::process::ExitCode;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

const MAX_PAGE_BYTES: usize = 64 * 1024;

fn main() -> ExitCode {
    let Some(url) = std::env::args().skip(1).last() else {
        eprintln!("usage: wget URL");
        return ExitCode::FAILURE;
    };
    match fetch(&url) {
        Ok((200, page)) => {
            let _ = std::io::stdout().write_all(&page);
            ExitCode::SUCCESS
        }
        Ok((status, _)) => fail(&url, format_args!("answered {status}")),
        Err(error) => fail(&url, format_args!("gave no answer: {error:?}")),
    }
}

fn fail(url: &str, why: std::fmt::Arguments) -> ExitCode {
    eprintln!("wget: {url} {why}");
    ExitCode::FAILURE
}

fn fetch(url: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&Scheme::Http)).and(request.set_authority(Some(authority)));
    set.and(request.set_path_with_query(Some(path))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;

    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    let response =
        pending.get().ok_or(ErrorCode::ConnectionTerminated)?.map_err(|()| ErrorCode::ConnectionTerminated)??;
    Ok((response.status(), read(&response)))
}

fn read(response: &IncomingResponse) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(body) = response.consume()
        && let Ok(stream) = body.stream()
    {
        while bytes.len() < MAX_PAGE_BYTES {
            match stream.blocking_read(4096) {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => break,
            }
        }
    }
    bytes
}
