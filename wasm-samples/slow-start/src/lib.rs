//! Thinks before every answer.
//!
//! It sleeps for as many milliseconds as `DELAY_MS` says (1,000 without it), or as the query does: `/?ms=20`. `/spin` computes
//! for ever, `/trap` fails, `/alloc` takes memory until it gets none. For probes, timeouts and for watching how a
//! badly behaved request leaves its neighbours alone.

use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct SlowStart;

impl Guest for SlowStart {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/spin" => spin(),
            "/trap" => panic!("told to fail"),
            "/alloc" => take_memory(),
            _ => std::thread::sleep(Duration::from_millis(delay_ms(query))),
        }
        respond(out, "here at last\n");
    }
}

fn delay_ms(query: &str) -> u64 {
    let asked = query.strip_prefix("ms=").map(str::to_string);
    asked.or_else(|| std::env::var("DELAY_MS").ok()).and_then(|ms| ms.parse().ok()).unwrap_or(1_000)
}

fn spin() {
    let mut x = 0_u64;
    loop {
        x = std::hint::black_box(x.wrapping_add(1));
    }
}

fn take_memory() {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
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

wasip2::http::proxy::export!(SlowStart);
