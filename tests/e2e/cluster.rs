//! A `kapelle dev` process under test, and the ways to talk to it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use crate::patience::{PATIENCE, wait_until};

/// The binary under test.
pub(crate) const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

/// A running cluster with a directory of its own. Dropping it kills the process and removes the directory.
pub(crate) struct Cluster {
    process: Option<Child>,
    dir: tempfile::TempDir,
    network: u8,
    /// What starts the process, if it does not start by itself.
    before: &'static [&'static str],
    /// Lines of standard output since `ready`; behind a lock so that threads can share a cluster.
    said: Mutex<mpsc::Receiver<String>>,
}

impl Cluster {
    /// Starts a cluster and waits until it says `ready`.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a cluster that may not bind ports below 1024, whoever runs the tests.
    pub(crate) fn start_unprivileged() -> Self {
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let before: &[&str] = if root { &["setpriv", "--bounding-set=-net_bind_service"] } else { &[] };
        Self::start_behind(before, &[])
    }

    /// Starts a cluster with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_behind(&[], arguments)
    }

    /// Starts a cluster behind another program.
    pub(crate) fn start_behind(before: &'static [&'static str], arguments: &[&str]) -> Self {
        /// Each cluster of this test process gets a /17 of its own for Pods, one for Services, and an address to listen on.
        /// No connection ever gets a port of that address, so that the same one is free again after a restart.
        static NETWORKS: AtomicU8 = AtomicU8::new(1);
        let dir = tempfile::tempdir().unwrap();
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut cluster = Self { process: None, dir, network, said: Mutex::new(mpsc::channel().1), before };
        cluster.start_again(arguments);
        cluster
    }

    /// Starts the process (again) on the same directory and waits until it says `ready`.
    pub(crate) fn start_again(&mut self, arguments: &[&str]) {
        let mut words = self.before.iter().copied().chain([KAPELLE]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["dev", "--listen", &self.contact()])
            .args(["--pod-cidr", &self.pod_range()])
            .args(["--service-cidr", &self.service_range()])
            .arg("--data-dir")
            .arg(self.dir.path())
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("RUST_BACKTRACE")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.dir.path().join("stderr.txt")).unwrap())
            .spawn()
            .unwrap();
        let (tell, said) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        self.process = Some(child);
        self.said = Mutex::new(said);
        self.wait_for_line("ready");
    }

    /// The addresses of its Pods.
    pub(crate) fn pod_range(&self) -> String {
        self.range(64)
    }

    /// The addresses of its Services.
    pub(crate) fn service_range(&self) -> String {
        self.range(128)
    }

    /// Its share of the addresses from 127.`first`.0.0 on, of which 128 clusters have half a /16 each.
    fn range(&self, first: u8) -> String {
        format!("127.{}.{}.0/17", first + self.network / 2, self.network % 2 * 128)
    }

    /// Waits for a line of standard output that begins with `start`.
    pub(crate) fn wait_for_line(&mut self, start: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let said = self.said.get_mut().unwrap();
        while let Ok(line) = said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.starts_with(start) {
                return line;
            }
        }
        panic!("no line {start:?}; standard error was:\n{}", self.stderr());
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// What the process complained about.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr.txt")).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; answers whether the process ended well.
    pub(crate) fn terminate(&mut self) -> bool {
        let mut child = self.process.take().unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        wait_until("the end of the process", || child.try_wait().unwrap().ok_or("it goes on".to_owned())).success()
    }

    /// Starts `kapelle` against the cluster and waits for its first line; it goes on until it is killed.
    pub(crate) fn goes_on(&self, arguments: &str) -> Child {
        let mut command = Command::new(KAPELLE);
        command.args(arguments.split_whitespace()).arg("--kubeconfig").arg(self.kubeconfig());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{arguments} says nothing");
        child
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `ADDRESS:PORT` of the API.
    pub(crate) fn contact(&self) -> String {
        format!("127.{}.{}.1:6443", 192 + self.network / 2, self.network % 2)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Runs `kapelle` against the cluster.
    pub(crate) fn kapelle(&self, arguments: &str) -> Answer {
        let mut command = Command::new(KAPELLE);
        command.args(arguments.split_whitespace()).arg("--kubeconfig").arg(self.kubeconfig());
        Answer::of(&mut command, "")
    }

    /// Runs `kapelle` with a manifest on standard input.
    pub(crate) fn apply(&self, manifest: &str) -> Answer {
        let mut command = Command::new(KAPELLE);
        command.args(["apply", "-f", "-", "--kubeconfig"]).arg(self.kubeconfig());
        Answer::of(&mut command, manifest)
    }

    /// Pushes a prebuilt sample under `name:v1`.
    pub(crate) fn push(&self, sample: &str) {
        self.push_as(sample, &format!("{sample}:v1"));
    }

    /// Pushes a prebuilt sample under another name.
    pub(crate) fn push_as(&self, sample: &str, image: &str) {
        self.kapelle(&format!("push {} {image}", prebuilt(sample))).ok();
    }

    /// One field of one object by `kapelle get -o json` and a JSON pointer; empty if absent.
    pub(crate) fn field(&self, object: &str, pointer: &str) -> String {
        let answer = self.kapelle(&format!("get {object} -o json"));
        let value: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        match value.pointer(pointer) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Waits until a field has a value.
    pub(crate) fn wait_for_field(&self, object: &str, pointer: &str, wanted: &str) {
        wait_until(&format!("{object} {pointer} = {wanted}"), || {
            let found = self.field(object, pointer);
            if found == wanted { Ok(()) } else { Err(found) }
        });
    }

    /// Waits until a Pod is ready.
    pub(crate) fn wait_until_ready(&self, pod: &str) {
        wait_until(&format!("pod {pod} is ready"), || {
            let answer = self.kapelle(&format!("get pod {pod} -o json"));
            let value: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
            let conditions = value.pointer("/status/conditions").and_then(serde_json::Value::as_array);
            let ready =
                conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"));
            if ready { Ok(()) } else { Err(value.pointer("/status").map(ToString::to_string).unwrap_or_default()) }
        });
    }

    /// `http://address:port` of a Service's first port.
    pub(crate) fn service_url(&self, name: &str) -> String {
        let address = self.field(&format!("service/{name}"), "/spec/clusterIP");
        format!("http://{address}:{}", self.field(&format!("service/{name}"), "/spec/ports/0/port"))
    }

    /// A file that a Pod shows over HTTP, as `kv-http` does.
    pub(crate) fn shown(&self, pod: &str, file: &str) -> String {
        let url = format!("http://{}:8080/{file}", self.field(&format!("pod/{pod}"), "/status/podIP"));
        let (status, body) = http_get(&url).unwrap();
        assert_eq!(status, 200, "{file}: {body}");
        body
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The file of a prebuilt sample.
pub(crate) fn prebuilt(sample: &str) -> String {
    format!("{}/../../wasm-samples/prebuilt/{sample}.wasm", env!("CARGO_MANIFEST_DIR"))
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
    line: String,
}

impl Answer {
    pub(crate) fn of(command: &mut Command, input: &str) -> Self {
        let line = format!("{command:?}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { stdout: text(&stdout), stderr: text(&stderr), code: status.code(), line }
    }

    /// The command must have succeeded; answers its standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}{}", self.line, self.stdout, self.stderr);
        self.stdout
    }

    /// What a command printed, or what it complained about: for conditions that are waited for.
    pub(crate) fn printed(self) -> Result<String, String> {
        if self.code == Some(0) { Ok(self.stdout) } else { Err(self.stderr) }
    }

    /// The command must have failed; answers its standard error.
    #[track_caller]
    pub(crate) fn err(self) -> String {
        assert_ne!(self.code, Some(0), "{} should fail\n{}{}", self.line, self.stdout, self.stderr);
        self.stderr
    }
}

/// GET over a connection of its own, as `curl` does it. Answers status and body.
pub(crate) fn http_get(url: &str) -> Result<(u16, String), String> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let fail = |error: std::io::Error| format!("{url}: {error}");
    let mut stream = TcpStream::connect(host).map_err(fail)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").map_err(fail)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(fail)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{url}: not HTTP: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| format!("{url}: {head}"))?;
    Ok((
        status,
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() },
    ))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 || rest.len() < length {
            break;
        }
        whole.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}
