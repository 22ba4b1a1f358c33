//! What happens when the disk fails or a thread panics: the process ends, or the member.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::OnFailure;

/// Runs a thread's work to its end. A failure either aborts the process here or is returned.
///
/// After a failed write nobody knows what the disk holds, and a panic of Raft or of the machine means that an invariant is
/// broken: both are only mended by starting again from what is durable.
pub(super) fn guard(policy: OnFailure, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let reason = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => reason,
        Err(panic) => format!("a thread of the log panicked: {}", message(&*panic)),
    };
    match policy {
        OnFailure::Abort => abort(&reason),
        OnFailure::Stop => Err(reason),
    }
}

fn abort(reason: &str) -> ! {
    tracing::error!(reason, "the log failed; the process ends and recovers when it is started again");
    eprintln!("kapelle: the log failed, the process ends and recovers when it is started again: {reason}");
    std::process::abort()
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
