//! How much the state may hold. Near the quota writers are warned; a full state takes deletions only.

use api::{Error, Reason, Write};
use store::View;

use super::events;
use crate::{access::Caller, decide::Decision};

/// The usual quota, in bytes: four times etcd's, since the state is in memory once and not beside a database.
pub const QUOTA_BYTES: usize = 8 << 30;

/// How full a state is that is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NearlyFull {
    percent: usize,
    quota_bytes: usize,
}

/// Percent of the quota from which on writers are warned.
pub(crate) const WARNING_PERCENT: usize = 80;

/// Percent of the quota up to which nodes and controllers may write: what they write is what frees space again.
const SYSTEM_PERCENT: usize = 110;

/// Refuses what would make a full state larger. Deletions are always taken.
///
/// # Errors
/// If the state, or what Events may have of it, is full.
pub(crate) fn check(
    view: &View,
    caller: &Caller,
    write: &Write,
    quota_bytes: usize,
) -> Result<Option<NearlyFull>, Error> {
    let percent = view.bytes().saturating_mul(100) / quota_bytes.max(1);
    events::check(view, caller, write, quota_bytes)?;
    let limit = if matches!(caller, Caller::Admin { .. }) { 100 } else { SYSTEM_PERCENT };
    match write {
        Write::Create(_) | Write::Update(..) if percent >= limit => Err(full(view.bytes(), quota_bytes)),
        Write::Create(_) | Write::Update(..) => {
            Ok((percent >= WARNING_PERCENT).then_some(NearlyFull { percent, quota_bytes }))
        }
        Write::Delete(..) => Ok(None),
    }
}

fn full(bytes: usize, quota_bytes: usize) -> Error {
    let message = format!(
        "the state is full: {bytes} of {quota_bytes} bytes; delete what is not needed, or start the masters with a larger \
         --quota-bytes. Reads and deletions go on"
    );
    Error::new(Reason::Forbidden, message)
}

/// Tells the writer that the state is nearly full.
pub(crate) fn warned(mut decision: Decision, nearly_full: Option<NearlyFull>) -> Decision {
    decision.warnings.extend(nearly_full.map(|NearlyFull { percent, quota_bytes }| {
        format!("the state has reached {percent} % of its {quota_bytes} bytes; at 100 % only deletions are taken")
    }));
    decision
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{DeleteOptions, Object, core_v1::ConfigMap, kinds::Resource as _};
    use store::{Expect, Op, State, Txn};

    use super::*;

    fn map(name: &str) -> Object {
        let mut map = ConfigMap::default();
        (map.metadata_mut().name, map.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
        map.into()
    }

    /// A state with one object.
    fn view() -> View {
        let (mut state, object) = (State::default(), map("there"));
        let op = Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Absent };
        state.apply(&Txn { ops: vec![op] }).unwrap();
        state.view()
    }

    #[test]
    fn a_full_state_takes_deletions_and_for_a_while_what_the_system_writes() {
        let (view, create) = (view(), Write::Create(map("new")));
        let admin = Caller::Admin { name: "a".to_owned() };
        // The quota of which the state is this percentage.
        let quota = |percent: usize| view.bytes() * 100 / percent;
        let warned = |percent| check(&view, &admin, &create, quota(percent)).map(|nearly_full| nearly_full.is_some());
        assert_eq!((warned(50).unwrap(), warned(90).unwrap()), (false, true));
        assert!(warned(105).unwrap_err().message.contains("--quota-bytes"));
        assert!(check(&view, &Caller::Cluster, &create, quota(105)).is_ok());
        assert!(check(&view, &Caller::Cluster, &create, quota(120)).is_err());
        let delete = Write::Delete(map("there").key(), DeleteOptions::default());
        assert!(check(&view, &admin, &delete, quota(120)).unwrap().is_none());
    }
}
