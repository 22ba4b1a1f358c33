//! `test-webserver`: the files that the guest can see.

use hyper::StatusCode;
use hyper::header::CACHE_CONTROL;

use crate::flags::Flags;
use crate::serving::{self, Answer};

pub async fn main(flags: &Flags) {
    let listener = serving::listen(flags.port("port", 80));
    serving::serve(
        listener,
        None,
        |request| async move { serving::with(file(&request.path), CACHE_CONTROL, "private") },
    )
    .await
}

fn file(path: &str) -> Answer {
    if path == "/" {
        return serving::typed(StatusCode::OK, "text/html; charset=utf-8", list());
    }
    match std::fs::read(path) {
        Ok(bytes) => serving::ok(bytes),
        Err(_) => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// What lies at the root: what is mounted, for a guest.
fn list() -> String {
    let found = std::fs::read_dir("/").into_iter().flatten().flatten();
    let names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|name| format!("<a href=\"{name}\">{name}</a>\n")).collect()
}
