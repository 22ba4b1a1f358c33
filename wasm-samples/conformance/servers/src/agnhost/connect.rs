//! `connect`: tries to open a connection, and says in one fixed word why not.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use crate::flags::{Flags, duration};
use crate::{client, give_up};

pub async fn main(flags: &Flags) {
    let [server] = flags.others.as_slice() else { give_up("UNKNOWN: name one HOST:PORT") };
    let protocol = flags.text("protocol").unwrap_or("tcp");
    if protocol != "tcp" {
        give_up(format!("UNKNOWN: sandboxes have no {protocol}"));
    }
    let address = client::address(server).unwrap_or_else(|error| give_up(format!("DNS: {error}")));
    let connecting = TcpStream::connect(address);
    let result = match flags.text("timeout").and_then(duration) {
        Some(most) if !most.is_zero() => match tokio::time::timeout(most, connecting).await {
            Ok(result) => result,
            Err(_) => give_up("TIMEOUT"),
        },
        _ => connecting.await,
    };
    match result {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => give_up("REFUSED"),
        Err(error) if error.kind() == ErrorKind::TimedOut => give_up("TIMEOUT"),
        Err(error) => give_up(format!("OTHER: {error}")),
    }
}
