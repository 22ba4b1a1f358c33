//! One server process: started, killed, and asked what it used.

use std::{
    ffi::OsString,
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Result, bail};

/// A process that can be started again. Dropping it kills it.
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(program: PathBuf, arguments: Vec<OsString>, log: PathBuf) -> Self {
        Self { program, arguments, log, child: None }
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::create(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    /// `kill -9`; nothing of the process is left when this returns.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn has_said(&self, word: &str) -> bool {
        self.said().contains(word)
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error if the process has ended.
    pub(crate) fn lives(&mut self) -> Result<()> {
        let ended = match &mut self.child {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        };
        if ended {
            bail!("{} has ended: {}", self.program.display(), self.said());
        }
        Ok(())
    }

    /// A file of `/proc` that tells of the process while it runs.
    pub(crate) fn proc(&self, file: &str) -> Option<PathBuf> {
        let child = self.child.as_ref()?;
        Some(format!("/proc/{}/{file}", child.id()).into())
    }

    fn read(&self, file: &str) -> String {
        self.proc(file).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    }

    /// Processor time since its start.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.read("stat"))
    }

    /// Memory in MiB: `VmRSS` is what is resident, `VmHWM` the most that ever was.
    pub(crate) fn memory_mib(&self, field: &str) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib: f64 = line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
        kib / 1024.0
    }
}

/// Processor time out of `/proc/PID/stat`: user and system, the 12th and 13th fields behind the name.
pub(crate) fn cpu_of(stat: &str) -> Duration {
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
