//! ResourceQuotas: what a write adds to them is stored with it, in one transaction, so that no two writes have the same room.
//!
//! A quota says itself how much of it is used, and whoever adds to that replaces the quota as it was seen: of two masters that
//! give away the last of something at once, one is refused by the log and looks again. So is one that does not know of a quota
//! yet. Where there is none, that costs a few bytes in the log and a look into an empty table.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use api::{
    Error, Key, Kind, Object, Subresource, Timestamp, Write,
    apiextensions_v1::CustomResourceDefinition,
    core_v1::ResourceQuota,
    custom,
    kinds::Resource as _,
    quota::{self, Change, Contents},
};
use store::{Expect, News, Op, Record, View};

use super::{Decision, Fate, forbidden, put};

/// What is in a namespace, in one state.
struct Within<'a> {
    view: &'a View,
    namespace: &'a str,
}

impl Contents for Within<'_> {
    fn defined(&self, name: &str) -> Option<Kind> {
        let record = self.view.get(&Key::cluster(Kind::CustomResourceDefinition, name))?.object();
        let definition = record.get::<CustomResourceDefinition>().filter(|it| custom::is(it, "Established"))?;
        custom::kind_of(definition).map(Kind::Custom)
    }

    fn count(&self, kind: Kind) -> usize {
        self.view.list(kind, Some(self.namespace), None).count()
    }

    fn each(&self, kind: Kind, look: &mut dyn FnMut(&Object)) {
        self.view.list(kind, Some(self.namespace), None).for_each(|record| look(&record.object()));
    }
}

/// A write of which quotas may want to know.
#[derive(Clone, Debug)]
pub struct Bill {
    key: Key,
    old: Option<Arc<Object>>,
    new: Arc<Object>,
}

impl Bill {
    /// The bill of a decision about an object as it is in `view`; `None` if it costs nothing anywhere.
    #[must_use]
    pub fn of(view: &View, write: &Write, decision: &Decision) -> Option<Self> {
        if !matches!(write, Write::Create(_) | Write::Update(_, Subresource::None))
            || !matches!(decision.fate, Fate::Created | Fate::Changed)
            || !quota::is_counted(decision.object.kind())
        {
            return None;
        }
        let key = decision.object.key();
        let old = view.get(&key).map(|record| record.object());
        let bill = Self { key, old, new: decision.object.clone() };
        bill.change(Timestamp::default()).is_charged().then_some(bill)
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Whether there is somebody to pay.
    pub(crate) fn meets_quotas(&self, view: &View) -> bool {
        self.quotas(view).next().is_some()
    }

    fn quotas<'a>(&'a self, view: &'a View) -> impl Iterator<Item = &'a Arc<Record>> {
        let are_any = view.count(Kind::ResourceQuota) > 0;
        are_any.then(|| view.list(Kind::ResourceQuota, Some(self.namespace()), None)).into_iter().flatten()
    }

    fn change(&self, now: Timestamp) -> Change<'_> {
        Change { old: self.old.as_deref(), new: &self.new, now }
    }

    /// What is to be stored with the write, and what must be so: that quotas are what they are in `view`. A master that has not
    /// heard of a quota yet learns of it by that.
    ///
    /// # Errors
    /// If it would be more than a quota allows, or does not say what one limits.
    pub fn charge(&self, view: &View, now: Timestamp) -> Result<Vec<Op>, Error> {
        let (kind, namespace, since) = (Kind::ResourceQuota, self.key.namespace.clone(), view.revision());
        let records: Vec<&Arc<Record>> = self.quotas(view).collect();
        let objects: Vec<Arc<Object>> = records.iter().map(|record| record.object()).collect();
        let quotas: Vec<&ResourceQuota> = objects.iter().filter_map(|object| object.get()).collect();
        let charged = quota::charge(&quotas, &self.change(now)).map_err(|why| forbidden(&self.key, why))?;
        let charged = charged.into_iter().filter_map(|(index, used)| {
            let (record, mut quota) = (records.get(index)?, ResourceQuota::clone(quotas.get(index)?));
            quota.status.get_or_insert_default().used = used;
            Some(put(&record.key, &mut quota.into(), Expect::Revision(record.revision)))
        });
        let still = Op::Still { kind, namespace, since, news: News::Changed };
        charged.chain([Ok(still)]).collect()
    }
}

/// Whether a write of the cluster itself asks for a quota to be counted anew.
pub(crate) fn is_recount(write: &Write) -> bool {
    matches!(write, Write::Update(object, Subresource::Status) if object.kind() == Kind::ResourceQuota)
}

/// A status of a quota with what this very state counts, whatever its writer has counted: what comes in between is refused by the
/// log, since whoever adds to a quota replaces it.
#[must_use]
pub fn recounted<'a>(view: &View, write: Cow<'a, Write>, now: Timestamp) -> Cow<'a, Write> {
    let key = write.key();
    let Some(object) = view.get(&key).map(|record| record.object()).filter(|_| is_recount(&write)) else {
        return write;
    };
    let Some(quota) = object.get::<ResourceQuota>() else { return write };
    let mut counted = quota.clone();
    counted.status = Some(quota::status(quota, &Within { view, namespace: &key.namespace }, now));
    // Only this incarnation, but however often somebody has added to it.
    let sent = match &*write {
        Write::Update(object, _) => object.metadata().map(|meta| meta.uid.clone()),
        Write::Create(_) | Write::Delete(..) => None,
    };
    let metadata = counted.metadata_mut();
    metadata.resource_version.clear();
    metadata.uid = sent.unwrap_or_default();
    Cow::Owned(Write::Update(counted.into(), Subresource::Status))
}

/// What must be so for a count to be true: of what nobody has charged so far there may be no more by now.
pub(crate) fn still(view: &View, key: &Key) -> Vec<Op> {
    let Some(object) = view.get(key).map(|record| record.object()) else { return Vec::new() };
    let Some(quota) = object.get::<ResourceQuota>() else { return Vec::new() };
    let within = Within { view, namespace: &key.namespace };
    if !quota::is_uncounted(quota, &within) {
        return Vec::new();
    }
    let names = quota.spec.iter().flat_map(|spec| spec.hard.keys());
    let kinds: BTreeSet<Kind> = names.filter_map(|name| quota::user_of(&within, name)).collect();
    let (namespace, since) = (key.namespace.clone(), view.revision());
    // The quota itself may be among what it counts, and is older.
    kinds.into_iter().map(|kind| Op::Still { kind, namespace: namespace.clone(), since, news: News::Created }).collect()
}

#[cfg(test)]
mod tests;
