//! TLS towards a program of a Pod. A probe asks whether a program answers, not who it is: as in Kubernetes, its certificate may be
//! signed by anybody, for any name, and have expired.

use std::{net::IpAddr, sync::Arc};

use rpc::identity::believing_anybody;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Greets the program at the other end of a connection.
pub(super) async fn greet(stream: TcpStream, ip: IpAddr) -> Result<TlsStream<TcpStream>, String> {
    let told = |error: &dyn std::fmt::Display| format!("tls: {error}");
    let config = believing_anybody().map_err(|error| told(&error))?.with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::IpAddress(ip.into()), stream).await.map_err(|error| told(&error))
}
