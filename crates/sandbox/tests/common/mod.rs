//! What the tests share: a sandbox over one cache, guests by name, requests and logs.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use sandbox::{Body, Config, Digest, Image, LogSink, Sandbox, Source};

/// A sandbox and the directory of its cache.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    _cache: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(Config::new(cache.path())).unwrap();
        Self { sandbox, _cache: cache }
    }

    /// A guest of `wasm-samples`, ready to start.
    pub(crate) async fn image(&self, name: &str) -> Arc<Image> {
        let path = sample(name);
        let digest = Digest::of(&std::fs::read(&path).unwrap());
        self.sandbox.prepare(digest, Source::Path(path)).await.unwrap()
    }
}

pub(crate) fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../wasm-samples/prebuilt/{name}.wasm"))
}

pub(crate) fn get(path: &str) -> http::Request<Body> {
    http::Request::get(format!("http://test{path}")).body(Body::default()).unwrap()
}

pub(crate) async fn text(response: http::Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A sink that remembers everything.
pub(crate) fn remembering() -> (LogSink, Arc<Mutex<String>>) {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    let sink: LogSink = Arc::new(move |_, bytes| into.lock().unwrap().push_str(&String::from_utf8_lossy(bytes)));
    (sink, text)
}
