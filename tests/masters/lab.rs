//! Hosts: network namespaces on one switch, and the `kapelle` processes on them.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Instant,
};

use crate::patience::{LOOK_EVERY, PATIENCE};

/// The binary under test.
const KAPELLE: &str = env!("CARGO_BIN_EXE_kapelle");

/// An address of a network card that no host has: what is sent to it is lost, and nobody is told.
const NOWHERE: &str = "02:00:00:00:00:01";

/// Some hosts on one network. Dropping it ends their processes and removes their namespaces.
pub(crate) struct Lab {
    tag: String,
    hosts: Vec<Host>,
    dir: tempfile::TempDir,
}

/// One host.
struct Host {
    name: &'static str,
    /// The last number of its address.
    number: usize,
    process: Option<Child>,
    starts: u32,
    /// Its state is on a filesystem of its own.
    has_disk: bool,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) ok: bool,
}

impl Lab {
    /// A network of hosts, or nothing where namespaces cannot be made.
    pub(crate) fn new(hosts: &[&'static str]) -> Option<Self> {
        /// Several labs of one process, and several processes, do not meet.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("k{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let switch = format!("{tag}-sw");
        if !ip(&["netns", "add", &switch]) {
            assert!(std::env::var_os("CI").is_none(), "CI must be able to make network namespaces");
            // Not by a macro, whose words a test that passes keeps to itself.
            let _ = std::io::stderr().write_all(b"skipped: network namespaces need root\n");
            return None;
        }
        let named = |(index, name): (usize, &&'static str)| Host {
            name,
            number: index + 1,
            process: None,
            starts: 0,
            has_disk: false,
        };
        let lab = Self { tag, hosts: hosts.iter().enumerate().map(named).collect(), dir: tempfile::tempdir().unwrap() };
        assert!(ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"]));
        assert!(ip(&["-n", &switch, "link", "set", "br0", "up"]));
        for (index, host) in hosts.iter().enumerate() {
            lab.plug(host, index);
        }
        Some(lab)
    }

    fn plug(&self, host: &str, index: usize) {
        let (space, switch) = (self.space(host), format!("{}-sw", self.tag));
        let port = format!("p{index}");
        assert!(ip(&["netns", "add", &space]));
        let link = ["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space];
        assert!(ip(&link));
        assert!(ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]));
        assert!(ip(&["-n", &space, "addr", "add", &format!("{}/24", self.address(host)), "dev", "eth0"]));
        assert!(ip(&["-n", &space, "link", "set", "eth0", "up"]));
        assert!(ip(&["-n", &space, "link", "set", "lo", "up"]));
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.tag)
    }

    fn index(&self, host: &str) -> usize {
        self.hosts.iter().position(|known| known.name == host).unwrap()
    }

    /// The namespace of a host, for threads of their own.
    pub(crate) fn namespace(&self, host: &str) -> String {
        self.space(host)
    }

    /// A host's address.
    pub(crate) fn address(&self, host: &str) -> String {
        format!("10.77.0.{}", self.hosts[self.index(host)].number)
    }

    /// Gives a host another address.
    pub(crate) fn renumber(&mut self, host: &str, number: usize) {
        let (space, index) = (self.space(host), self.index(host));
        self.hosts[index].number = number;
        assert!(ip(&["-n", &space, "addr", "flush", "dev", "eth0"]));
        assert!(ip(&["-n", &space, "addr", "add", &format!("{}/24", self.address(host)), "dev", "eth0"]));
    }

    /// `ADDRESS:6443` of a master.
    pub(crate) fn contact(&self, host: &str) -> String {
        format!("{}:6443", self.address(host))
    }

    /// Where a host keeps its state.
    pub(crate) fn dir(&self, host: &str) -> PathBuf {
        self.dir.path().join(host)
    }

    /// A file of the lab.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The administrator's kubeconfig that a master wrote.
    pub(crate) fn kubeconfig(&self, master: &str) -> PathBuf {
        self.dir(master).join("kubeconfig")
    }

    /// A thread on a host, with a Tokio runtime of its own: its sockets are that host's.
    pub(crate) fn thread<T: Send + 'static, F: Future<Output = T>>(
        &self,
        host: &str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let space = PathBuf::from(format!("/run/netns/{}", self.space(host)));
        thread::spawn(move || {
            let space = File::open(space).unwrap();
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&space), Some(kind)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move { work().await })
        })
    }

    /// A client of some masters that is on a host.
    pub(crate) fn client<T: Send + 'static, F: Future<Output = T>>(
        &self,
        host: &str,
        masters: &[&str],
        work: impl FnOnce(rpc::Client) -> F + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let urls: Vec<String> = masters.iter().map(|master| format!("https://{}", self.contact(master))).collect();
        let config = kapelle_client::Config::from_kubeconfig(&self.kubeconfig(masters[0]), None).unwrap();
        let security = config.security().unwrap();
        self.thread(host, move || work(rpc::Client::connect_with(&urls, security).unwrap()))
    }

    /// Cuts a host off, or plugs it in again.
    pub(crate) fn cut(&self, host: &str, is_cut: bool) {
        let port = format!("p{}", self.index(host));
        let state = if is_cut { "down" } else { "up" };
        assert!(ip(&["-n", &format!("{}-sw", self.tag), "link", "set", &port, state]));
    }

    /// Loses whatever one host sends to another, but not what comes back; or mends that.
    pub(crate) fn lose(&self, from: &str, to: &str, is_lost: bool) {
        let (space, address) = (self.space(from), self.address(to));
        let lost = ["replace", &address, "lladdr", NOWHERE, "nud", "permanent", "dev", "eth0"];
        let mended = ["del", &address, "dev", "eth0"];
        let entry: &[&str] = if is_lost { &lost } else { &mended };
        assert!(ip(&[&["-n", &space, "neigh"], entry].concat()));
    }

    /// Gives a host a small filesystem of its own for its state; says whether that can be done here.
    pub(crate) fn disk(&mut self, host: &str, mebibytes: u64) -> bool {
        let (image, dir, index) = (self.file(&format!("{host}.disk")), self.dir(host), self.index(host));
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let (image, dir) = (image.to_str().unwrap(), dir.to_str().unwrap());
        let made = run("mkfs.ext4", &["-q", "-F", image]) && run("mount", &["-o", "loop", image, dir]);
        assert!(made || std::env::var_os("CI").is_none(), "CI must have mkfs.ext4 and loop devices");
        self.hosts[index].has_disk = made;
        made
    }

    /// A command on a host.
    pub(crate) fn on(&self, host: &str, program: &str, arguments: &[&str]) -> Answer {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host), program]).args(arguments);
        Answer::of(command.stdin(Stdio::null()).output().unwrap())
    }

    /// `kapelle` on a master's host as its administrator.
    pub(crate) fn kapelle(&self, master: &str, line: &str) -> Answer {
        let config = self.kubeconfig(master);
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--kubeconfig", config.to_str().unwrap()]);
        self.on(master, KAPELLE, &arguments)
    }

    /// `kapelle cluster status -o json`.
    pub(crate) fn status(&self, master: &str) -> Result<serde_json::Value, String> {
        let answer = self.kapelle(master, "cluster status -o json").printed()?;
        serde_json::from_str(&answer).map_err(|error| error.to_string())
    }

    /// The host of the master that leads, asked on one of the masters.
    pub(crate) fn leader(&self, asked: &str) -> Result<&'static str, String> {
        let status = self.status(asked)?;
        let members = status["members"].as_array().ok_or("no members")?;
        let leader = members.iter().find(|member| member["leader"] == true).ok_or("nobody leads")?;
        let address = leader["address"].as_str().unwrap_or_default();
        let host = self.hosts.iter().find(|host| self.contact(host.name) == address);
        host.map(|host| host.name).ok_or_else(|| format!("nobody is at {address}"))
    }

    /// The id of a master.
    pub(crate) fn id(&self, asked: &str, master: &str) -> String {
        let status = self.status(asked).unwrap();
        let contact = self.contact(master);
        let found = status["members"].as_array().unwrap().iter().find(|member| member["address"] == contact);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// A token, made on a master.
    pub(crate) fn token(&self, master: &str, rest: &str) -> String {
        self.kapelle(master, &format!("token create {rest}")).ok().trim().to_owned()
    }

    /// Starts `kapelle` on a host without waiting for anything.
    pub(crate) fn start(&mut self, host: &str, arguments: &[&str]) {
        self.start_by(host, &[], arguments);
    }

    /// As [`Lab::start`], by a command that runs others.
    pub(crate) fn start_by(&mut self, host: &str, by: &[&str], arguments: &[&str]) {
        let space = self.space(host);
        let index = self.index(host);
        self.hosts[index].starts += 1;
        let log = |kind: &str| File::create(self.log(host, kind)).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space]).args(by).arg(KAPELLE).args(arguments).stdin(Stdio::null());
        command.env_remove("RUST_BACKTRACE").env_remove("KUBECONFIG");
        let child = command.stdout(log("out")).stderr(log("err")).spawn().unwrap();
        self.hosts[index].process = Some(child);
    }

    fn log(&self, host: &str, kind: &str) -> PathBuf {
        self.file(&format!("{host}-{}.{kind}", self.hosts[self.index(host)].starts))
    }

    /// What a host's last process said on standard error.
    pub(crate) fn complaints(&self, host: &str) -> String {
        std::fs::read_to_string(self.log(host, "err")).unwrap_or_default()
    }

    /// Waits until a host's process says that it is ready.
    pub(crate) fn ready(&mut self, host: &str) {
        let index = self.index(host);
        let log = self.log(host, "out");
        let until = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&log).unwrap_or_default().contains("ready") {
            let ended = self.hosts[index].process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{host} is not ready: {}", self.complaints(host));
            thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Starts a master: the first founds, others name one to join; later starts need neither.
    pub(crate) fn master(&mut self, host: &str, join: Option<(&str, &str)>) {
        let (dir, contact) = (self.dir(host), self.contact(host));
        let mut arguments = vec!["master", "--data-dir", dir.to_str().unwrap(), "--listen", &contact];
        let of = join.map(|(of, _)| self.contact(of));
        if let (Some(of), Some((_, token))) = (&of, join) {
            arguments.extend(["--join", of, "--token", token]);
        }
        self.start(host, &arguments);
    }

    /// Three masters that have agreed.
    pub(crate) fn three_masters(&mut self) {
        self.master("m1", None);
        self.ready("m1");
        for host in ["m2", "m3"] {
            let token = self.token("m1", "--role master");
            self.master(host, Some(("m1", &token)));
            self.ready(host);
        }
    }

    /// Starts a worker that knows all masters.
    pub(crate) fn worker(&mut self, host: &str, token: Option<&str>) {
        let dir = self.dir(host);
        let masters: Vec<String> = ["m1", "m2", "m3"].map(|master| self.contact(master)).to_vec();
        let masters = masters.join(",");
        let mut arguments =
            vec!["worker", "--data-dir", dir.to_str().unwrap(), "--node-name", host, "--join", &masters];
        arguments.extend(token.map(|token| ["--token", token]).into_iter().flatten());
        self.start(host, &arguments);
    }

    /// As [`Lab::worker`] for a cluster of one master, by a command that runs others. What its token says of it beside its name,
    /// it says itself.
    pub(crate) fn worker_of_one(&mut self, host: &str, by: &[&str], said: &str) {
        let (dir, master) = (self.dir(host), self.contact("m1"));
        let token = self.token("m1", &format!("--role worker --node {host} {said}"));
        let dir = dir.to_str().unwrap();
        let mut arguments =
            vec!["worker", "--data-dir", dir, "--node-name", host, "--join", &master, "--token", &token];
        arguments.extend(said.split_whitespace());
        self.start_by(host, by, &arguments);
    }

    /// One master and workers, which are ready; or nothing where namespaces cannot be made.
    pub(crate) fn of_one(workers: &[&'static str]) -> Option<Self> {
        let mut lab = Self::new(&[&["m1"], workers].concat())?;
        lab.master("m1", None);
        lab.ready("m1");
        for worker in workers {
            lab.worker_of_one(worker, &[], "");
            lab.ready(worker);
        }
        Some(lab)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, host: &str) {
        let index = self.index(host);
        let mut child = self.hosts[index].process.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, host: &str, signal: &str) {
        let index = self.index(host);
        let pid = self.hosts[index].process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    }

    /// Whether a host's process has ended by itself.
    pub(crate) fn has_ended(&mut self, host: &str) -> bool {
        let index = self.index(host);
        self.hosts[index].process.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits until a host's process has ended by itself.
    pub(crate) fn ended(&mut self, host: &str) -> bool {
        let index = self.index(host);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.hosts[index].process.as_mut().unwrap().try_wait().unwrap() {
                self.hosts[index].process = None;
                return status.success();
            }
            thread::park_timeout(LOOK_EVERY);
        }
        panic!("{host} did not end: {}", self.complaints(host));
    }

    /// GET on a host, as `curl` does it.
    pub(crate) fn get(&self, host: &str, url: &str) -> Result<String, String> {
        // Whoever waits for an answer asks again if one is lost.
        let patience = (PATIENCE / 3).as_secs().to_string();
        self.on(host, "curl", &["-sS", "--fail", "--globoff", "--max-time", &patience, url]).printed()
    }

    /// The status with which a master answers a GET, asked once as its administrator: `000` if it does not answer.
    pub(crate) fn asked(&self, master: &str, path: &str) -> String {
        self.asked_from(master, master, &format!("https://{}{path}", self.contact(master)))
    }

    /// The same for any URL, asked on one host as another one's administrator.
    pub(crate) fn asked_from(&self, host: &str, master: &str, url: &str) -> String {
        let file = self.pem(master);
        let file = file.to_str().unwrap();
        let asks =
            ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "15", "--cacert", file, "--cert", file];
        self.on(host, "curl", &[&asks[..], &[url]].concat()).stdout
    }

    /// A file with the certificate and key of a master's administrator, and the certificate of the authority.
    pub(crate) fn pem(&self, master: &str) -> PathBuf {
        let config = kapelle_client::Config::from_kubeconfig(&self.kubeconfig(master), None).unwrap();
        let rpc::Security::Tls(identity) = config.security().unwrap() else { panic!("no TLS") };
        let file = self.file(&format!("{master}.pem"));
        let pem = identity.with(|it| [it.chain_pem(), it.key_pem(), it.authority_pem()].join("\n"));
        std::fs::write(&file, pem).unwrap();
        file
    }

    /// Applies a manifest as a master's administrator.
    pub(crate) fn apply(&self, master: &str, name: &str, manifest: &str) -> Answer {
        let file = self.file(name);
        std::fs::write(&file, manifest).unwrap();
        self.kapelle(master, &format!("apply -f {}", file.display()))
    }
}

fn ip(arguments: &[&str]) -> bool {
    run("ip", arguments)
}

/// Whether a command can be run, and succeeds.
fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            if let Some(mut child) = host.process.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        for host in self.hosts.iter().filter(|host| host.has_disk) {
            run("umount", &[self.dir(host.name).to_str().unwrap()]);
        }
        let names: Vec<&str> = self.hosts.iter().map(|host| host.name).chain(["sw"]).collect();
        for name in names {
            ip(&["netns", "del", &self.space(name)]);
        }
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { stdout: text(&output.stdout), stderr: text(&output.stderr), ok: output.status.success() }
    }

    /// What a command printed, or what it complained about.
    pub(crate) fn printed(self) -> Result<String, String> {
        if self.ok { Ok(self.stdout) } else { Err(self.stderr) }
    }

    /// The command must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.ok, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The command must have failed.
    #[track_caller]
    pub(crate) fn err(self) -> String {
        assert!(!self.ok, "it should fail: {}{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// A prebuilt sample.
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../wasm-samples/prebuilt/{name}.wasm"))
}

/// `kapelle` in a namespace with something on standard input.
pub(crate) fn fed(space: &str, arguments: &[&str], input: &str) -> Answer {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space, KAPELLE]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A child that ends early does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Answer::of(child.wait_with_output().unwrap())
}
