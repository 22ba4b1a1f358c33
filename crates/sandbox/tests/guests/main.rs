//! The sandbox with real guests: the programs of `wasm-samples`, from `prebuilt/`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod commands;
mod compiling;
mod images;
mod serving;
mod sockets;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use http_body_util::BodyExt as _;
use sandbox::{Body, Config, Digest, Image, LogSink, Sandbox, Source, Spec};
use tokio::sync::watch;

/// One sandbox for all tests; its cache outlives them, so that only the first run compiles.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sandbox-cache");
    Sandbox::new(config(&cache)).unwrap()
});

fn config(cache: &Path) -> Config {
    Config { compiler: env!("CARGO_BIN_EXE_sandbox-compiler").into(), ..Config::new(cache) }
}

/// A guest of `wasm-samples`, ready to start.
async fn image(name: &str) -> Arc<Image> {
    let path = sample(name);
    let digest = Digest::of(&std::fs::read(&path).unwrap());
    SANDBOX.prepare(digest, Source::Path(path)).await.unwrap()
}

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../wasm-samples/prebuilt/{name}.wasm"))
}

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(format!("http://test{path}")).body(Body::default()).unwrap()
}

async fn text(response: http::Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A log that remembers everything and can be waited on.
struct Remembered {
    text: Arc<Mutex<String>>,
    changed: watch::Receiver<()>,
}

impl Remembered {
    /// Puts a remembering sink into `spec`.
    fn of(spec: &mut Spec) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let (notify, changed) = watch::channel(());
        let into = Arc::clone(&text);
        let sink: LogSink = Arc::new(move |_, bytes| {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
            notify.send_replace(());
        });
        spec.log = sink;
        Self { text, changed }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until the guest has written `part`.
    async fn has(&mut self, part: &str) {
        while !self.text().contains(part) {
            self.changed.changed().await.unwrap();
        }
    }
}
