//! The priority levels and flow schemas that every cluster has: Kubernetes' own, by its names, so that manifests which refer to
//! them work. Two of each are mandatory: what they say is fixed, and they count even where nobody has made them yet.

use crate::{
    flowcontrol_v1::{
        ExemptPriorityLevelConfiguration, FlowDistinguisherMethod, FlowSchema, FlowSchemaSpec, GroupSubject,
        LimitResponse, LimitedPriorityLevelConfiguration, NonResourcePolicyRule, PolicyRulesWithSubjects,
        PriorityLevelConfiguration, PriorityLevelConfigurationReference, PriorityLevelConfigurationSpec,
        QueuingConfiguration, ResourcePolicyRule, ServiceAccountSubject, Subject, UserSubject,
    },
    meta_v1::ObjectMeta,
    users::{AUTHENTICATED, MASTERS, NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED},
    well_known::SYSTEM_NAMESPACE,
};

/// The level, and the schema, of requests that no level limits.
pub const EXEMPT: &str = "exempt";
/// The level, and the schema, of requests that no other schema matches.
pub const CATCH_ALL: &str = "catch-all";
/// Stands in rules for everything of its sort.
pub const ANY: &str = "*";
/// The type of levels with a number of seats.
pub const LIMITED: &str = "Limited";
/// The type of the level that has no limit.
pub const UNLIMITED: &str = "Exempt";
/// What happens to requests for which no seat is free.
pub const QUEUE: &str = "Queue";
/// The same.
pub const REJECT: &str = "Reject";
/// Each user is a flow.
pub const BY_USER: &str = "ByUser";
/// Each namespace is a flow.
pub const BY_NAMESPACE: &str = "ByNamespace";
/// The condition of a schema that says whether its level is missing.
pub const DANGLING: &str = "Dangling";
/// The annotation by which users say whether one of these is kept up to date.
pub const AUTOUPDATE_ANNOTATION: &str = "apf.kubernetes.io/autoupdate-spec";

/// A priority level.
struct LevelGiven {
    name: &'static str,
    shares: i32,
    lendable_percent: i32,
    /// The number of queues, the size of a hand and the length of a queue; without it nobody waits.
    queuing: Option<[i32; 3]>,
}

/// A flow schema.
struct SchemaGiven {
    name: &'static str,
    level: &'static str,
    precedence: i32,
    by: &'static str,
    whose: &'static [Whose],
    which: Which,
}

#[derive(Clone, Copy)]
enum Whose {
    User(&'static str),
    Group(&'static str),
    SystemAccounts,
}

/// Words stand apart by spaces.
#[derive(Clone, Copy)]
enum Which {
    Everything,
    Paths { verbs: &'static str, paths: &'static str },
    Resources(&'static [Resources]),
}

struct Resources {
    verbs: &'static str,
    group: &'static str,
    resources: &'static str,
    /// Also where no namespace is named.
    everywhere: bool,
}

const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const EVERYBODY: &[Whose] = &[Whose::Group(UNAUTHENTICATED), Whose::Group(AUTHENTICATED)];

const LEVELS: &[LevelGiven] = &[
    LevelGiven { name: CATCH_ALL, shares: 5, lendable_percent: 0, queuing: None },
    LevelGiven { name: "system", shares: 30, lendable_percent: 33, queuing: Some([64, 6, 50]) },
    LevelGiven { name: "node-high", shares: 40, lendable_percent: 25, queuing: Some([64, 6, 50]) },
    LevelGiven { name: "leader-election", shares: 10, lendable_percent: 0, queuing: Some([16, 4, 50]) },
    LevelGiven { name: "workload-high", shares: 40, lendable_percent: 50, queuing: Some([128, 6, 50]) },
    LevelGiven { name: "workload-low", shares: 100, lendable_percent: 90, queuing: Some([128, 6, 50]) },
    LevelGiven { name: "global-default", shares: 20, lendable_percent: 50, queuing: Some([128, 6, 50]) },
];

const SCHEMAS: &[SchemaGiven] = &[
    SchemaGiven {
        name: EXEMPT,
        level: EXEMPT,
        precedence: 1,
        by: "",
        whose: &[Whose::Group(MASTERS)],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "probes",
        level: EXEMPT,
        precedence: 2,
        by: "",
        whose: EVERYBODY,
        which: Which::Paths { verbs: "get", paths: "/healthz /readyz /livez" },
    },
    SchemaGiven {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        by: BY_USER,
        whose: &[Whose::User(CONTROLLER_MANAGER), Whose::User(SCHEDULER), Whose::SystemAccounts],
        which: Which::Resources(&[Resources {
            verbs: "get create update",
            group: "coordination.k8s.io",
            resources: "leases",
            everywhere: false,
        }]),
    },
    SchemaGiven {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        by: BY_USER,
        whose: &[Whose::Group(NODES)],
        which: Which::Resources(&[
            Resources { verbs: ANY, group: "", resources: "nodes nodes/status", everywhere: true },
            Resources { verbs: ANY, group: "coordination.k8s.io", resources: "leases", everywhere: false },
        ]),
    },
    SchemaGiven {
        name: "system-nodes",
        level: "system",
        precedence: 500,
        by: BY_USER,
        whose: &[Whose::Group(NODES)],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "kube-controller-manager",
        level: "workload-high",
        precedence: 800,
        by: BY_NAMESPACE,
        whose: &[Whose::User(CONTROLLER_MANAGER)],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "kube-scheduler",
        level: "workload-high",
        precedence: 800,
        by: BY_NAMESPACE,
        whose: &[Whose::User(SCHEDULER)],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "kube-system-service-accounts",
        level: "workload-high",
        precedence: 900,
        by: BY_NAMESPACE,
        whose: &[Whose::SystemAccounts],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "service-accounts",
        level: "workload-low",
        precedence: 9_000,
        by: BY_USER,
        whose: &[Whose::Group(SERVICE_ACCOUNTS)],
        which: Which::Everything,
    },
    SchemaGiven {
        name: "global-default",
        level: "global-default",
        precedence: 9_900,
        by: BY_USER,
        whose: EVERYBODY,
        which: Which::Everything,
    },
    SchemaGiven {
        name: CATCH_ALL,
        level: CATCH_ALL,
        precedence: 10_000,
        by: BY_USER,
        whose: EVERYBODY,
        which: Which::Everything,
    },
];

/// Whether what an object of this name says is fixed, be it a level or a schema.
#[must_use]
pub fn is_mandatory(name: &str) -> bool {
    name == EXEMPT || name == CATCH_ALL
}

/// The levels that every cluster has.
pub fn levels() -> impl Iterator<Item = PriorityLevelConfiguration> {
    std::iter::once(exempt()).chain(LEVELS.iter().map(LevelGiven::object))
}

/// The schemas that every cluster has, in the order in which they are tried.
pub fn schemas() -> impl Iterator<Item = FlowSchema> {
    SCHEMAS.iter().map(SchemaGiven::object)
}

/// The level of a name, if every cluster has it.
#[must_use]
pub fn level(name: &str) -> Option<PriorityLevelConfiguration> {
    if name == EXEMPT {
        return Some(exempt());
    }
    LEVELS.iter().find(|given| given.name == name).map(LevelGiven::object)
}

/// The schema of a name, if every cluster has it.
#[must_use]
pub fn schema(name: &str) -> Option<FlowSchema> {
    SCHEMAS.iter().find(|given| given.name == name).map(SchemaGiven::object)
}

fn exempt() -> PriorityLevelConfiguration {
    let exempt = ExemptPriorityLevelConfiguration { nominal_concurrency_shares: Some(0), lendable_percent: Some(0) };
    let spec = PriorityLevelConfigurationSpec { r#type: UNLIMITED.to_owned(), limited: None, exempt: Some(exempt) };
    PriorityLevelConfiguration { metadata: Some(metadata(EXEMPT)), spec: Some(spec), status: None }
}

fn metadata(name: &str) -> ObjectMeta {
    let annotations = [(AUTOUPDATE_ANNOTATION.to_owned(), "true".to_owned())].into();
    ObjectMeta { name: name.to_owned(), annotations, ..ObjectMeta::default() }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn any() -> Vec<String> {
    vec![ANY.to_owned()]
}

impl LevelGiven {
    fn object(&self) -> PriorityLevelConfiguration {
        let queuing = self.queuing.map(|[queues, hand_size, queue_length_limit]| QueuingConfiguration {
            queues,
            hand_size,
            queue_length_limit,
        });
        let response = if queuing.is_some() { QUEUE } else { REJECT };
        let limited = LimitedPriorityLevelConfiguration {
            nominal_concurrency_shares: Some(self.shares),
            limit_response: Some(LimitResponse { r#type: response.to_owned(), queuing }),
            lendable_percent: Some(self.lendable_percent),
            borrowing_limit_percent: None,
        };
        let spec = PriorityLevelConfigurationSpec { r#type: LIMITED.to_owned(), limited: Some(limited), exempt: None };
        PriorityLevelConfiguration { metadata: Some(metadata(self.name)), spec: Some(spec), status: None }
    }
}

impl SchemaGiven {
    fn object(&self) -> FlowSchema {
        let subjects = self.whose.iter().map(|whose| whose.subject()).collect();
        let (resource_rules, non_resource_rules) = self.which.rules();
        let by = (!self.by.is_empty()).then(|| FlowDistinguisherMethod { r#type: self.by.to_owned() });
        let spec = FlowSchemaSpec {
            priority_level_configuration: Some(PriorityLevelConfigurationReference { name: self.level.to_owned() }),
            matching_precedence: self.precedence,
            distinguisher_method: by,
            rules: vec![PolicyRulesWithSubjects { subjects, resource_rules, non_resource_rules }],
        };
        FlowSchema { metadata: Some(metadata(self.name)), spec: Some(spec), status: None }
    }
}

impl Whose {
    fn subject(self) -> Subject {
        match self {
            Self::User(name) => Subject {
                kind: "User".to_owned(),
                user: Some(UserSubject { name: name.to_owned() }),
                ..Subject::default()
            },
            Self::Group(name) => Subject {
                kind: "Group".to_owned(),
                group: Some(GroupSubject { name: name.to_owned() }),
                ..Subject::default()
            },
            Self::SystemAccounts => Subject {
                kind: "ServiceAccount".to_owned(),
                service_account: Some(ServiceAccountSubject {
                    namespace: SYSTEM_NAMESPACE.to_owned(),
                    name: ANY.to_owned(),
                }),
                ..Subject::default()
            },
        }
    }
}

impl Which {
    fn rules(self) -> (Vec<ResourcePolicyRule>, Vec<NonResourcePolicyRule>) {
        match self {
            Self::Everything => {
                let resources = ResourcePolicyRule {
                    verbs: any(),
                    api_groups: any(),
                    resources: any(),
                    cluster_scope: true,
                    namespaces: any(),
                };
                (vec![resources], vec![NonResourcePolicyRule { verbs: any(), non_resource_urls: any() }])
            }
            Self::Paths { verbs, paths } => {
                (Vec::new(), vec![NonResourcePolicyRule { verbs: words(verbs), non_resource_urls: words(paths) }])
            }
            Self::Resources(resources) => (resources.iter().map(Resources::rule).collect(), Vec::new()),
        }
    }
}

impl Resources {
    fn rule(&self) -> ResourcePolicyRule {
        ResourcePolicyRule {
            verbs: words(self.verbs),
            api_groups: vec![self.group.to_owned()],
            resources: words(self.resources),
            cluster_scope: self.everywhere,
            namespaces: any(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn what_every_cluster_has_is_valid_and_complete() {
        let objects = levels().map(Object::from).chain(schemas().map(Object::from));
        for object in objects {
            let mut defaulted = object.clone();
            crate::defaults::apply(&mut defaulted);
            assert_eq!(defaulted, object, "defaults would look like a change");
            assert_eq!(crate::validate::create(&object), [], "{}", object.key());
        }
        for schema in schemas() {
            let named = schema.spec.and_then(|spec| spec.priority_level_configuration).unwrap_or_default().name;
            assert!(level(&named).is_some(), "{named}");
        }
        let order: Vec<i32> = schemas().filter_map(|schema| Some(schema.spec?.matching_precedence)).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert!([EXEMPT, CATCH_ALL].iter().all(|name| level(name).is_some() && schema(name).is_some()));
    }
}
