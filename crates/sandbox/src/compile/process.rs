//! Starting a compiler's process, waiting for it, and judging how it ended.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{CompileLimits, child};
use crate::errors::ImageError;
use crate::report::Report;

/// The longest report, in bytes: an error names an import or a few exports. More is cut off.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// What Rust says before it aborts for want of stack, and of memory.
const STACK_OVERFLOW: &str = "has overflowed its stack";
const NO_MEMORY: [&str; 2] = ["memory allocation of", "Cannot allocate memory"];

/// Runs one compiler to its end. It is killed when this is dropped.
pub(super) async fn run(program: &Path, limits: CompileLimits, image: File, code: File) -> Report {
    match spawn(program, limits, image, code).await {
        Ok((status, said)) => judge(status, &said, limits),
        Err(error) => Report::Failed(format!("the compiler {} does not run: {error}", program.display())),
    }
}

async fn spawn(
    program: &Path,
    limits: CompileLimits,
    image: File,
    code: File,
) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = Command::new(program)
        .arg(child::WORD)
        .args(limits.words())
        .env_clear()
        .current_dir("/")
        .stdin(image)
        .stdout(code)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut said = Vec::new();
    let work = async {
        if let Some(stderr) = child.stderr.take() {
            stderr.take(REPORT_BYTES_MAX).read_to_end(&mut said).await?;
        }
        child.wait().await
    };
    let status = match tokio::time::timeout(limits.wall(), work).await {
        Ok(status) => status?,
        Err(_) => return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it gave no answer in time")),
    };
    Ok((status, said))
}

/// A process that ended well has said what became of the image; how the others ended says which limit they met.
fn judge(status: ExitStatus, said: &[u8], limits: CompileLimits) -> Report {
    let text = String::from_utf8_lossy(said);
    let signal = |signal: Signal| status.signal() == Some(signal.as_raw());
    let is_out_of_memory = NO_MEMORY.iter().any(|sign| text.contains(sign));
    let report = said.windows(child::MARK.len()).rposition(|window| window == child::MARK);
    let report = report.and_then(|at| Report::decode(&said[at + child::MARK.len()..]));
    let limit = match report {
        Some(Report::Refused(ImageError::Invalid(_)) | Report::Failed(_)) if is_out_of_memory => limits.memory_text(),
        Some(report) if status.success() => return report,
        _ if is_out_of_memory => limits.memory_text(),
        _ if signal(Signal::XCPU) => limits.cpu_text(),
        _ if text.contains(STACK_OVERFLOW) || signal(Signal::SEGV) || signal(Signal::BUS) => limits.stack_text(),
        _ if signal(Signal::ABORT) => {
            return Report::Refused(ImageError::Invalid(child::BROKE_DOWN.to_owned()));
        }
        _ => return Report::Failed(format!("the compiler ended with {status}: {}", text.trim_end())),
    };
    Report::Refused(ImageError::TooDemanding { limit })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::{CompileLimits, ExitStatus, Report, judge};

    #[test]
    fn how_it_ended_says_which_limit_it_met() {
        let ended = |signal, said: &str| {
            format!("{:?}", judge(ExitStatus::from_raw(signal), said.as_bytes(), CompileLimits::default()))
        };
        assert!(ended(6, "\nthread 'x' (7) has overflowed its stack\nfatal").contains("of stack"));
        assert!(ended(11, "").contains("of stack"));
        assert!(ended(6, "memory allocation of 9 bytes failed").contains("of memory"));
        assert!(ended(24, "").contains("of CPU"));
        assert!(ended(6, "").contains("breaks down"));
        assert!(ended(9, "").starts_with("Failed"), "somebody killed it: that says nothing about the image");
        assert!(matches!(
            judge(ExitStatus::from_raw(0), b"\0report\0precompiled\0", CompileLimits::default()),
            Report::Refused(_)
        ));
        assert!(ended(9, "\0report\0compiled\0lean\0core\0").starts_with("Failed"), "it did not end well");
    }
}
