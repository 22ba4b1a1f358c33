//! Asks the scheduler for what the threads of the log need: to run soon rather than long, or not to be in the way.
//!
//! A master shares its node with Pods that burn CPU. A commit is a handful of very short runs of two threads; with the
//! scheduler's default slice each of them waits up to a tick (4 ms) behind a busy neighbour, with the shortest slice it does
//! not: 0.1 ms instead of 4 ms for a durable write on a loaded machine. Since Linux 6.12 an unprivileged thread may ask for
//! a slice of its own. Refusal changes nothing but latency, so it is ignored.

/// The shortest slice that the scheduler grants, in nanoseconds.
const SLICE_NS: u64 = 100_000;

/// The lowest priority.
const NICE_MAX: i32 = 19;

/// `struct sched_attr` of the kernel, in its first version (48 bytes).
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// For the threads that a commit waits for.
pub(super) fn run_soon() {
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    set(libc::SCHED_OTHER, nice, SLICE_NS);
}

/// For the thread that writes snapshots.
pub(super) fn run_last() {
    set(libc::SCHED_BATCH, NICE_MAX, 0);
}

/// What the kernel calls the first version of the structure, in bytes.
const ATTR_BYTES: u32 = 48;

const _: () = assert!(size_of::<SchedAttr>() == ATTR_BYTES as usize);

fn set(policy: i32, nice: i32, runtime: u64) {
    let attr = SchedAttr {
        size: ATTR_BYTES,
        policy: policy.cast_unsigned(),
        flags: 0,
        nice,
        priority: 0,
        runtime,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes from the pointer, which is valid for that long, and keeps nothing of it; thread
    // 0 is the calling one.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if refused != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "the scheduler grants no slice of its own");
    }
}
