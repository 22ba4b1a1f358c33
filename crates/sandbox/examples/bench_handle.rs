//! What the sandbox costs: microseconds a request in process, without sockets, and memory for each container.
//!
//! `cargo run --release -p sandbox --example bench_handle [IMAGE.wasm [PATH [REQUESTS]]]`

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use sandbox::{Body, Config, Digest, HttpHandle, Image, Sandbox, Source, Spec};

const ROUNDS: usize = 5;

/// Containers that are started to see what one costs.
const HANDLERS: u32 = 1_000;
const COMMANDS: u32 = 300;

fn main() -> Result<(), Box<dyn Error>> {
    if sandbox::compile_if_asked().is_some() {
        return Ok(());
    }
    let mut args = std::env::args().skip(1);
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm-samples/prebuilt/hello-http.wasm");
    let image = PathBuf::from(args.next().unwrap_or_else(|| default.into()));
    let path = args.next().unwrap_or_else(|| "/healthz".into());
    let requests = args.next().map_or(Ok(20_000), |n| n.parse::<u32>())?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dir = std::env::temp_dir().join("kapelle-bench-handle");
        let began = Instant::now();
        let sandbox = Sandbox::new(Config::new(&dir))?;
        println!("sandbox started in {:?}, the process has {} KiB", began.elapsed(), resident_kib());
        let bytes = std::fs::read(&image)?;
        let began = Instant::now();
        let image = sandbox.prepare(Digest::of(&bytes), Source::Bytes(bytes.into())).await?;
        println!("image ready in {:?}, the process has {} KiB", began.elapsed(), resident_kib());
        for reuse in [1, 128] {
            let mut spec = Spec::new(image.clone());
            spec.http.reuse = reuse;
            spec.log = Arc::new(|_, bytes| eprint!("{}", String::from_utf8_lossy(bytes)));
            let container = sandbox.start(spec)?;
            let handle = container.http().ok_or("not an HTTP image")?;
            let mut best = Duration::MAX;
            for _ in 0..ROUNDS {
                best = best.min(round(&handle, &path, requests).await?);
            }
            let stats = container.stats();
            println!(
                "reuse {reuse}: {:.1} us a request, best of {ROUNDS} rounds of {requests}",
                micros(best / requests)
            );
            println!("  accounted CPU {:.1} us a request", micros(stats.cpu) / stats.requests as f64);
        }
        println!("the process has {} KiB", resident_kib());
        density(&sandbox, image, HANDLERS, "HTTP container that nobody calls").await?;
        let sidecar = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wasm-samples/prebuilt/log-sidecar.wasm");
        let bytes = std::fs::read(sidecar)?;
        let sidecar = sandbox.prepare(Digest::of(&bytes), Source::Bytes(bytes.into())).await?;
        density(&sandbox, sidecar, COMMANDS, "command that mostly sleeps").await?;
        Ok(())
    })
}

async fn density(sandbox: &Sandbox, image: Arc<Image>, count: u32, what: &str) -> Result<(), Box<dyn Error>> {
    let (before, began) = (resident_kib(), Instant::now());
    let containers: Result<Vec<_>, _> = (0..count).map(|_| sandbox.start(Spec::new(image.clone()))).collect();
    let containers = containers?;
    println!("{count} started in {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("  {:.1} KiB for each {what}", (resident_kib() - before) as f64 / f64::from(count));
    containers.iter().for_each(sandbox::Container::kill);
    Ok(())
}

/// Memory of this process that is in use now.
fn resident_kib() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}

async fn round(handle: &HttpHandle, path: &str, requests: u32) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    for _ in 0..requests {
        let request = http::Request::get(format!("http://bench{path}")).body(Body::default())?;
        let response = handle.handle(request).await;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        if !status.is_success() || body.is_empty() {
            return Err(format!("status {status}").into());
        }
    }
    Ok(began.elapsed())
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}
