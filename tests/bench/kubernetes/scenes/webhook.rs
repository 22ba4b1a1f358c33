//! What it costs to ask somebody else: creates about which a webhook is asked, beside creates about which nobody is. This process
//! is the webhook, over TLS on loopback, so that its own work is not counted.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rpc::identity::{Authority, Subject};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{
    client::Ask,
    identity::issue,
    load::{self, Outcome},
    members::{LOOK_EVERY, PATIENCE},
    objects::{self, CLIENTS, collection, object},
    rival::Rival,
    settings::Settings,
    table,
};

/// Nobody is asked about what is written here.
const UNASKED: &str = objects::NAMESPACES[0];

/// The webhook is asked about what is created here.
const ASKED: &str = objects::NAMESPACES[3];

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A webhook that allows everything.
#[derive(Clone)]
struct Hook {
    at: SocketAddr,
    ca_bundle: String,
    asked: Arc<AtomicU64>,
}

pub(crate) async fn play(rivals: &[Rival], settings: &Settings) -> Result<()> {
    let hook = Hook::serve().await?;
    for rival in rivals {
        hook.asked_by(rival).await?;
    }
    for (what, clients, namespace) in [
        ("create, nobody is asked", CLIENTS, UNASKED),
        ("create, a webhook is asked", CLIENTS, ASKED),
        ("one client, nobody is asked", 1, UNASKED),
        ("one client, a webhook is asked", 1, ASKED),
    ] {
        let mut outcomes = vec![Vec::new(); rivals.len()];
        for round in 0..settings.rounds {
            for (rival, outcomes) in rivals.iter().zip(&mut outcomes) {
                let before = hook.asked.load(Ordering::Relaxed);
                let outcome = measure(rival, namespace, (round, clients), settings).await?;
                let is_asked = hook.asked.load(Ordering::Relaxed) > before;
                ensure!(is_asked == (namespace == ASKED), "{}: {what}, but that is not so", rival.name);
                outcomes.push(outcome);
            }
        }
        let middle = rivals.iter().zip(&outcomes).map(|(rival, of)| (rival.name.to_owned(), Outcome::middle(of)));
        table::outcomes(what, &middle.collect::<Vec<_>>());
    }
    Ok(())
}

async fn measure(
    rival: &Rival,
    namespace: &'static str,
    (round, count): (usize, usize),
    settings: &Settings,
) -> Result<Outcome> {
    let clients: Vec<_> = rival.clients(count).await?.into_iter().map(|client| Arc::new(Mutex::new(client))).collect();
    let ask = move |client: usize, turn: u64| {
        let connection = clients[client].clone();
        async move {
            let body = object(&format!("hooked-{count}-{round}-{client}-{turn}"));
            connection.lock().await.send(Ask::new(Method::POST, &collection(namespace)).json(body)).await.map(drop)
        }
    };
    Ok(load::run(count, settings.each, || rival.cpu(), ask).await)
}

impl Hook {
    async fn serve() -> Result<Self> {
        let authority = Authority::found("webhook")?;
        let own = issue(&authority, &Subject::Master { member: 1 }, &["127.0.0.1".to_owned()])?;
        let chain = CertificateDer::pem_slice_iter(own.chain_pem().as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(own.key_pem().as_bytes())?;
        let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ca_bundle = BASE64_STANDARD.encode(authority.certificate_pem());
        let hook = Self { at: listener.local_addr()?, ca_bundle, asked: Arc::default() };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(hook.clone().accept(listener, acceptor));
        Ok(hook)
    }

    async fn accept(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().answer(stream, acceptor.clone()));
        }
    }

    async fn answer(self, stream: TcpStream, acceptor: TlsAcceptor) -> Result<()> {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let service = service_fn(move |request| {
            let hook = self.clone();
            async move { Ok::<_, Infallible>(hook.allow(request).await) }
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(Into::into)
    }

    async fn allow(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let response = json!({"uid": review["request"]["uid"], "allowed": true});
        let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let mut answer = Response::new(Full::from(answer.to_string()));
        answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
        answer
    }

    /// Has a server ask about what is created in one namespace, and waits until it does.
    async fn asked_by(&self, rival: &Rival) -> Result<()> {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "measurement"},
            "webhooks": [{
                "name": "measurement.example.com",
                "clientConfig": {"url": format!("https://{}/", self.at), "caBundle": self.ca_bundle},
                "rules": [
                    {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]},
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ASKED}},
                "sideEffects": "None", "admissionReviewVersions": ["v1"],
            }],
        });
        let mut client = rival.client().await?;
        client.send(Ask::new(Method::POST, CONFIGURATIONS).json(configuration.to_string())).await?;
        let (path, before) = (collection(ASKED), self.asked.load(Ordering::Relaxed));
        let ask = async {
            for number in 0.. {
                client.send(Ask::new(Method::POST, &path).json(object(&format!("first-{number}")))).await?;
                if self.asked.load(Ordering::Relaxed) > before {
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, ask).await.context("nobody asks the webhook")?
    }
}
