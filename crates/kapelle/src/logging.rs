//! What the process says about itself, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What is said unless `RUST_LOG` asks for something else: warnings, and our own milestones.
const DEFAULT: &str = "warn,kapelle=info";

/// Starts logging; later calls do nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = subscriber.with_ansi(std::io::stderr().is_terminal()).try_init();
}
