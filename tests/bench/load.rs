//! A closed loop of HTTP/1.1 requests over kept-alive connections, and what came of it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What to ask, of whom, and how hard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) failed: u64,
}

/// Runs the loop; every connection asks again as soon as it was answered.
pub(crate) async fn run(load: Load) -> Outcome {
    let start = Instant::now();
    let until = start + load.duration;
    let workers: Vec<_> = (0..load.connections).map(|_| tokio::spawn(connection(load.target, until))).collect();
    let (mut times, mut failed) = (Vec::new(), 0);
    for worker in workers {
        let (mine, broken) = worker.await.expect("a worker does not panic");
        times.extend(mine);
        failed += broken;
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        Duration::from_nanos(times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or(0))
    };
    Outcome { per_second: times.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99), failed }
}

async fn connection(target: SocketAddr, until: Instant) -> (Vec<u64>, u64) {
    let (mut times, mut failed) = (Vec::new(), 0);
    let request = format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let mut buffer = Vec::with_capacity(4096);
    while Instant::now() < until {
        let Ok(mut stream) = TcpStream::connect(target).await else {
            failed += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        while Instant::now() < until {
            let start = Instant::now();
            if stream.write_all(request.as_bytes()).await.is_err() || !answer(&mut stream, &mut buffer).await {
                failed += 1;
                break;
            }
            times.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }
    (times, failed)
}

/// Reads one whole answer; only a 200 counts.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    buffer.clear();
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if !matches!(stream.read_buf(buffer).await, Ok(read) if read > 0) {
            return false;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.split("\r\n").find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let complete = |buffer: &[u8]| match length {
        Some(length) => buffer.len() >= head + length,
        None => buffer.ends_with(b"0\r\n\r\n"),
    };
    while !complete(buffer) {
        if !matches!(stream.read_buf(buffer).await, Ok(read) if read > 0) {
            return false;
        }
    }
    text.starts_with("http/1.1 200")
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
