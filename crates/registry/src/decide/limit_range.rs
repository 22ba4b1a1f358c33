//! LimitRanges: what containers get that do not say it, and what Pods may ask for. Kubernetes' admission plugin LimitRanger.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api::{
    Error, Key, Kind, Object,
    core_v1::{Container, LimitRange, LimitRangeItem, PodSpec, ResourceRequirements},
    kinds::core::limit_range::{CONTAINER, POD},
    meta_v1,
    pod::amounts::{self, Amounts},
    quantity::Quantity,
};

use super::{Decider, forbidden};

/// Where it stands what a Pod has from LimitRanges.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The largest amount of which Kubernetes compares the thousandths.
const MILLIS_MAX: i128 = i64::MAX as i128 / 1_000;

type List = BTreeMap<String, meta_v1::Quantity>;

impl Decider<'_> {
    /// The LimitRanges of a namespace, by name.
    fn limit_ranges(&self, namespace: &str) -> Vec<Arc<Object>> {
        if self.view.count(Kind::LimitRange) == 0 {
            return Vec::new();
        }
        self.view.list(Kind::LimitRange, Some(namespace), None).map(|record| record.object()).collect()
    }

    /// Gives the containers of a new Pod what they do not say themselves.
    pub(super) fn take_limits(&self, key: &Key, object: &mut Object) {
        let Object::Pod(pod) = object else { return };
        for range in self.limit_ranges(&key.namespace) {
            let items = range.get::<LimitRange>().and_then(|range| range.spec.as_ref());
            let items = items.iter().flat_map(|spec| &spec.limits).filter(|item| item.r#type == CONTAINER);
            let (mut requests, mut limits) = (List::new(), List::new());
            for item in items {
                requests.extend(item.default_request.clone());
                limits.extend(item.default.clone());
            }
            let spec = pod.spec.get_or_insert_default();
            let containers = spec.containers.iter_mut().map(|container| ("container", container));
            let all = containers.chain(spec.init_containers.iter_mut().map(|container| ("init container", container)));
            let told: Vec<String> =
                all.flat_map(|(what, container)| fill(container, what, &requests, &limits)).collect();
            if !told.is_empty() {
                let annotations = &mut pod.metadata.get_or_insert_default().annotations;
                let said = format!("LimitRanger plugin set: {}", told.join("; "));
                annotations.insert(ANNOTATION.to_owned(), said);
            }
        }
    }

    /// Refuses a new Pod that asks for more or less than it may.
    pub(super) fn keep_limits(&self, key: &Key, object: &Object) -> Result<(), Error> {
        let Object::Pod(pod) = object else { return Ok(()) };
        let Some(spec) = &pod.spec else { return Ok(()) };
        for range in self.limit_ranges(&key.namespace) {
            let items = range.get::<LimitRange>().and_then(|range| range.spec.as_ref());
            let wrong: Vec<String> =
                items.iter().flat_map(|spec| &spec.limits).flat_map(|item| judge(item, spec)).collect();
            if !wrong.is_empty() {
                return Err(forbidden(key, together(wrong)));
            }
        }
        Ok(())
    }
}

/// Several reasons as Kubernetes tells them, each once.
fn together(mut reasons: Vec<String>) -> String {
    let mut seen = BTreeSet::new();
    reasons.retain(|reason| seen.insert(reason.clone()));
    if let [reason] = reasons.as_slice() { reason.clone() } else { format!("[{}]", reasons.join(", ")) }
}

/// Fills in what a container does not say, and tells of what.
fn fill(container: &mut Container, what: &str, requests: &List, limits: &List) -> Vec<String> {
    let name = container.name.clone();
    let own = container.resources.get_or_insert_default();
    let limits = fill_list(&mut own.limits, limits);
    let requests = fill_list(&mut own.requests, requests);
    let told =
        |side: &str, set: Vec<&str>| (!set.is_empty()).then(|| format!("{} {side} for {what} {name}", set.join(", ")));
    told("request", requests).into_iter().chain(told("limit", limits)).collect()
}

fn fill_list<'a>(own: &mut List, from: &'a List) -> Vec<&'a str> {
    let missing: Vec<&str> = from.keys().map(String::as_str).filter(|name| !own.contains_key(*name)).collect();
    for name in &missing {
        own.extend(from.get_key_value(*name).map(|(name, amount)| (name.clone(), amount.clone())));
    }
    missing
}

/// What is wrong with a Pod by one item of a LimitRange.
fn judge(item: &LimitRangeItem, spec: &PodSpec) -> Vec<String> {
    match item.r#type.as_str() {
        CONTAINER => {
            let all = spec.containers.iter().chain(&spec.init_containers);
            let asked = all.map(|container| {
                let own = container.resources.as_ref();
                let read = |list: fn(&ResourceRequirements) -> &List| {
                    own.map(|own| amounts::read(list(own))).unwrap_or_default()
                };
                Asked { requests: read(|own| &own.requests), limits: read(|own| &own.limits) }
            });
            asked.flat_map(|asked| asked.judge(item)).collect()
        }
        POD => Asked { requests: amounts::requests(spec), limits: amounts::limits(spec) }.judge(item),
        _ => Vec::new(),
    }
}

/// What a container or a Pod asks for and may use.
struct Asked {
    requests: Amounts,
    limits: Amounts,
}

impl Asked {
    fn judge(&self, item: &LimitRangeItem) -> Vec<String> {
        let of = |list: &List, judge: fn(Judged<'_>) -> Option<String>| -> Vec<String> {
            let judged = amounts::read(list).into_iter().filter_map(|(name, bound)| {
                let (request, limit) = (self.requests.get(&name).copied(), self.limits.get(&name).copied());
                judge(Judged { of: &item.r#type, name: &name, bound, request, limit })
            });
            judged.collect()
        };
        let all = [
            of(&item.min, |judged| judged.least()),
            of(&item.max, |judged| judged.most()),
            of(&item.max_limit_request_ratio, |judged| judged.ratio()),
        ];
        all.concat()
    }
}

/// An amount and what bounds it.
struct Judged<'a> {
    of: &'a str,
    name: &'a str,
    bound: Quantity,
    request: Option<Quantity>,
    limit: Option<Quantity>,
}

impl Judged<'_> {
    fn least(self) -> Option<String> {
        let Self { of, name, bound, request, limit } = self;
        let start = format!("minimum {name} usage per {of} is {bound}");
        match (request, limit) {
            (None, _) => Some(format!("{start}.  No request is specified")),
            (Some(request), _) if request < bound => Some(format!("{start}, but request is {request}")),
            (_, Some(limit)) if limit < bound => Some(format!("{start}, but limit is {limit}")),
            _ => None,
        }
    }

    fn most(self) -> Option<String> {
        let Self { of, name, bound, request, limit } = self;
        let start = format!("maximum {name} usage per {of} is {bound}");
        match (request, limit) {
            (_, None) => Some(format!("{start}.  No limit is specified")),
            (_, Some(limit)) if limit > bound => Some(format!("{start}, but limit is {limit}")),
            (Some(request), _) if request > bound => Some(format!("{start}, but request is {request}")),
            _ => None,
        }
    }

    fn ratio(self) -> Option<String> {
        let Self { of, name, bound, request, limit } = self;
        let start = format!("{name} max limit to request ratio per {of} is {bound}");
        let said = |amount: Option<Quantity>| amount.filter(|amount| !amount.is_zero());
        let Some(request) = said(request) else {
            return Some(format!("{start}, but no request is specified or request is 0"));
        };
        let Some(limit) = said(limit) else {
            return Some(format!("{start}, but no limit is specified or limit is 0"));
        };
        let in_millis = [request, limit, bound].into_iter().all(|amount| amount.whole() <= MILLIS_MAX);
        let value = |amount: Quantity| if in_millis { amount.millis() } else { amount.whole() };
        #[expect(clippy::cast_precision_loss, reason = "Kubernetes compares ratios as such numbers")]
        let (ratio, most) = (value(limit) as f64 / value(request) as f64, bound.millis() as f64);
        (ratio * 1_000.0 > most).then(|| format!("{start}, but provided ratio is {ratio:.6}"))
    }
}
