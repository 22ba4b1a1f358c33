//! Writes that somebody else was quicker with.

use std::time::Duration;

use api::{Error, Reason};
use rpc::retry::spread;

/// How often a change is tried again that somebody else was quicker with. Of those who change one object at the same time one
/// gets through each time, so that this is enough for as many.
pub const CONFLICTS_MAX: u32 = 20;

/// How long to wait before a change is tried again: the first time, and at most after doublings.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(320));

/// Tries again what reads an object, changes it and writes it, as long as somebody else is quicker. What others own they will
/// own the next time too: that conflict of applying is not tried again.
/// [`Api::modify`](crate::Api::modify) does that for one object.
///
/// ```no_run
/// # use kapelle_client::{Api, core_v1::ConfigMap, retry_on_conflict};
/// # async fn run(maps: Api<ConfigMap>) -> Result<(), kapelle_client::Error> {
/// let counted = retry_on_conflict(|| async {
///     let mut map = maps.get("counter").await?;
///     map.data.insert("changed".to_owned(), "yes".to_owned());
///     maps.update(map).await
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Whatever the last attempt ended with.
pub async fn retry_on_conflict<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tried = 0;
    loop {
        match attempt().await {
            Err(error) if is_tried_again(&error, &mut tried) => tokio::time::sleep(pause(tried)).await,
            outcome => return outcome,
        }
    }
}

/// Whether a change is tried again; counts it.
pub(crate) fn is_tried_again(error: &Error, tried: &mut u32) -> bool {
    let again = error.reason == Reason::Conflict && !error.is_owned_by_others() && *tried < CONFLICTS_MAX;
    *tried += u32::from(again);
    again
}

/// How long to wait before the change is tried again so many times.
pub(crate) fn pause(tried: u32) -> Duration {
    let (first, longest) = PAUSE;
    spread(first.saturating_mul(1 << tried.saturating_sub(1).min(16)).min(longest))
}

#[cfg(test)]
mod tests {
    use api::error::{Cause, FIELD_MANAGER_CONFLICT};

    use super::*;

    #[test]
    fn a_conflict_is_tried_again_a_bounded_number_of_times_and_nothing_else_is() {
        let tries = |error| {
            let mut tried = 0;
            while is_tried_again(&error, &mut tried) {
                assert!((PAUSE.0..=PAUSE.1 * 2).contains(&pause(tried)));
            }
            tried
        };
        let of = |reason| Error::new(reason, "?");
        assert_eq!((tries(of(Reason::Conflict)), tries(of(Reason::AlreadyExists))), (CONFLICTS_MAX, 0));
        let owned = Cause { reason: FIELD_MANAGER_CONFLICT, field: ".data.a".to_owned(), message: "?".to_owned() };
        assert_eq!(tries(Error { causes: vec![owned], ..of(Reason::Conflict) }), 0);
    }

    #[tokio::test]
    async fn whoever_was_too_slow_gets_another_chance() {
        let mut tries = 0;
        let outcome = retry_on_conflict(|| {
            tries += 1;
            std::future::ready(if tries == 2 { Ok(tries) } else { Err(Error::new(Reason::Conflict, "?")) })
        });
        assert_eq!(outcome.await, Ok(2));
    }
}
