//! Times decisions about users who have what roles give: `cargo run --release -p registry --example rights -- --bindings 10000`.
//! The whole way is timed that each request takes: the view of the state, the index of its roles, and the rules.

use std::{error::Error, process::ExitCode, sync::Arc, time::Instant};

use api::{
    Key, Kind, Object, Timestamp, Verb, Write,
    kinds::Resource as _,
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject},
};
use registry::{Access, Caller, Membership, Options, QUOTA_BYTES, Registry, User, open};

/// How many decisions are timed together.
const DECISIONS: u32 = 100_000;

/// How many namespaces the bindings are in.
const NAMESPACES: usize = 100;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bindings = match arguments.as_slice() {
        [] => Some(10_000),
        [flag, count] if flag == "--bindings" => count.parse().ok().filter(|count| *count > 0),
        _ => None,
    };
    let Some(bindings) = bindings else {
        eprintln!("usage: rights [--bindings COUNT]");
        return ExitCode::FAILURE;
    };
    match measure(bindings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(bindings: usize) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let now = || Timestamp(1_700_000_000_000);
    let options = Options { service_cidr: "127.128.0.0/12".parse()?, quota_bytes: QUOTA_BYTES, now };
    let registry = open(dir.path(), options, Membership::default())?;
    registry.bootstrap().await?;
    let roles = (0..20).map(|number| role(&format!("role-{number}"), number));
    let namespaces = (0..NAMESPACES).map(|number| {
        let mut namespace = api::core_v1::Namespace::default();
        namespace.metadata_mut().name = format!("ns-{number}");
        namespace.into()
    });
    let given = (0..bindings).map(|number| binding(number, &format!("ns-{}", number % NAMESPACES)));
    create(&registry, roles.chain(namespaces).collect()).await?;
    create(&registry, given.chain([everybody()]).collect()).await?;
    for (what, user, namespace) in [
        ("a user with one binding, allowed", "user-0", "ns-0"),
        ("a user with one binding, in another namespace, refused", "user-0", "ns-1"),
        ("a user of many, refused", "stranger", "ns-0"),
    ] {
        time(&registry, what, user, namespace).await;
    }
    let started = Instant::now();
    create(&registry, vec![binding(bindings, "ns-0")]).await?;
    let written = started.elapsed();
    let key = Key::namespaced(Kind::Pod, "ns-0", "p");
    let started = Instant::now();
    let _ = ann(&registry, "user-0").authorise(Access::to(Verb::Get, &key)).await;
    println!("the first decision after a new binding: {:?} (writing it: {written:?})", started.elapsed());
    registry.shutdown().await;
    Ok(())
}

async fn time(registry: &Registry, what: &str, user: &str, namespace: &str) {
    let (asks, key) = (ann(registry, user), Key::namespaced(Kind::Pod, namespace, "p"));
    let mut allowed = 0;
    let started = Instant::now();
    for _ in 0..DECISIONS {
        allowed += u32::from(asks.authorise(Access::to(Verb::Get, &key)).await.is_ok());
    }
    let each = started.elapsed() / DECISIONS;
    println!("{what}: {:.3} µs a decision ({allowed} of {DECISIONS} allowed)", each.as_secs_f64() * 1e6);
}

fn ann(registry: &Registry, name: &str) -> Registry {
    let groups = ["system:authenticated", "devs", "ops"].map(str::to_owned).to_vec();
    registry.for_caller(Caller::User(Arc::new(User { name: name.to_owned(), groups, ..User::default() })))
}

async fn create(registry: &Registry, objects: Vec<Object>) -> Result<(), api::Error> {
    for part in objects.chunks(1000) {
        let writes = part.iter().cloned().map(Write::Create).collect();
        registry.submit_all(writes).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// A role of as many rules as `edit` has, of which the last allows what is asked.
fn role(name: &str, number: usize) -> Object {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut rules: Vec<PolicyRule> = (0..30)
        .map(|rule| PolicyRule {
            verbs: words(&["get", "list", "watch"]),
            api_groups: vec![format!("group-{rule}.example.org")],
            resources: (0..8).map(|resource| format!("things{resource}-{number}")).collect(),
            ..PolicyRule::default()
        })
        .collect();
    rules.push(PolicyRule {
        verbs: words(&["get", "list", "watch"]),
        api_groups: words(&[""]),
        resources: words(&["pods", "services", "configmaps"]),
        ..PolicyRule::default()
    });
    let mut role = ClusterRole { rules, ..ClusterRole::default() };
    name.clone_into(&mut role.metadata_mut().name);
    role.into()
}

fn reference(name: &str) -> RoleRef {
    RoleRef { kind: "ClusterRole".to_owned(), name: name.to_owned(), ..RoleRef::default() }
}

fn subject(kind: &str, name: &str) -> Subject {
    Subject { kind: kind.to_owned(), name: name.to_owned(), ..Subject::default() }
}

fn binding(number: usize, namespace: &str) -> Object {
    let mut binding = RoleBinding {
        role_ref: Some(reference(&format!("role-{}", number % 20))),
        subjects: vec![subject("User", &format!("user-{number}"))],
        ..RoleBinding::default()
    };
    (binding.metadata_mut().name, binding.metadata_mut().namespace) = (format!("b-{number}"), namespace.to_owned());
    binding.into()
}

/// What everybody has: nothing of what is asked.
fn everybody() -> Object {
    let mut binding = ClusterRoleBinding {
        role_ref: Some(reference("nothing")),
        subjects: vec![subject("Group", "system:authenticated")],
        ..ClusterRoleBinding::default()
    };
    "everybody".clone_into(&mut binding.metadata_mut().name);
    binding.into()
}
