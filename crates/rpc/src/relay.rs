//! A local way to the masters for programs that know one address only, as `kubectl` does: whoever connects is passed on to
//! whichever master answers, byte by byte.
//!
//! TLS goes through untouched: the client proves to the master who it is, and nothing is lent by the process in between.

use std::{
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

/// The most connections at a time: some hundred clients of one host. Each costs two files.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take to say its first word.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a master may take to accept a connection: longer than a lost packet.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a master may take for its first word. One whose process stands still accepts connections all the same.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes of a client that are kept to say them again to another master: a TLS greeting has one or two thousand.
const GREETING_BYTES_MAX: usize = 64 << 10;

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 16 << 10;

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Passes the connections of a listener on to masters, `HOST:PORT` each, which are asked for anew for each connection and
/// tried in turn, beginning with the one that answered last. Runs until it is dropped.
pub async fn relay(listener: TcpListener, masters: impl Fn() -> Vec<String>) {
    let last = Arc::new(AtomicUsize::new(0));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        // Never closed, so that there is no error.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let (masters, last) = (masters(), last.clone());
                connections.spawn(async move {
                    if let Err(error) = pass_on(client, &masters, &last).await {
                        tracing::debug!(%error, "a connection to the masters ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass_on(mut client: TcpStream, masters: &[String], last: &AtomicUsize) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut greeting = Vec::with_capacity(READ_BYTES);
    if timeout(FIRST_WORD_TIMEOUT, client.read_buf(&mut greeting)).await?? == 0 {
        return Ok(());
    }
    let first = last.load(Ordering::Relaxed);
    let mut outcome = io::Error::new(ErrorKind::NotConnected, "no master is known");
    for step in 0..masters.len() {
        let index = (first + step) % masters.len();
        match reach(&masters[index], &mut client, &mut greeting).await {
            Ok(mut master) => {
                last.store(index, Ordering::Relaxed);
                return tokio::io::copy_bidirectional(&mut client, &mut master).await.map(drop);
            }
            Err(error) => outcome = io::Error::new(error.kind(), format!("{}: {error}", masters[index])),
        }
    }
    Err(outcome)
}

/// Connects to a master and says to it what the client has said, until it answers; the client has got the answer then.
async fn reach(master: &str, client: &mut TcpStream, greeting: &mut Vec<u8>) -> io::Result<TcpStream> {
    let mut stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(master)).await??;
    stream.set_nodelay(true)?;
    stream.write_all(greeting).await?;
    let answer = timeout(ANSWER_TIMEOUT, answer(&mut stream, client, greeting)).await??;
    client.write_all(&answer).await?;
    Ok(stream)
}

/// A master's first word. What the client says meanwhile goes to the master, and is kept for the next one.
async fn answer(master: &mut TcpStream, client: &mut TcpStream, greeting: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut answer = Vec::with_capacity(READ_BYTES);
    loop {
        let said = greeting.len();
        tokio::select! {
            read = master.read_buf(&mut answer) => match read? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                _ => return Ok(answer),
            },
            read = client.read_buf(greeting), if said < GREETING_BYTES_MAX => match read? {
                0 => return Err(ErrorKind::BrokenPipe.into()),
                _ => master.write_all(&greeting[said..]).await?,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Answers every line with a name and the line.
    async fn echo(name: &'static str, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut line = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut line).await {
                    stream.write_all(format!("{name}: {}", String::from_utf8_lossy(&line[..read])).as_bytes()).await?;
                }
                io::Result::Ok(())
            });
        }
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    async fn ask(relay: &str, words: &[&str]) -> Vec<String> {
        let mut stream = TcpStream::connect(relay).await.unwrap();
        let mut answers = Vec::new();
        for word in words {
            stream.write_all(word.as_bytes()).await.unwrap();
            let mut answer = [0; 64];
            let read = stream.read(&mut answer).await.unwrap();
            answers.push(String::from_utf8_lossy(&answer[..read]).into_owned());
        }
        answers
    }

    #[tokio::test]
    async fn whoever_answers_is_passed_on_to() {
        let ((gone, dead), (silent, mute), (alive, answers)) = (listener().await, listener().await, listener().await);
        drop(gone);
        tokio::spawn(echo("alive", alive));
        let (entrance, relay_at) = listener().await;
        let masters = vec![dead, mute, answers];
        let relaying = tokio::spawn(relay(entrance, move || masters.clone()));
        for _ in 0..2 {
            assert_eq!(ask(&relay_at, &["one", "two"]).await, ["alive: one", "alive: two"]);
        }
        // The second connection began with the one that had answered: the silent one was asked only once.
        silent.accept().await.unwrap();
        assert!(timeout(Duration::from_millis(1), silent.accept()).await.is_err());
        relaying.abort();
    }

    #[tokio::test]
    async fn without_masters_the_connection_ends() {
        let (entrance, relay_at) = listener().await;
        tokio::spawn(relay(entrance, Vec::new));
        assert_eq!(ask(&relay_at, &["hello"]).await, [""]);
    }
}
