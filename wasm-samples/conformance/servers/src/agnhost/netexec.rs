//! `netexec`: an HTTP server that tells what it sees of a request, and asks others on request.
//!
//! There is no UDP and no shell in a sandbox: what asks for them gets an error.

use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::LOCATION;
use serde_json::{Map, Value, json};

use crate::flags::{Flags, duration};
use crate::serving::{self, Answer, Request};
use crate::{client, host_name, tls};

/// The most requests that one `/dial` makes.
const TRIES_MAX: u32 = 1000;

pub async fn main(flags: &Flags) {
    let port = flags.port("http-port", 8080);
    let instead: Option<Rc<str>> = flags.text("http-override").map(Rc::from);
    let listener = serving::listen(port);
    println!("Started HTTP server on port {port}");
    serving::serve(listener, tls::from_flags(flags), move |request| {
        let request = match &instead {
            Some(target) => request.instead(target),
            None => request,
        };
        async move { respond(request, port).await }
    })
    .await
}

async fn respond(request: Request, port: u16) -> Answer {
    println!("{} {}", request.method, request.path);
    match request.path.as_str() {
        "/clientip" => serving::ok(request.peer.to_string()),
        "/serverport" => serving::ok(port.to_string()),
        "/header" => header(&request),
        "/dial" => dial(&request).await,
        "/echo" => echo(&request),
        "/exit" => exit(&request).await,
        "/shutdown" => std::process::exit(0),
        "/healthz" => serving::ok(""),
        "/readyz" => serving::ok("ok"),
        "/hostname" | "/hostName" => serving::ok(host_name()),
        "/envvar" => variable(&request),
        "/redirect" => redirect(&request),
        "/shell" => serving::ok(json!({"error": "a sandbox has no shell"}).to_string()),
        "/upload" => serving::ok(json!({"error": "Unable to open file for write"}).to_string()),
        _ => serving::ok(format!("NOW: {:?}", std::time::SystemTime::now())),
    }
}

fn header(request: &Request) -> Answer {
    let texts = |name: &str| -> Vec<Value> {
        request.headers.get_all(name).iter().map(|value| json!(String::from_utf8_lossy(value.as_bytes()))).collect()
    };
    let key = request.value("key");
    if !key.is_empty() {
        return serving::ok(texts(key).first().and_then(Value::as_str).unwrap_or_default().to_owned());
    }
    let all: Map<_, _> =
        request.headers.keys().map(|name| (canonical(name.as_str()), texts(name.as_str()).into())).collect();
    serving::ok(Value::from(all).to_string())
}

/// A header's name with the capitals that Go gives it.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    });
    words.collect::<Vec<_>>().join("-")
}

/// A status that was asked for by number.
fn status(text: &str, otherwise: StatusCode) -> Result<StatusCode, Answer> {
    if text.is_empty() {
        return Ok(otherwise);
    }
    let status = text.parse().ok().and_then(|code| StatusCode::from_u16(code).ok());
    status.ok_or_else(|| serving::ok(format!("argument 'code' must be an integer or empty, got {text:?}\n")))
}

fn echo(request: &Request) -> Answer {
    match status(request.value("code"), StatusCode::OK) {
        Ok(status) => serving::text(status, request.value("msg").to_owned()),
        Err(answer) => answer,
    }
}

fn redirect(request: &Request) -> Answer {
    match status(request.value("code"), StatusCode::FOUND) {
        Ok(status) => serving::with(serving::text(status, ""), LOCATION, request.value("location")),
        Err(answer) => answer,
    }
}

fn variable(request: &Request) -> Answer {
    match request.value("var") {
        "" => serving::bad("'var' query parameter is required\n"),
        name => match std::env::var(name) {
            Ok(value) => serving::ok(value),
            Err(_) => serving::text(StatusCode::INTERNAL_SERVER_ERROR, format!("env var {name:?} is not set\n")),
        },
    }
}

async fn exit(request: &Request) -> Answer {
    let code = request.value("code").parse().unwrap_or(0);
    let wait = duration(request.value("wait")).unwrap_or_default();
    let timeout = duration(request.value("timeout")).unwrap_or_default();
    tokio::time::sleep(wait).await;
    if timeout.is_zero() {
        std::process::exit(code);
    }
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::min(timeout, Duration::from_secs(1))).await;
        std::process::exit(code);
    });
    serving::ok("")
}

/// Asks another server as often as is wanted, and tells what came back.
async fn dial(request: &Request) -> Answer {
    let (asked, protocol) = (request.value("request"), request.value("protocol").to_lowercase());
    let tries = match request.value("tries") {
        "" => Some(1),
        text => text.parse().ok().filter(|tries| *tries <= TRIES_MAX),
    };
    let Some(tries) = tries else { return serving::bad("tries parameter is invalid.\n") };
    if asked.is_empty() {
        return serving::bad("request parameter not specified.\n");
    }
    if !matches!(protocol.as_str(), "" | "http") {
        return serving::bad(format!("unsupported protocol. {protocol}\n"));
    }
    let server = match client::address(&format!("{}:{}", request.value("host"), request.value("port"))) {
        Ok(server) => server,
        Err(error) => return serving::bad(format!("host and/or port param are invalid. {error}\n")),
    };
    let (mut responses, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..tries {
        match client::get(server, asked).await {
            Ok(response) => responses.push(response),
            Err(error) => errors.push(error),
        }
    }
    let mut told = Map::new();
    for (name, lines) in [("responses", responses), ("errors", errors)] {
        if !lines.is_empty() {
            told.insert(name.to_owned(), lines.into());
        }
    }
    serving::ok(Value::from(told).to_string())
}
