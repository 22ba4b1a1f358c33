//! LimitRanges.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Subresource, Timestamp,
    core_v1::{LimitRange, LimitRangeItem},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1,
    quantity::Quantity,
    resources::may_be_overcommitted,
    table::{
        self, Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        limits::SMALL_LIST_MAX,
        names::{self, Syntax},
        resources,
    },
    warnings::Warnings,
};

/// Limits for each container.
pub const CONTAINER: &str = "Container";
/// Limits for each Pod.
pub const POD: &str = "Pod";
/// Limits for each claim of storage.
const CLAIM: &str = "PersistentVolumeClaim";

/// Resources in one list of a LimitRange: each is looked at for each container.
const RESOURCES_MAX: usize = 64;

/// The largest amount of which the thousandths are compared.
const MILLIS_MAX: i128 = i64::MAX as i128 / 1_000;

const COLUMNS: &[Column] = &[NAME, text("Created At", "When the object was created.")];

const SAMPLE: &str = "\
apiVersion: v1
kind: LimitRange
metadata:
  name: containers
  namespace: default
spec:
  limits:
  - type: Container
    defaultRequest: {cpu: 50m, memory: 16Mi}
    default: {cpu: 200m, memory: 64Mi}
    min: {cpu: 10m}
    max: {cpu: 2, memory: 1Gi}
    maxLimitRequestRatio: {cpu: 10}
";

type Amounts = BTreeMap<String, meta_v1::Quantity>;

pub(crate) struct LimitRangeStrategy;

impl Strategy for LimitRangeStrategy {
    type Object = LimitRange;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, range: &mut LimitRange) {
        let items = range.spec.iter_mut().flat_map(|spec| &mut spec.limits);
        items.filter(|item| item.r#type == CONTAINER).for_each(apply_defaults);
    }

    fn validate(&self, causes: &mut Causes, range: &LimitRange) {
        let at = Path::Root.field("spec");
        let at = at.field("limits");
        let items = range.spec.as_ref().map_or(&[][..], |spec| &spec.limits);
        if !causes.at_most(&at, items.len(), SMALL_LIST_MAX) {
            return;
        }
        for (index, item) in items.iter().enumerate() {
            let place = at.index(index);
            validate_type(causes, &item.r#type, &place.field("type"));
            if items[..index].iter().any(|before| before.r#type == item.r#type) {
                causes.duplicate(&place.field("type"), &item.r#type);
            }
            validate_item(causes, item, &place);
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &LimitRange, _: &LimitRange) {}

    fn validate_status(&self, _: &mut Causes, _: &LimitRange) {}

    fn warn(&self, warnings: &mut Warnings, range: &LimitRange) {
        let items = range.spec.iter().flat_map(|spec| &spec.limits).enumerate();
        for (index, item) in items.filter(|(_, item)| !matches!(item.r#type.as_str(), CONTAINER | POD)) {
            let why = "there are no claims of storage and no other kinds that it could limit yet";
            warnings.say(format!("spec.limits[{index}]: {}: kept, not enforced: {why}", item.r#type));
        }
    }

    fn prepare_for_create(&self, _: &mut LimitRange) {}

    fn prepare_for_update(&self, _: &mut LimitRange, _: &LimitRange) {}

    fn update_status(&self, _: &mut LimitRange, _: &LimitRange) {}

    fn scale(&self, _: &LimitRange) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut LimitRange, _: i32) {}

    fn is_new_generation(&self, _: Option<&LimitRange>, _: &LimitRange, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut LimitRange) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &LimitRange) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, range: &mut LimitRange, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut range.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &LimitRange) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, range: &LimitRange, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, table::created_at(range.metadata.as_ref()).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a LimitRange, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// What may be used is by default the most, and what is asked for what may be used, or else the least.
fn apply_defaults(item: &mut LimitRangeItem) {
    fill(&mut item.default, &item.max);
    fill(&mut item.default_request, &item.default);
    fill(&mut item.default_request, &item.min);
}

fn fill(amounts: &mut Amounts, from: &Amounts) {
    for (name, amount) in from {
        amounts.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

fn validate_type(causes: &mut Causes, name: &str, at: &Path<'_>) {
    let problems = names::qualified(name);
    let is_name = problems.is_empty();
    problems.into_iter().for_each(|why| causes.invalid(at, name, why));
    if is_name && !name.contains('/') && ![CONTAINER, POD, CLAIM].contains(&name) {
        causes.invalid(at, name, "must be a standard limit type or fully qualified");
    }
}

/// An amount as it is written, and what that means.
type Said<'a> = Option<(&'a str, Quantity)>;

/// The amounts of one resource in an item.
#[derive(Clone, Copy, Default)]
struct Amount<'a> {
    min: Said<'a>,
    max: Said<'a>,
    default: Said<'a>,
    default_request: Said<'a>,
    ratio: Said<'a>,
}

/// A field of an item, what it says, and where that is kept.
type Part<'a> = (&'static str, &'a Amounts, fn(&mut Amount<'a>, Said<'a>));

fn validate_item(causes: &mut Causes, item: &LimitRangeItem, at: &Path<'_>) {
    let bounds: [Part<'_>; 3] = [
        ("max", &item.max, |amount, said| amount.max = said),
        ("min", &item.min, |amount, said| amount.min = said),
        ("maxLimitRequestRatio", &item.max_limit_request_ratio, |amount, said| amount.ratio = said),
    ];
    let defaults: [Part<'_>; 2] = [
        ("default", &item.default, |amount, said| amount.default = said),
        ("defaultRequest", &item.default_request, |amount, said| amount.default_request = said),
    ];
    let is_pod = item.r#type == POD;
    for (field, _, _) in defaults.iter().filter(|(_, list, _)| is_pod && !list.is_empty()) {
        causes.forbidden(&at.field(field), "may not be specified when `type` is 'Pod'");
    }
    let mut amounts: BTreeMap<&str, Amount<'_>> = BTreeMap::new();
    for (field, list, keep) in bounds.into_iter().chain(defaults.into_iter().filter(|_| !is_pod)) {
        let at = at.field(field);
        let few = causes.at_most(&at, list.len(), RESOURCES_MAX);
        for (name, text) in list.iter().filter(|_| few) {
            let amount = validate_amount(causes, item, name, text, &at);
            keep(amounts.entry(name).or_default(), amount.map(|amount| (text.string.as_str(), amount)));
        }
    }
    if item.r#type == CLAIM && !item.min.contains_key("storage") && !item.max.contains_key("storage") {
        let why = "either minimum or maximum storage value is required, but neither was provided";
        causes.required(&at.field("limits"), why);
    }
    for (name, amount) in amounts {
        validate_order(causes, name, amount, at);
        validate_ratio(causes, name, amount, at);
    }
}

fn validate_amount(
    causes: &mut Causes,
    item: &LimitRangeItem,
    name: &str,
    text: &meta_v1::Quantity,
    at: &Path<'_>,
) -> Option<Quantity> {
    let at = at.key(name);
    match item.r#type.as_str() {
        POD | CONTAINER => resources::name_of_containers(causes, name, &at),
        _ => resources::name(causes, name, &at),
    }
    resources::quantity(causes, text, &at)
}

/// What must not be more than what.
fn validate_order(causes: &mut Causes, name: &str, amount: Amount<'_>, at: &Path<'_>) {
    let Amount { min, max, default, default_request, .. } = amount;
    // The field that is to blame, both amounts with the words for them, and which of the two is shown.
    let order = [
        ("min", ("min", min), ("max", max), min),
        ("defaultRequest", ("min", min), ("default request", default_request), default_request),
        ("defaultRequest", ("default request", default_request), ("max", max), default_request),
        ("defaultRequest", ("default request", default_request), ("default limit", default), default_request),
        ("default", ("min", min), ("default", default), min),
        ("default", ("default", default), ("max", max), max),
    ];
    for (field, (less, least), (more, most), shown) in order {
        let (Some(least), Some(most), Some(shown)) = (least, most, shown) else { continue };
        if least.1 > most.1 {
            let why = format!("{less} value {} is greater than {more} value {}", least.0, most.0);
            causes.invalid(&at.field(field).key(name), shown.0, why);
        }
    }
    if let (Some(default), Some(request), false) = (default, default_request, may_be_overcommitted(name))
        && default.1 != request.1
    {
        let why = format!("default value {} must equal to defaultRequest value {} in {name}", default.0, request.0);
        causes.invalid(&at.field("defaultRequest").key(name), request.0, why);
    }
}

fn validate_ratio(causes: &mut Causes, name: &str, amount: Amount<'_>, at: &Path<'_>) {
    let Amount { min, max, ratio: Some((text, ratio)), .. } = amount else { return };
    let at = at.field("maxLimitRequestRatio");
    let at = at.key(name);
    if ratio < Quantity::from_whole(1) {
        causes.invalid(&at, text, format_args!("ratio {text} is less than 1"));
    }
    let (Some((_, min)), Some((_, max))) = (min, max) else { return };
    let in_millis = [ratio, min, max].into_iter().all(|amount| amount.whole() < MILLIS_MAX);
    let value = |amount: Quantity| if in_millis { amount.millis() } else { amount.whole() };
    #[expect(clippy::cast_precision_loss, reason = "Kubernetes compares ratios as such numbers")]
    let (most, ratio) = (value(max) as f64 / value(min) as f64, ratio.millis() as f64 / 1_000.0);
    if ratio > most {
        causes.invalid(&at, text, format_args!("ratio {text} is greater than max/min = {most:.6}"));
    }
}
