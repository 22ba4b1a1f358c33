//! What containers wrote, in files of this node: one a run, cut into pieces that are thrown away in turn.
//!
//! A line in a file is `TIME STREAM F|P TEXT`, as other node agents write it; `P` marks one that goes on in the
//! next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::Timestamp;
use sandbox::Stream;

use crate::driver::clock::now;

/// The largest piece, in bytes.
const PIECE_BYTES_MAX: u64 = 10 << 20;

/// How many full pieces of a run are kept beside the one that is written.
const PIECES_KEPT: u32 = 2;

/// The longest line, in bytes; longer ones are written as several.
const LINE_BYTES_MAX: usize = 16 << 10;

/// How often it is told that nothing can be written.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// How many earlier runs of a container keep their logs.
const RUNS_KEPT: usize = 1;

/// Writes the log of one run. Nothing is created before the first line.
pub(crate) struct Writer {
    dir: PathBuf,
    run: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<File>,
    written: u64,
    /// What was begun and not ended, for standard output and standard error.
    open: [Vec<u8>; 2],
    /// When it was told last that nothing can be written.
    complained: Option<Instant>,
}

impl Writer {
    /// The log of a run, in the directory of its container's logs.
    pub(crate) fn open(dir: PathBuf, run: u32) -> Self {
        Self { dir, run, state: Mutex::default() }
    }

    /// Takes what a guest wrote. A disk that refuses costs the lines, never the guest.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = self.try_write(&mut state, stream, bytes) else { return };
        // A guest writes thousands of lines a second, and a disk that is full stays so for a while.
        if state.complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            state.complained = Some(Instant::now());
            tracing::warn!(%error, dir = %self.dir.display(), "a log could not be written, and loses lines");
        }
    }

    fn try_write(&self, state: &mut State, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let (index, name) = match stream {
            Stream::Stdout => (0, "stdout"),
            Stream::Stderr => (1, "stderr"),
        };
        let mut text = std::mem::take(&mut state.open[index]);
        text.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut rest = text.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            push(&mut lines, name, &rest[..end], 'F');
            rest = &rest[end + 1..];
        }
        if rest.len() >= LINE_BYTES_MAX {
            push(&mut lines, name, rest, 'P');
            rest = &[];
        }
        state.open[index] = rest.to_vec();
        self.append(state, &lines)
    }

    fn append(&self, state: &mut State, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if state.written >= PIECE_BYTES_MAX {
            state.file = None;
            turn(&self.dir, self.run)?;
            state.written = 0;
        }
        if state.file.is_none() {
            fs::create_dir_all(&self.dir)?;
            forget(&self.dir, self.run);
            state.file = Some(OpenOptions::new().create(true).append(true).open(piece(&self.dir, self.run, 0))?);
        }
        if let Some(file) = &mut state.file {
            file.write_all(lines)?;
            state.written += lines.len() as u64;
        }
        Ok(())
    }
}

impl Drop for Writer {
    /// A last line without an end is a line too.
    fn drop(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let index = usize::from(stream == Stream::Stderr);
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            if !state.open[index].is_empty() {
                self.write(stream, b"\n");
            }
        }
    }
}

fn push(lines: &mut Vec<u8>, stream: &str, text: &[u8], mark: char) {
    let time = now();
    let mut pieces = text.chunks(LINE_BYTES_MAX).peekable();
    if text.is_empty() {
        lines.extend_from_slice(format!("{} {stream} F \n", stamp(time)).as_bytes());
    }
    while let Some(piece) = pieces.next() {
        let mark = if pieces.peek().is_some() { 'P' } else { mark };
        lines.extend_from_slice(format!("{} {stream} {mark} ", stamp(time)).as_bytes());
        lines.extend_from_slice(piece);
        lines.push(b'\n');
    }
}

/// RFC 3339 with milliseconds.
fn stamp(time: Timestamp) -> String {
    let whole = time.to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), time.0.rem_euclid(1000))
}

/// The file of a run's piece; 0 is the one that is written.
fn piece(dir: &Path, run: u32, age: u32) -> PathBuf {
    dir.join(if age == 0 { format!("{run}.log") } else { format!("{run}.log.{age}") })
}

fn turn(dir: &Path, run: u32) -> io::Result<()> {
    let _ = fs::remove_file(piece(dir, run, PIECES_KEPT));
    for age in (0..PIECES_KEPT).rev() {
        match fs::rename(piece(dir, run, age), piece(dir, run, age + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the logs of runs that nobody asks for any more.
fn forget(dir: &Path, run: u32) {
    // Not every number has a log: a run whose image cannot be had never begins.
    let earlier: Vec<u32> = runs(dir).into_iter().filter(|old| *old < run).collect();
    for old in earlier.iter().rev().skip(RUNS_KEPT) {
        for age in 0..=PIECES_KEPT {
            let _ = fs::remove_file(piece(dir, *old, age));
        }
    }
}

fn runs(dir: &Path) -> Vec<u32> {
    let names =
        fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut runs: Vec<u32> = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok()).collect();
    runs.sort_unstable();
    runs
}

/// What to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) tail_lines: Option<usize>,
    /// Only lines from then on.
    pub(crate) since: Option<Timestamp>,
    pub(crate) timestamps: bool,
}

/// Reads the log of one run as it grows.
pub(crate) struct Reader {
    dir: PathBuf,
    run: u32,
    want: Want,
    offset: u64,
    rest: Vec<u8>,
    /// The last line given goes on in the next one.
    within: bool,
}

impl Reader {
    /// A reader of a given run, in the directory of its container's logs.
    pub(crate) fn new(dir: PathBuf, run: u32, want: Want) -> Self {
        Self { dir, run, want, offset: 0, rest: Vec::new(), within: false }
    }

    /// Everything that is there now, older pieces included.
    pub(crate) fn first(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for age in (0..=PIECES_KEPT).rev() {
            match fs::read(piece(&self.dir, self.run, age)) {
                Ok(bytes) => {
                    if age == 0 {
                        self.offset = bytes.len() as u64;
                    }
                    text.extend(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let all = self.lines(&text);
        let skip = self.want.tail_lines.map_or(0, |tail| all.len().saturating_sub(tail));
        Ok(all[skip..].concat())
    }

    /// What was written since.
    pub(crate) fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(piece(&self.dir, self.run, 0)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
        }
        io::Seek::seek(&mut file, io::SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        self.offset += file.read_to_end(&mut bytes)? as u64;
        Ok(self.lines(&bytes).concat())
    }

    /// Takes whole lines off a text; what is left waits for its end.
    fn lines(&mut self, text: &[u8]) -> Vec<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(text);
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = bytes.split_off(whole);
        bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let (time, _stream, mark, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let time = std::str::from_utf8(time).ok()?;
        if self.want.since.is_some_and(|since| time.parse::<Timestamp>().is_ok_and(|time| time < since)) {
            return None;
        }
        let mut out = Vec::new();
        if self.want.timestamps && !self.within {
            out.extend_from_slice(format!("{time} ").as_bytes());
        }
        self.within = mark == b"P";
        out.extend_from_slice(if self.within { text.strip_suffix(b"\n").unwrap_or(text) } else { text });
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use sandbox::Stream;

    use super::{LINE_BYTES_MAX, PIECE_BYTES_MAX, Reader, Want, Writer};

    fn read(dir: &std::path::Path, run: u32, want: Want) -> String {
        String::from_utf8(Reader::new(dir.to_owned(), run, want).first().unwrap()).unwrap()
    }

    #[test]
    fn lines_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = Writer::open(dir.path().join("logs/c"), 1);
        log.write(Stream::Stdout, b"one\ntw");
        log.write(Stream::Stderr, b"err\n");
        log.write(Stream::Stdout, b"o\nlast");
        let mut reader = Reader::new(dir.path().join("logs/c"), 1, Want::default());
        assert_eq!(reader.first().unwrap(), b"one\nerr\ntwo\n");
        drop(log);
        assert_eq!(reader.more().unwrap(), b"last\n");
        assert_eq!(read(&dir.path().join("logs/c"), 1, Want { tail_lines: Some(2), ..Want::default() }), "two\nlast\n");
        let stamped =
            read(&dir.path().join("logs/c"), 1, Want { tail_lines: Some(1), timestamps: true, ..Want::default() });
        assert!(stamped.ends_with("Z last\n") && stamped.len() == "2026-11-23T00:00:00.000Z last\n".len(), "{stamped}");
    }

    #[test]
    fn a_line_without_end_is_kept_in_parts_and_a_flood_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = Writer::open(dir.path().join("logs/c"), 1);
        log.write(Stream::Stdout, &vec![b'x'; LINE_BYTES_MAX * 2]);
        log.write(Stream::Stdout, b"y\n");
        assert_eq!(
            read(&dir.path().join("logs/c"), 1, Want::default()),
            format!("{}y\n", "x".repeat(LINE_BYTES_MAX * 2))
        );

        let line = [vec![b'z'; 1023], vec![b'\n']].concat();
        for _ in 0..(4 * PIECE_BYTES_MAX / 1024) {
            log.write(Stream::Stdout, &line);
        }
        let kept: u64 = std::fs::read_dir(dir.path().join("logs/c"))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(kept <= 3 * PIECE_BYTES_MAX + 2048, "{kept}");
    }
}
