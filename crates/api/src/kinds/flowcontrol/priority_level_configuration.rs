//! PriorityLevelConfigurations.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    flow_control::{self, EXEMPT, LIMITED, QUEUE, REJECT, UNLIMITED},
    flowcontrol_v1::{
        ExemptPriorityLevelConfiguration, LimitResponse, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration,
        PriorityLevelConfigurationSpec, QueuingConfiguration,
    },
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common, NONE,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

/// The shares of a level that does not say them.
const SHARES: i32 = 30;
const QUEUES: i32 = 64;
const HAND_SIZE: i32 = 8;
const QUEUE_LENGTH: i32 = 50;

/// The most queues: Kubernetes' own limit.
const QUEUES_MAX: i32 = 10_000_000;

/// How many bits of a hash Kubernetes has for choosing queues.
const HASH_BITS_MAX: f64 = 60.0;

/// Only Kubernetes' older versions know it.
const ZERO_SHARES_ANNOTATION: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

const COLUMNS: &[Column] = &[
    NAME,
    text("Type", "Whether the level has a limit."),
    text("NominalConcurrencyShares", "The level's part of the seats."),
    text("Queues", "How many queues there are."),
    text("HandSize", "Among how many queues one is chosen."),
    text("QueueLengthLimit", "How many requests of one flow may wait."),
    AGE,
];

const SAMPLE: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata:
  name: reports
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 5
    lendablePercent: 50
    borrowingLimitPercent: 100
    limitResponse:
      type: Queue
      queuing:
        queues: 16
        handSize: 8
        queueLengthLimit: 20
";

pub(crate) struct PriorityLevelConfigurationStrategy;

impl Strategy for PriorityLevelConfigurationStrategy {
    type Object = PriorityLevelConfiguration;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, level: &mut PriorityLevelConfiguration) {
        let Some(spec) = &mut level.spec else { return };
        if let Some(limited) = &mut spec.limited {
            limited.nominal_concurrency_shares.get_or_insert(SHARES);
            limited.lendable_percent.get_or_insert(0);
            let queuing = limited.limit_response.as_mut().and_then(|response| response.queuing.as_mut());
            if let Some(queuing) = queuing {
                let fields = [
                    (&mut queuing.queues, QUEUES),
                    (&mut queuing.hand_size, HAND_SIZE),
                    (&mut queuing.queue_length_limit, QUEUE_LENGTH),
                ];
                fields.into_iter().filter(|(field, _)| **field == 0).for_each(|(field, default)| *field = default);
            }
        }
        if let Some(exempt) = &mut spec.exempt {
            exempt.nominal_concurrency_shares.get_or_insert(0);
            exempt.lendable_percent.get_or_insert(0);
        }
    }

    fn validate(&self, causes: &mut Causes, level: &PriorityLevelConfiguration) {
        let metadata = level.metadata.as_ref();
        if metadata.is_some_and(|metadata| metadata.annotations.contains_key(ZERO_SHARES_ANNOTATION)) {
            let why = format_args!("annotation '{ZERO_SHARES_ANNOTATION}' is forbidden");
            causes.forbidden(&Path::Root.field("metadata").field("annotations"), why);
        }
        let name = metadata.map_or("", |metadata| &metadata.name);
        let none = PriorityLevelConfigurationSpec::default();
        let (spec, at) = (level.spec.as_ref().unwrap_or(&none), Path::Root.field("spec"));
        validate_spec(causes, spec, name, &at);
        validate_fixed(causes, spec, name, &at);
    }

    fn validate_update(&self, _: &mut Causes, _: &PriorityLevelConfiguration, _: &PriorityLevelConfiguration) {}

    fn validate_status(&self, causes: &mut Causes, level: &PriorityLevelConfiguration) {
        let conditions = level.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        causes.conditions(&Path::Root.field("status").field("conditions"), conditions);
    }

    fn warn(&self, warnings: &mut Warnings, level: &PriorityLevelConfiguration) {
        let name = level.metadata.as_ref().map_or("", |metadata| &metadata.name);
        let limited = level.spec.as_ref().and_then(|spec| spec.limited.as_ref());
        let response = limited.and_then(|limited| limited.limit_response.as_ref());
        let Some(queuing) = response.and_then(|response| response.queuing.as_ref()) else { return };
        // Nobody is told of what every cluster has, nor of what says that there is nothing to choose.
        let is_said = queuing.hand_size != HAND_SIZE && queuing.queues != 1 && flow_control::level(name).is_none();
        let why = "each flow has a queue of its own, so none is chosen";
        warnings.ignored("spec.limited.limitResponse.queuing", [("handSize", is_said, why)]);
    }

    fn prepare_for_create(&self, level: &mut PriorityLevelConfiguration) {
        level.status = None;
    }

    fn prepare_for_update(&self, new: &mut PriorityLevelConfiguration, old: &PriorityLevelConfiguration) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, level: &mut PriorityLevelConfiguration, sent: &PriorityLevelConfiguration) {
        level.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &PriorityLevelConfiguration) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut PriorityLevelConfiguration, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&PriorityLevelConfiguration>,
        new: &PriorityLevelConfiguration,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut PriorityLevelConfiguration) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &PriorityLevelConfiguration) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        level: &mut PriorityLevelConfiguration,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut level.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &PriorityLevelConfiguration) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, level: &PriorityLevelConfiguration, common: Common, _: Timestamp) -> Vec<Cell> {
        let limited = level.spec.as_ref().and_then(|spec| spec.limited.as_ref());
        let response = limited.and_then(|limited| limited.limit_response.as_ref());
        let queuing = response.and_then(|response| response.queuing.as_ref());
        let or_none = |number: Option<i32>| number.map_or_else(|| NONE.into(), Cell::from);
        vec![
            common.name,
            level.spec.as_ref().map_or("", |spec| &spec.r#type).into(),
            or_none(limited.and_then(|limited| limited.nominal_concurrency_shares)),
            or_none(queuing.map(|queuing| queuing.queues)),
            or_none(queuing.map(|queuing| queuing.hand_size)),
            or_none(queuing.map(|queuing| queuing.queue_length_limit)),
            common.age,
        ]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a PriorityLevelConfiguration, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate_spec(causes: &mut Causes, spec: &PriorityLevelConfigurationSpec, name: &str, at: &Path<'_>) {
    if (name == EXEMPT) != (spec.r#type == UNLIMITED) {
        causes.invalid(&at.field("type"), &spec.r#type, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match spec.r#type.as_str() {
        UNLIMITED => {
            if spec.limited.is_some() {
                causes.forbidden(&at.field("limited"), "must be nil if the type is not Limited");
            }
            if let Some(exempt) = &spec.exempt {
                validate_exempt(causes, exempt, &at.field("exempt"));
            }
        }
        LIMITED => {
            if spec.exempt.is_some() {
                causes.forbidden(&at.field("exempt"), "must be nil if the type is Limited");
            }
            match &spec.limited {
                None => causes.required(&at.field("limited"), "must not be empty when type is Limited"),
                Some(limited) => validate_limited(causes, limited, &at.field("limited")),
            }
        }
        "" => causes.required(&at.field("type"), ""),
        other => causes.unsupported(&at.field("type"), other, &[UNLIMITED, LIMITED]),
    }
}

/// What must say what it says, says it.
fn validate_fixed(causes: &mut Causes, spec: &PriorityLevelConfigurationSpec, name: &str, at: &Path<'_>) {
    let fixed = Some(name).filter(|name| flow_control::is_mandatory(name)).and_then(flow_control::level);
    let Some(mut fixed) = fixed.and_then(|fixed| fixed.spec) else { return };
    let mut but = "";
    if name == EXEMPT {
        fixed.exempt.clone_from(&spec.exempt);
        but = " except the 'spec.exempt' field";
    }
    if fixed != *spec {
        causes.invalid_as(at, format_args!("spec of '{name}'{but} must equal the fixed value"));
    }
}

fn validate_shares(causes: &mut Causes, shares: Option<i32>, lendable: Option<i32>, at: &Path<'_>) {
    if let Some(shares @ ..0) = shares {
        causes.invalid(&at.field("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    if let Some(percent) = lendable.filter(|percent| !(0..=100).contains(percent)) {
        causes.invalid(&at.field("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn validate_exempt(causes: &mut Causes, exempt: &ExemptPriorityLevelConfiguration, at: &Path<'_>) {
    validate_shares(causes, exempt.nominal_concurrency_shares, exempt.lendable_percent, at);
}

fn validate_limited(causes: &mut Causes, limited: &LimitedPriorityLevelConfiguration, at: &Path<'_>) {
    validate_shares(causes, limited.nominal_concurrency_shares, limited.lendable_percent, at);
    let none = LimitResponse::default();
    validate_response(causes, limited.limit_response.as_ref().unwrap_or(&none), &at.field("limitResponse"));
    if let Some(percent @ ..0) = limited.borrowing_limit_percent {
        let why = "if specified, must be a non-negative integer";
        causes.invalid(&at.field("borrowingLimitPercent"), percent, why);
    }
}

fn validate_response(causes: &mut Causes, response: &LimitResponse, at: &Path<'_>) {
    let field = at.field("queuing");
    match (response.r#type.as_str(), &response.queuing) {
        (REJECT, Some(_)) => {
            causes.forbidden(&field, "must be nil if limited.limitResponse.type is not Limited");
        }
        (QUEUE, None) => causes.required(&field, "must not be empty if limited.limitResponse.type is Limited"),
        (QUEUE, Some(queuing)) => validate_queuing(causes, queuing, &field),
        (REJECT, None) => {}
        ("", _) => causes.required(&at.field("type"), ""),
        (other, _) => causes.unsupported(&at.field("type"), other, &[QUEUE, REJECT]),
    }
}

fn validate_queuing(causes: &mut Causes, queuing: &QueuingConfiguration, at: &Path<'_>) {
    let QueuingConfiguration { queues, hand_size, queue_length_limit } = *queuing;
    if queue_length_limit <= 0 {
        causes.invalid(&at.field("queueLengthLimit"), queue_length_limit, "must be positive");
    }
    if queues <= 0 {
        causes.invalid(&at.field("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        causes.invalid(&at.field("queues"), queues, format_args!("must not be greater than {QUEUES_MAX}"));
    }
    let field = at.field("handSize");
    if hand_size <= 0 {
        causes.invalid(&field, hand_size, "must be positive");
    } else if hand_size > queues {
        causes.invalid(&field, hand_size, format_args!("should not be greater than queues ({queues})"));
    } else if (f64::from(queues).log2() * f64::from(hand_size)).ceil() > HASH_BITS_MAX {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand_size} should not be greater than {HASH_BITS_MAX}"
        );
        causes.invalid(&field, hand_size, why);
    }
}
