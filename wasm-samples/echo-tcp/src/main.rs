//! Listens on a socket of its own and echoes.
//!
//! Takes connections on port `PORT` (7000 without it) one after the other and sends each line back. It binds `0.0.0.0`, which the
//! host turns into the Pod's address. With `CONNECT=name:port` it is the other side: it sends one line there and prints what comes back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    if let Ok(server) = std::env::var("CONNECT") {
        return ask(&server);
    }
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(7000);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on {}", listener.local_addr()?);
    for connection in listener.incoming() {
        if let Err(error) = connection.and_then(echo) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

fn echo(connection: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(&connection);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        (&connection).write_all(&line)?;
        line.clear();
    }
    Ok(())
}

fn ask(server: &str) -> std::io::Result<()> {
    let connection = TcpStream::connect(server)?;
    (&connection).write_all(b"is anybody there?\n")?;
    let mut answer = String::new();
    BufReader::new(&connection).read_line(&mut answer)?;
    println!("{server} answered: {}", answer.trim_end());
    Ok(())
}
