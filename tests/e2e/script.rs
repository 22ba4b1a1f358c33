//! Sessions at a terminal as data: commands, what they must print and how they must end.
//!
//! ```text
//! # a comment
//! file NAME               the file's lines follow, each behind `| `
//! $ kubectl get pods      must end with 0 …
//!   READY                 … and print this somewhere (standard output or error),
//!   !Terminating          … and this nowhere
//! $1 kapelle get pod x    must end with 1
//! ~ kubectl get pod x     is tried again until it does all that
//! | text                  behind a command: its standard input
//! & kubectl get pods -w   goes on running once it has printed all that is asked for; one at a time
//! .                       what `&` must have printed by now; then it is ended
//! $ http://127.0.0.1:80/  not a command, but what is answered there
//! = NAME                  steps that count as one follow; `= NAME (open: WHY)` if they are known to fail
//! ```
//!
//! Words are split as a shell does it, single quotes included. `{name}` is put in from the caller's list.

use std::{
    fs,
    io::{Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use crate::{
    cluster::{Cluster, KAPELLE, http_get},
    kubectl::Kubectl,
    patience::{LOOK_EVERY, PATIENCE},
};

/// How a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Once, with this exit code.
    Once(i32),
    /// Until it ends with 0 and says what it should.
    Again,
    /// In the background.
    Background,
    /// Not a command: the end of the one in the background.
    End,
}

/// One command, or the end of the one in the background.
#[derive(Debug)]
struct Step {
    line: usize,
    way: Way,
    words: Vec<String>,
    input: String,
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

/// Steps that count as one.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Why it is known to fail, if it is.
    pub(crate) open: Option<String>,
    pub(crate) outcome: Result<(), String>,
}

/// A process whose output is gathered while it runs. Dropping it kills it.
struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

/// A session with a cluster, in a directory of its own.
pub(crate) struct Script<'a> {
    cluster: &'a Cluster,
    kubectl: Option<&'a Kubectl<'a>>,
    dir: tempfile::TempDir,
    name: &'a str,
}

impl<'a> Script<'a> {
    /// A session that `name` stands for in complaints. Without `kubectl` its commands are left out.
    pub(crate) fn new(name: &'a str, cluster: &'a Cluster, kubectl: Option<&'a Kubectl<'a>>) -> Self {
        Self { cluster, kubectl, dir: tempfile::tempdir().unwrap(), name }
    }

    /// Puts a file where the commands find it.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Where the commands find a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs all steps of `text` and complains of all that went wrong at once.
    #[track_caller]
    pub(crate) fn run(&self, text: &str, values: &[(&str, &str)]) {
        let text =
            values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
        let mut background = None;
        let complaints: Vec<String> = self
            .parse(&text)
            .iter()
            .filter_map(|step| {
                let outcome = self.step(step, &mut background).err()?;
                Some(format!("{}:{}: {}\n{outcome}", self.name, step.line, step.words.join(" ")))
            })
            .collect();
        assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n----\n"));
    }

    /// Runs the rows of a text, each whatever became of those before. Files stand before the first.
    pub(crate) fn rows(&self, text: &str) -> Vec<Row> {
        let mut parts = text.split("\n= ");
        assert!(self.parse(parts.next().unwrap()).is_empty(), "{}: steps before the first row", self.name);
        parts.map(|part| self.row(part)).collect()
    }

    fn row(&self, part: &str) -> Row {
        let (heading, steps) = part.split_once('\n').unwrap_or((part, ""));
        let (name, open) = match heading.split_once(" (open: ") {
            Some((name, why)) => (name, Some(why.trim_end_matches(')').to_owned())),
            None => (heading, None),
        };
        let mut background = None;
        let mut step = |step: &Step| {
            self.step(step, &mut background).map_err(|error| format!("{}\n{error}", step.words.join(" ")))
        };
        Row { name: name.to_owned(), open, outcome: self.parse(steps).iter().try_for_each(&mut step) }
    }

    /// Reads the steps and writes the files.
    fn parse(&self, text: &str) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut file = None;
        for (index, line) in text.lines().enumerate() {
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some(name) = line.strip_prefix("file ") {
                let path = self.dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "").unwrap();
                file = Some(path);
            } else if mark == "|" {
                match (&file, steps.last_mut()) {
                    (Some(path), _) => append(path, rest),
                    (None, step) => step.unwrap().input.push_str(&format!("{rest}\n")),
                }
            } else if let Some(fragment) = line.strip_prefix("  ") {
                let step = steps.last_mut().unwrap();
                match fragment.strip_prefix('!') {
                    Some(unwanted) => step.unwanted.push(unwanted.to_owned()),
                    None => step.wanted.push(fragment.to_owned()),
                }
            } else if let Some(way) = way(mark) {
                let (words, none) = (words(rest), Vec::new);
                let input = String::new();
                steps.push(Step { line: index + 1, way, words, input, wanted: none(), unwanted: none() });
                file = None;
            } else {
                assert!(line.is_empty() || mark == "#", "{}:{}: not understood: {line:?}", self.name, index + 1);
            }
        }
        steps
    }

    fn step(&self, step: &Step, background: &mut Option<Running>) -> Result<(), String> {
        if step.way == Way::End {
            let running = background.take().ok_or("nothing runs in the background")?;
            return running.until_said(step).map(drop);
        }
        if step.words.first().is_some_and(|word| word == "kubectl") && self.kubectl.is_none() {
            return Ok(());
        }
        match step.way {
            Way::Once(code) => self.once(step, code),
            Way::Again => {
                let until = Instant::now() + PATIENCE;
                loop {
                    match self.once(step, 0) {
                        Err(_) if Instant::now() < until => thread::park_timeout(LOOK_EVERY),
                        outcome => return outcome,
                    }
                }
            }
            Way::Background | Way::End => {
                *background = Some(self.start(step).until_said(step)?);
                Ok(())
            }
        }
    }

    fn once(&self, step: &Step, code: i32) -> Result<(), String> {
        match step.words.first() {
            Some(url) if url.starts_with("http://") => judge(step, &http_get(url)?.1),
            Some(_) | None => self.start(step).until_ended(step, code),
        }
    }

    fn start(&self, step: &Step) -> Running {
        let (program, arguments) = step.words.split_first().unwrap();
        let mut command = match (program.as_str(), self.kubectl) {
            ("kapelle", _) => Command::new(KAPELLE),
            ("kubectl", Some(kubectl)) => kubectl.command(),
            _ => panic!("{}:{}: neither kubectl nor kapelle", self.name, step.line),
        };
        command.env("KUBECONFIG", self.cluster.kubeconfig()).env("KUBE_EDITOR", "sed -i s/before/after/");
        Running::start(command.args(arguments).current_dir(self.dir.path()), &step.input)
    }
}

impl Running {
    fn start(command: &mut Command, input: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = Arc::new(Mutex::new(String::new()));
        let readers =
            vec![gather(child.stdout.take().unwrap(), &output), gather(child.stderr.take().unwrap(), &output)];
        Self { child, output, readers }
    }

    fn said(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits for the end, and looks at it.
    fn until_ended(mut self, step: &Step, wanted: i32) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            if Instant::now() > until {
                return Err(format!("did not end; it said:\n{}", self.said()));
            }
            thread::park_timeout(LOOK_EVERY / 5);
        };
        for reader in std::mem::take(&mut self.readers) {
            reader.join().unwrap();
        }
        let said = self.said();
        if code != Some(wanted) {
            return Err(format!("ended with {code:?}, not {wanted}:\n{said}"));
        }
        judge(step, &said)
    }

    /// Waits until everything was said; it may go on then. Who has ended says nothing more.
    fn until_said(mut self, step: &Step) -> Result<Self, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let has_ended = self.child.try_wait().unwrap().is_some();
            if has_ended {
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
            }
            match judge(step, &self.said()) {
                Ok(()) => return Ok(self),
                Err(complaint) if has_ended || Instant::now() > until => return Err(complaint),
                Err(_) => thread::park_timeout(LOOK_EVERY),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    let to = to.clone();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
}

fn judge(step: &Step, said: &str) -> Result<(), String> {
    for wanted in &step.wanted {
        if !said.contains(wanted) {
            return Err(format!("no {wanted:?} in:\n{said}"));
        }
    }
    for unwanted in &step.unwanted {
        if said.contains(unwanted) {
            return Err(format!("{unwanted:?} in:\n{said}"));
        }
    }
    Ok(())
}

fn append(path: &Path, line: &str) {
    writeln!(fs::OpenOptions::new().append(true).open(path).unwrap(), "{line}").unwrap();
}

fn way(mark: &str) -> Option<Way> {
    match mark {
        "$" => Some(Way::Once(0)),
        "~" => Some(Way::Again),
        "&" => Some(Way::Background),
        "." => Some(Way::End),
        _ => mark.strip_prefix('$')?.parse().ok().map(Way::Once),
    }
}

/// Words as a shell splits them, as far as single quotes go.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
