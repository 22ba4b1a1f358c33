//! Commands: how they end, what they see, what they may use.

use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::{
    Access, ExitReason, LOG_BURST_BYTES, LOG_BYTES_PER_SECOND, LOG_PIECE_BYTES, Mount, Spec, StartError, Stdin,
};

use crate::{Remembered, SANDBOX, env, image, serving::until};

#[tokio::test]
async fn exit_codes_and_output_come_through() {
    for (code, reason) in [(0, ExitReason::Completed), (3, ExitReason::Error)] {
        let mut spec = Spec::new(image("batch").await);
        spec.args = ["batch", "one", "two"].map(String::from).to_vec();
        spec.env = env(&[("LIMIT", "100"), ("EXIT_CODE", &code.to_string())]);
        let log = Remembered::of(&mut spec);
        let container = SANDBOX.start(spec).unwrap();
        let exit = container.exited().await;
        assert_eq!((exit.code, exit.reason), (code, reason));
        assert!(log.text().starts_with("arguments: [\"one\", \"two\"]\n25 primes below 100\n"), "{}", log.text());
        assert!(container.cpu_used() > Duration::ZERO);
        assert!(container.http().is_none());
    }
}

#[tokio::test]
async fn mounts_are_writable_only_if_they_say_so() {
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = Spec::new(image("batch").await);
        spec.env = env(&[("LIMIT", "10")]);
        spec.mounts = vec![Mount { host: dir.path().into(), guest: "/out".into(), access }];
        assert_eq!(SANDBOX.start(spec).unwrap().exited().await.code, 0);
        let written = std::fs::read_to_string(dir.path().join("primes")).ok();
        assert_eq!(written.as_deref(), (access == Access::ReadWrite).then_some("4\n"));
    }
}

#[tokio::test]
async fn a_mount_that_is_not_there_is_an_error_at_the_start() {
    let mut spec = Spec::new(image("batch").await);
    spec.mounts =
        vec![Mount { host: Path::new("/nowhere/at/all").into(), guest: "/out".into(), access: Access::ReadOnly }];
    let error = SANDBOX.start(spec).unwrap_err();
    assert!(matches!(&error, StartError::Mount { guest, .. } if guest == "/out"), "{error}");
}

#[tokio::test]
async fn a_trap_names_the_function() {
    let mut spec = Spec::new(image("trap").await);
    let log = Remembered::of(&mut spec);
    let exit = SANDBOX.start(spec).unwrap().exited().await;
    assert_eq!((exit.code, exit.reason), (134, ExitReason::Error));
    assert!(
        exit.message.contains("unreachable") && exit.message.contains("in trap::divide < trap::outer < trap::main"),
        "{}",
        exit.message
    );
    assert!(log.text().contains(&exit.message), "the container's log says it too");
}

#[tokio::test]
async fn memory_beyond_the_limit_ends_a_command_as_oom_killed() {
    let mut spec = Spec::new(image("alloc-bomb").await);
    spec.limits.memory_bytes = 16 << 20;
    let container = SANDBOX.start(spec).unwrap();
    let exit = container.exited().await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OomKilled));
    let stats = container.stats();
    assert!(stats.memory_peak_bytes <= 16 << 20, "{stats:?}");
    assert!(stats.memory_refused > 0);
}

#[tokio::test]
async fn a_memory_limit_below_what_the_image_starts_with_is_oom_too() {
    let mut spec = Spec::new(image("batch").await);
    spec.limits.memory_bytes = 64 << 10;
    assert_eq!(SANDBOX.start(spec).unwrap().exited().await.reason, ExitReason::OomKilled);
}

#[tokio::test]
async fn a_loop_is_killed_and_others_run_beside_it() {
    let threads = std::thread::available_parallelism().unwrap().get();
    let spin = image("spin").await;
    let loops: Vec<_> = (0..2 * threads).map(|_| SANDBOX.start(Spec::new(spin.clone())).unwrap()).collect();
    let exit = SANDBOX.start(Spec::new(image("batch").await)).unwrap().exited().await;
    assert_eq!(exit.code, 0, "a command ends although more loops than threads run");
    for container in &loops {
        assert_eq!(container.exit(), None);
        container.kill();
        let exit = container.exited().await;
        assert_eq!((exit.code, exit.reason), (137, ExitReason::Killed));
    }
}

#[tokio::test]
async fn a_limit_on_cpu_holds() {
    let mut spec = Spec::new(image("spin").await);
    spec.limits.cpu_millis = Some(100);
    let began = Instant::now();
    let container = SANDBOX.start(spec).unwrap();
    // The first 10 ms are in hand at the start; 40 ms more take 400 ms at a tenth of a core.
    while container.cpu_used() < Duration::from_millis(50) {
        tokio::task::yield_now().await;
    }
    container.kill();
    container.exited().await;
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_command_can_wait_to_be_stopped() {
    let mut spec = Spec::new(image("batch").await);
    spec.env = env(&[("WAIT", "stdin"), ("LIMIT", "10")]);
    spec.stdin = Stdin::OpenUntilStop;
    let mut log = Remembered::of(&mut spec);
    let container = SANDBOX.start(spec).unwrap();
    log.has("waiting for the end").await;
    assert_eq!(container.exit(), None);
    container.stop(Duration::from_secs(60));
    assert_eq!(container.exited().await.reason, ExitReason::Completed);
    assert!(log.text().ends_with("asked to stop\n"), "{}", log.text());
}

/// A grace that nobody waits for.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_command_that_cannot_hear_of_its_end_is_ended_at_once() {
    // One waits for its clock, the other one computes for ever.
    for name in ["log-sidecar", "spin"] {
        let container = SANDBOX.start(Spec::new(image(name).await)).unwrap();
        container.stop(AN_HOUR);
        let exit = tokio::time::timeout(PATIENCE, container.exited()).await.unwrap();
        assert_eq!((exit.code, exit.reason), (143, ExitReason::Killed), "{name}");
    }
}

#[tokio::test]
async fn a_command_that_hears_of_its_end_and_does_not_care_is_killed_after_the_grace() {
    let mut spec = Spec::new(image("log-sidecar").await);
    spec.stdin = Stdin::OpenUntilStop;
    let container = SANDBOX.start(spec).unwrap();
    container.stop(Duration::ZERO);
    let exit = container.exited().await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::Killed));
}

#[tokio::test]
async fn a_command_that_fails_at_its_start_never_settles() {
    let container = SANDBOX.start(Spec::new(image("trap").await)).unwrap();
    container.exited().await;
    assert!(!container.has_settled());

    for name in ["log-sidecar", "spin"] {
        let container = SANDBOX.start(Spec::new(image(name).await)).unwrap();
        until(|| container.has_settled()).await;
        container.kill();
    }
}

#[tokio::test]
async fn a_sidecar_prints_what_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = Spec::new(image("log-sidecar").await);
    spec.mounts = vec![Mount { host: dir.path().into(), guest: "/logs".into(), access: Access::ReadOnly }];
    let mut log = Remembered::of(&mut spec);
    let container = SANDBOX.start(spec).unwrap();
    log.has("watching /logs").await;
    std::fs::write(dir.path().join("app.log"), "first line\nhalf a li").unwrap();
    log.has("app.log: first line\n").await;
    container.kill();
    assert!(!log.text().contains("half"));
}

#[tokio::test]
async fn a_flood_of_logs_is_bounded_in_speed_and_in_pieces() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let (total, largest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (sum, max) = (Arc::clone(&total), Arc::clone(&largest));
    let mut spec = Spec::new(image("flood-logs").await);
    spec.log = Arc::new(move |_, bytes| {
        sum.fetch_add(bytes.len(), SeqCst);
        max.fetch_max(bytes.len(), SeqCst);
    });
    let began = Instant::now();
    let container = SANDBOX.start(spec).unwrap();
    let burst = usize::try_from(LOG_BURST_BYTES).unwrap();
    while total.load(SeqCst) <= burst {
        tokio::task::yield_now().await;
    }
    container.kill();
    container.exited().await;
    let allowed =
        LOG_BURST_BYTES as f64 + began.elapsed().as_secs_f64() * LOG_BYTES_PER_SECOND as f64 + LOG_PIECE_BYTES as f64;
    assert!((total.load(SeqCst) as f64) < allowed);
    assert!(largest.load(SeqCst) <= LOG_PIECE_BYTES);
}
