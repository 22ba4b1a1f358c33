//! When a client sends a request again by itself, and when it tells its caller.
//!
//! Whether a request *may* be sent again without doing harm is for whoever knows what became of it (`client`); here is only
//! how long that is worth it.

use std::time::{Duration, Instant};

use api::Error;

/// How long masters that have no leader are asked again: several elections.
pub const NO_LEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request that was refused because masters have too much to do is sent again: as often as client-go sends it.
pub const BUSY_MAX: u32 = 10;

/// How long masters that cannot be reached are tried again: one whose process is restarted is back by then.
pub const UNREACHABLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait that a master can ask for: a number that was not meant must not stop a program.
pub const BUSY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long to wait before masters that can do nothing at the moment are asked again: the first time, and at most after
/// doublings.
const PAUSE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));

/// How long a client goes on with a request before its caller is told that nobody carried it out. A request that may have
/// been carried out is sent again only if that does no harm, however patient the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often a request is sent again that was refused because there is too much to do (429), each time after as long as
    /// the refusal says.
    pub busy_max: u32,
    /// How long masters that cannot be reached are tried again.
    pub unreachable_for: Duration,
    /// How long masters that have no leader (503) are asked again.
    pub leaderless_for: Duration,
}

impl Retries {
    /// For processes that have something better to do than to wait: elections are waited for, all else is told.
    pub const ELECTIONS: Self =
        Self { busy_max: 0, unreachable_for: Duration::ZERO, leaderless_for: NO_LEADER_TIMEOUT };

    /// For programs that drive a cluster: also restarts, and masters that have too much to do.
    pub const PATIENT: Self =
        Self { busy_max: BUSY_MAX, unreachable_for: UNREACHABLE_TIMEOUT, leaderless_for: NO_LEADER_TIMEOUT };

    /// Nothing is sent again.
    pub const NEVER: Self = Self { busy_max: 0, unreachable_for: Duration::ZERO, leaderless_for: Duration::ZERO };
}

/// Why nobody carried a request out, as far as it matters for sending it again.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A master said that it can do nothing at the moment, or does not know what it did.
    ForNow(Error),
    /// A master said that it has too much to do, and did nothing.
    Busy(Error),
    /// No master was reached, or the connection broke in a request that may be done twice.
    Unreachable(Error),
    /// Anything else.
    Other(Error),
}

impl Refused {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::ForNow(error) | Self::Busy(error) | Self::Unreachable(error) | Self::Other(error) => error,
        }
    }
}

/// One request that is sent until it succeeds or is given up.
#[derive(Debug)]
pub(crate) struct Trial {
    retries: Retries,
    begun: Instant,
    busy: u32,
    pause: Duration,
}

impl Trial {
    pub(crate) fn begin(retries: Retries, now: Instant) -> Self {
        Self { retries, begun: now, busy: 0, pause: PAUSE.0 }
    }

    /// How long to wait before the request is sent again; nothing if it is given up.
    pub(crate) fn pause(&mut self, refused: &Refused, now: Instant) -> Option<Duration> {
        let waited = now.saturating_duration_since(self.begun);
        match refused {
            Refused::ForNow(_) => (waited < self.retries.leaderless_for).then(|| self.longer()),
            Refused::Unreachable(_) => (waited < self.retries.unreachable_for).then(|| self.longer()),
            Refused::Busy(error) => {
                self.busy += 1;
                let asked = Duration::from_secs(error.retry_after_s.unwrap_or(1).into());
                (self.busy <= self.retries.busy_max).then_some(asked.min(BUSY_PAUSE_MAX))
            }
            Refused::Other(_) => None,
        }
    }

    fn longer(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        pause
    }
}

/// A pause, or up to a quarter more: clients that were refused together do not come back together.
#[must_use]
pub fn spread(pause: Duration) -> Duration {
    stretched(pause, getrandom::u32().unwrap_or_default())
}

fn stretched(pause: Duration, random: u32) -> Duration {
    pause + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 4.0)
}

#[cfg(test)]
mod tests {
    use api::Reason;

    use super::*;

    fn error() -> Error {
        Error::new(Reason::ServiceUnavailable, "?")
    }

    /// How often a request is sent again, and how long that takes, if it is always refused alike.
    fn waits(retries: Retries, refused: &Refused) -> (usize, Duration) {
        let begun = Instant::now();
        let (mut trial, mut now, mut count) = (Trial::begin(retries, begun), begun, 0);
        while let Some(pause) = trial.pause(refused, now) {
            assert!(pause <= BUSY_PAUSE_MAX);
            (now, count) = (now + pause, count + 1);
        }
        (count, now - begun)
    }

    #[test]
    fn what_passes_is_waited_for_as_long_as_the_policy_says() {
        let enough = NO_LEADER_TIMEOUT + PAUSE.1;
        let (count, waited) = waits(Retries::ELECTIONS, &Refused::ForNow(error()));
        assert!(count > 20 && (NO_LEADER_TIMEOUT..=enough).contains(&waited), "{count} {waited:?}");
        let (_, waited) = waits(Retries::PATIENT, &Refused::Unreachable(error()));
        assert!((UNREACHABLE_TIMEOUT..=UNREACHABLE_TIMEOUT + PAUSE.1).contains(&waited), "{waited:?}");
    }

    #[test]
    fn whoever_is_not_patient_is_told_at_once() {
        let now = Duration::ZERO;
        assert_eq!(waits(Retries::ELECTIONS, &Refused::Unreachable(error())), (0, now));
        assert_eq!(waits(Retries::ELECTIONS, &Refused::Busy(error())), (0, now));
        assert_eq!(waits(Retries::NEVER, &Refused::ForNow(error())), (0, now));
        assert_eq!(waits(Retries::PATIENT, &Refused::Other(error())), (0, now));
    }

    #[test]
    fn a_busy_master_says_how_long_to_wait() {
        let busy = |seconds| Refused::Busy(Error { retry_after_s: Some(seconds), ..error() });
        let times = usize::try_from(BUSY_MAX).unwrap_or_default();
        assert_eq!(waits(Retries::PATIENT, &busy(2)), (times, Duration::from_secs(2) * BUSY_MAX));
        assert_eq!(waits(Retries::PATIENT, &busy(u16::MAX)), (times, BUSY_PAUSE_MAX * BUSY_MAX));
    }

    #[test]
    fn pauses_are_spread_over_a_quarter() {
        let pause = Duration::from_millis(400);
        assert_eq!((stretched(pause, 0), stretched(pause, u32::MAX)), (pause, Duration::from_millis(500)));
        assert!((pause..=Duration::from_millis(500)).contains(&spread(pause)));
    }
}
