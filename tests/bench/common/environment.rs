//! What the environment asks for, and how busy it is.

use std::env;

use anyhow::{Context as _, Result};

/// Whether only a short run is wanted, which shows that everything works.
pub(crate) fn is_small() -> bool {
    env::var_os("KAPELLE_BENCH_SMALL").is_some_and(|value| value == "1")
}

/// A number that the environment asks for, or another one.
pub(crate) fn number<T>(name: &str, otherwise: T) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(otherwise),
    }
}

/// How busy the machine is beside the measurement.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
