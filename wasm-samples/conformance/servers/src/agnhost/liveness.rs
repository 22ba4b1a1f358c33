//! `liveness`: well for ten seconds, unwell from then on.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::LOCATION;

use crate::serving;

const WELL: Duration = Duration::from_secs(10);

pub async fn main() {
    let began = Instant::now();
    let listener = serving::listen(8080);
    serving::serve(listener, None, move |request| async move {
        let since = began.elapsed();
        match request.path.as_str() {
            "/started" => serving::ok(format!("{since:?}")),
            "/healthz" if since > WELL => {
                serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("error: {}", since.as_secs_f64()))
            }
            "/healthz" => serving::ok("ok"),
            "/redirect" => serving::with(serving::text(StatusCode::FOUND, ""), LOCATION, request.value("loc")),
            _ => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    })
    .await
}
