//! `mounttest`: what files of volumes are to the Pod that mounts them.
//!
//! WASI tells no modes, owners and sorts of file systems: asked for them, this says so and ends with an error.

use std::io;
use std::time::{Duration, Instant};

use crate::flags::Flags;

/// What is written to a new file, and waited for in a loop.
const CONTENT: &str = "mount-tester new file\n";
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub fn main(flags: &Flags) {
    let all = [facts(flags), new_files(flags), content(flags), content_in_loop(flags)];
    if all.contains(&false) {
        std::process::exit(1);
    }
}

/// Whether nothing was asked that WASI does not tell.
fn facts(flags: &Flags) -> bool {
    let mut is_answered = true;
    for (flag, what) in
        [("fs_type", "mount type"), ("file_mode", "mode"), ("file_perm", "perms"), ("file_owner", "owner")]
    {
        if let Some(path) = flags.text(flag) {
            println!("error: the {what} of {path:?} cannot be told: WASI has no such call");
            is_answered = false;
        }
    }
    is_answered
}

/// Files are written whatever mode they are to have: there is none to set.
fn new_files(flags: &Flags) -> bool {
    let asked = ["new_file_0644", "new_file_0666", "new_file_0660", "new_file_0777"];
    asked.iter().filter_map(|flag| flags.text(flag)).fold(true, |is_well, path| match std::fs::write(path, CONTENT) {
        Ok(()) => show(path).is_ok() && is_well,
        Err(error) => {
            println!("error writing new file {path:?}: {error}");
            false
        }
    })
}

fn content(flags: &Flags) -> bool {
    flags.text("file_content").is_none_or(|path| show(path).is_ok())
}

/// Looks at a file again and again, until it has what is expected if that is asked, and for a time at most.
fn content_in_loop(flags: &Flags) -> bool {
    let Some(path) = flags.text("file_content_in_loop") else { return true };
    let most = Duration::from_secs(flags.value("retry_time").unwrap_or(180));
    let ends_early = flags.is_on("break_on_expected_content", true);
    let began = Instant::now();
    let mut last = Ok(String::new());
    while began.elapsed() < most {
        last = show(path);
        if ends_early && last.as_ref().is_ok_and(|found| found == CONTENT) {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    last.is_ok()
}

fn show(path: &str) -> io::Result<String> {
    let bytes = std::fs::read(path);
    match &bytes {
        Ok(bytes) => println!("content of file {path:?}: {}", String::from_utf8_lossy(bytes)),
        Err(error) => println!("error reading file content for {path:?}: {error}"),
    }
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
