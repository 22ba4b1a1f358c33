//! Prints what was tried in the form that tests/tools/run counts, see there.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// The longest that one thing may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How often something is looked at that cannot be waited for.
const INTERVAL: Duration = Duration::from_millis(50);

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome = Result<Tried, Error>;

pub enum Tried {
    Works,
    /// The cluster does not serve what it takes.
    Skipped(&'static str),
}

#[derive(Default)]
pub struct Tap(usize);

impl Tap {
    pub async fn check(&mut self, what: &str, trying: impl Future<Output = Outcome>) {
        self.0 += 1;
        match timeout(LIMIT, trying).await.unwrap_or_else(|_| Err(format!("not done within {LIMIT:?}").into())) {
            Ok(Tried::Works) => println!("ok - {what}"),
            Ok(Tried::Skipped(why)) => println!("ok - {what} # SKIP {why}"),
            Err(error) => println!("not ok - {what}: {}", error.to_string().replace('\n', " ")),
        }
    }

    pub fn done(self) {
        println!("1..{}", self.0);
    }
}

/// Waits until `look` finds something.
pub async fn until<T, F: Future<Output = Result<Option<T>, Error>>>(
    what: &str,
    look: impl Fn() -> F,
) -> Result<T, Error> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("after 20 s still not: {what}").into());
        }
        sleep(INTERVAL).await;
    }
}

pub fn ensure(holds: bool, what: impl Display) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(format!("wrong: {what}").into()) }
}
