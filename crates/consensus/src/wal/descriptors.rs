//! Opening files although the process, or the system, may have no descriptor left.
//!
//! A log that could not open its next segment would have to end the process, so a few descriptors are kept for it, open for
//! nothing. Who finds none lets go of one of these and tries again; when they are used up it waits. Nothing has been written
//! when a file does not open, so trying again is safe, as it never is after a write.

use std::{
    fs::File,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::io::Errno;

/// How many descriptors are kept: for a segment and its directory, and for a snapshot and its directory.
const KEPT_MAX: usize = 4;

/// How long to wait for a descriptor before trying again.
const PAUSE: Duration = Duration::from_millis(50);

/// What is kept open for nothing. All logs of a process share its descriptors, and these.
static KEPT: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Does what opens a file, as often as it takes to get a descriptor.
///
/// # Errors
/// Whatever else is wrong.
pub(crate) fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut is_told = false;
    loop {
        match open() {
            Err(error) if is_want(&error) => {
                if kept().pop().is_some() {
                    continue;
                }
                if !is_told {
                    tracing::warn!(%error, "the log waits until it can open a file");
                    is_told = true;
                }
                std::thread::sleep(PAUSE);
            }
            outcome => {
                keep();
                return outcome;
            }
        }
    }
}

fn is_want(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Keeps as many as are wanted and can be had.
fn keep() {
    let mut kept = kept();
    while kept.len() < KEPT_MAX {
        match File::open("/dev/null") {
            Ok(file) => kept.push(file),
            Err(_) => return,
        }
    }
}

fn kept() -> std::sync::MutexGuard<'static, Vec<File>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_used_and_kept_again() {
        let mut attempts = 0;
        let opened = patiently(|| {
            attempts += 1;
            if attempts <= KEPT_MAX + 2 { Err(io::Error::from(Errno::MFILE)) } else { Ok("a file") }
        });
        assert_eq!((opened.ok(), attempts), (Some("a file"), KEPT_MAX + 3));
        let other = patiently(|| Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)));
        assert_eq!(other.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }
}
