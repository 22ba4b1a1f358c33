//! `porter`: answers on the ports that variables of the environment name, such as `SERVE_PORT_80=text`.

use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::flags::Flags;
use crate::serving::{self, Answer, Request};
use crate::tls;

pub async fn main(flags: &Flags) {
    let as_json = flags.is_on("json-response", false);
    for (name, body) in std::env::vars() {
        let plain = name.strip_prefix("SERVE_PORT_").or_else(|| name.strip_prefix("SERVE_TCP_PORT_"));
        if let Some(port) = plain.and_then(|port| port.parse().ok()) {
            tokio::task::spawn_local(serve(port, None, body, as_json));
        } else if let Some(port) = name.strip_prefix("SERVE_TLS_PORT_").and_then(|port| port.parse().ok()) {
            tokio::task::spawn_local(serve(port, Some(encryption()), body, as_json));
        } else if name.starts_with("SERVE_UDP_PORT_") || name.starts_with("SERVE_SCTP_PORT_") {
            eprintln!("{name}: sandboxes have TCP alone");
        }
    }
    std::future::pending().await
}

/// The certificate that was mounted, or one of its own.
fn encryption() -> TlsAcceptor {
    match (std::env::var("CERT_FILE"), std::env::var("KEY_FILE")) {
        (Ok(certificate), Ok(key)) => tls::from_files(&certificate, &key),
        _ => tls::own(),
    }
}

async fn serve(port: u16, tls: Option<TlsAcceptor>, body: String, as_json: bool) {
    let answer = move |request: Request| {
        let body = body.clone();
        async move { if as_json { told(&request, &body) } else { serving::ok(body) } }
    };
    serving::serve(serving::listen(port), tls, answer).await
}

fn told(request: &Request, body: &str) -> Answer {
    let told = json!({"Method": request.method.as_str(), "Body": body});
    serving::typed(hyper::StatusCode::OK, "application/json", told.to_string())
}
