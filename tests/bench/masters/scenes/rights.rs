//! What rights by roles cost: one decision, requests of a user by its token beside those of an administrator, and the time
//! until a binding counts.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use api::{
    DeleteOptions, Key, Kind, Object, Reason, meta_v1,
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject},
};
use registry::{Attributes, ResourceAttributes, Roles, User};
use store::{Expect, Op, State, Txn};
use tokio::task::JoinSet;

use crate::{
    door::{Door, key, value},
    figures::median,
    fill::CONNECTIONS,
    group::{Group, Reach},
    load::{self, Outcome},
    scenes::puts,
    settings::Settings,
    table,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// So many bindings there are: every tenth is for the whole cluster, the others are spread over the namespaces.
const BINDINGS: usize = 10_000;
const NAMESPACES: usize = 1_000;

/// They give these roles, of so many rules each.
const ROLES: usize = 100;
const RULES: usize = 5;

/// Each names a user of its own and one of these groups.
const GROUPS: usize = 1_000;

/// So many requests of one user are answered at a time.
const CLIENTS: usize = 16;

/// So often a binding is given and taken, in each round.
const TURNS: usize = 50;

/// How long a binding is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decisions between two looks at the clock.
const BATCH: u32 = 1_000;

/// Who asks.
const ASKER: &str = "asker";

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    decisions(settings)?;
    let mut groups = Vec::new();
    for brand in settings.builds() {
        let group = Group::start(brand, 3).await?;
        puts::prepare(&group).await?;
        groups.push(group);
    }
    bind(&groups[0]).await?;
    requests(&groups, settings).await?;
    in_force(&groups[0], settings).await
}

/// What is decided in this process, by the function that masters ask.
fn decisions(settings: &Settings) -> Result<()> {
    let mut state = State::default();
    let ops = objects().map(|object| Op::Put { key: object.key(), bytes: object.encode_bytes(), expect: Expect::Any });
    state.apply(&Txn { ops: ops.collect() }).context("roles and bindings are applied")?;
    let start = Instant::now();
    let roles = Roles::new(&state.view());
    println!("  {BINDINGS} bindings read in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    // Binding 9,999 is about user-9999 in namespace-999, and is of role-99.
    let (one, all) = (["group-999".to_owned()], (0..GROUPS).map(|group| format!("group-{group}")).collect::<Vec<_>>());
    let questions = [
        ("allowed", &one[..], "resource-99-4", true),
        ("refused", &one[..], "resource-98-4", false),
        ("in all groups", &all[..], "nothing", false),
    ];
    for (what, groups, resource, allowed) in questions {
        let user = User { name: "user-9999".to_owned(), groups: groups.to_vec(), ..User::default() };
        let asked = ResourceAttributes {
            verb: "get",
            group: "example.com",
            resource,
            namespace: "namespace-999",
            name: "x",
            ..ResourceAttributes::default()
        };
        let asked = Attributes::from(asked);
        ensure!(roles.verdict(&user, &asked).allowed == allowed, "{what}: the question is a wrong one");
        println!("  {what:13} {:8.0} ns a decision", nanoseconds(settings, || roles.allows(&user, black_box(&asked))));
    }
    Ok(())
}

/// The median of many batches, a decision.
fn nanoseconds(settings: &Settings, decide: impl Fn() -> bool) -> f64 {
    let (until, mut batches) = (Instant::now() + settings.each, Vec::new());
    while Instant::now() < until {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(decide());
        }
        batches.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
    }
    median(batches)
}

/// Everything that the state of the first half holds.
fn objects() -> impl Iterator<Item = Object> {
    let roles = (0..ROLES).map(|role| {
        let rule = |rule: usize| PolicyRule {
            verbs: ["get", "list", "watch"].map(str::to_owned).into(),
            api_groups: vec!["example.com".to_owned()],
            resources: vec![format!("resource-{role}-{rule}")],
            ..PolicyRule::default()
        };
        let name = Some(named("", format!("role-{role}")));
        Object::from(ClusterRole { metadata: name, rules: (0..RULES).map(rule).collect(), ..ClusterRole::default() })
    });
    roles.chain((0..BINDINGS).map(|number| {
        let (name, role) = (format!("binding-{number}"), format!("role-{}", number % ROLES));
        let to = [("User", format!("user-{number}")), ("Group", format!("group-{}", number % GROUPS))];
        let namespace = if number % 10 == 0 { String::new() } else { format!("namespace-{}", number % NAMESPACES) };
        binding(&namespace, name, &role, to)
    }))
}

fn named(namespace: &str, name: String) -> meta_v1::ObjectMeta {
    meta_v1::ObjectMeta { name, namespace: namespace.to_owned(), ..meta_v1::ObjectMeta::default() }
}

/// A binding to a ClusterRole; without a namespace for the whole cluster.
fn binding<const N: usize>(namespace: &str, name: String, role: &str, to: [(&str, String); N]) -> Object {
    let metadata = Some(named(namespace, name));
    let role_ref = Some(RoleRef { api_group: GROUP.into(), kind: "ClusterRole".into(), name: role.into() });
    let subject = |(kind, name): (&str, String)| Subject {
        api_group: GROUP.into(),
        kind: kind.into(),
        name,
        namespace: String::new(),
    };
    let subjects = to.map(subject).into();
    if namespace.is_empty() {
        ClusterRoleBinding { metadata, subjects, role_ref }.into()
    } else {
        RoleBinding { metadata, subjects, role_ref }.into()
    }
}

/// Gives the asker what it needs among as many bindings of others.
async fn bind(group: &Group) -> Result<()> {
    let doors = group.doors(CONNECTIONS, Reach::Leader).await?;
    let mut workers = JoinSet::new();
    for (worker, door) in doors.into_iter().enumerate() {
        workers.spawn(async move {
            let Door::Kapelle(client) = door else { return Ok(()) };
            for number in (worker..BINDINGS).step_by(CONNECTIONS) {
                let to = [("User", format!("user-{number}")), ("Group", format!("group-{}", number % GROUPS))];
                client.create(binding("default", format!("binding-{number}"), "view", to)).await?;
            }
            if worker == 0 {
                let to = [("User", ASKER.to_owned())];
                client.create(binding("default", "asker".to_owned(), "edit", to)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// Reads of all members and writes of the leader: by a user among the bindings, by an administrator, and of the earlier build.
async fn requests(groups: &[Group], settings: &Settings) -> Result<()> {
    let user = groups[0].user(ASKER, &["group-999"]).await?;
    let mut who = vec![(&groups[0], Some(user), "a user".to_owned()), (&groups[0], None, "an admin".to_owned())];
    who.extend(groups[1..].iter().map(|group| (group, None, format!("{}, admin", group.name()))));
    for (what, reach) in [("reads", Reach::Spread), ("writes", Reach::Leader)] {
        let mut outcomes = vec![Vec::new(); who.len()];
        for _ in 0..settings.rounds {
            for ((group, user, _), outcomes) in who.iter().zip(&mut outcomes) {
                let doors = match user {
                    Some(user) => group.doors_of(user, CONNECTIONS, reach).await?,
                    None => group.doors(CONNECTIONS, reach).await?,
                };
                let ask = move |client: usize, count: u64| {
                    let door = doors[client % doors.len()].clone();
                    async move {
                        match reach {
                            Reach::Leader => door.put(client as u64, value(count)).await,
                            Reach::Spread | Reach::Any => door.get((client as u64 * 61 + count) % 1_000).await,
                        }
                    }
                };
                outcomes.push(load::run(CLIENTS, settings.each, || group.cpu(), ask).await);
            }
        }
        let middle = who.iter().zip(&outcomes).map(|((_, _, name), of)| (name.clone(), Outcome::middle(of)));
        table::outcomes(what, &middle.collect::<Vec<_>>());
    }
    Ok(())
}

/// How long after the answer to whoever gave or took a binding each member does as it says.
async fn in_force(group: &Group, settings: &Settings) -> Result<()> {
    let late = group.user("late", &[]).await?;
    let doors = group.doors_of(&late, 3, Reach::Spread).await?;
    let Door::Kapelle(writer) = group.doors(1, Reach::Leader).await?.remove(0) else { return Ok(()) };
    let (mut given, mut taken) = (Vec::new(), Vec::new());
    for turn in 0..TURNS * settings.rounds {
        let name = format!("late-{turn}");
        writer.create(binding("default", name.clone(), "view", [("User", "late".to_owned())])).await?;
        given.push(until_all(&doors, true).await?);
        let key = Key::namespaced(Kind::RoleBinding, "default", name);
        writer.delete(&key, &DeleteOptions::default()).await?;
        taken.push(until_all(&doors, false).await?);
    }
    for (what, mut times) in [("given", given), ("taken", taken)] {
        times.sort_by(f64::total_cmp);
        let (middle, worst) = (median(times.clone()), times.last().copied().unwrap_or(f64::NAN));
        println!("  a binding {what} counts on all members after {middle:.1} ms (p50), {worst:.1} ms (the worst)");
    }
    Ok(())
}

/// Milliseconds until every member allows, or refuses, what the binding gives.
async fn until_all(doors: &[Door], allowed: bool) -> Result<f64> {
    let start = Instant::now();
    let mut members = JoinSet::new();
    for door in doors.iter().cloned() {
        members.spawn(async move {
            let Door::Kapelle(client) = door else { return Ok(()) };
            loop {
                let is_allowed = match client.get(&key(1)).await {
                    Ok(_) => true,
                    Err(error) if error.reason == Reason::Forbidden => false,
                    Err(error) => return Err(anyhow::Error::from(error)),
                };
                if is_allowed == allowed {
                    return Ok(());
                }
                ensure!(start.elapsed() < PATIENCE, "a binding does not count on a member");
            }
        });
    }
    while let Some(member) = members.join_next().await {
        member??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
