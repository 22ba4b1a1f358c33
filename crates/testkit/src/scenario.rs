//! Stories in text files: commands, and what comes of them.
//!
//! A file begins with lines that say what it shows; the last names the controllers that it shows at work. Then follow blocks, with an empty line between them: a command, whatever
//! it reads, a line `----`, and what it answers. `UPDATE_EXPECT=1` writes the answers anew; look at the difference before
//! you keep it.
//!
//! | command | |
//! |---|---|
//! | `nodes n1 n2 cpu=2 memory=4Gi pods=10` | nodes join |
//! | `behaviour IMAGE start=2s ready=never end=5s:1 stop=3s` | how containers of an image behave |
//! | `apply`, with a manifest below it | as `kubectl apply` |
//! | `scale NAME 5`, `image NAME hello:2`, `pause NAME`, `resume NAME` | changes of a Deployment |
//! | `delete KIND/NAME [background\|foreground\|orphan]` | |
//! | `cordon NODE`, `uncordon NODE`, `cut-off NODE`, `bring-back NODE` | |
//! | `masters 10.0.0.1:6443 10.0.0.2:6443` | where the masters serve the API |
//! | `backends v1.example.org v1beta1.example.org=why` | which backends of the API answer well, and which why not |
//! | `kill NODE` | the worker is cut off, and the masters see that its process has ended |
//! | `crash NAME`, `delete-pod NAME` | the first Pod of a Deployment ends with code 1, or is deleted |
//! | `restart-control` | the controllers start again, knowing nothing |
//! | `hold NAME 3` | from now on at least three Pods labelled `app: NAME` must be ready at every step |
//! | `advance 5s` | time passes; answers what the controllers said |
//! | `show KIND/NAME`, `show KIND/NAMESPACE/NAME` | how old an object is, what a ConfigMap holds, what is said of a flow schema, what is used of a quota, and what is doubtful in a policy |
//! | `api-services` | who serves the versions of the API, and whether they do |
//! | `approve NAME`, `certificates` | a CertificateSigningRequest is approved; what became of each |
//! | `pods`, `sets`, `rollout NAME`, `endpoints NAME`, `listed NAME`, `events`, `objects` | what there is |
//! | `settled` | whether everything has become what was wanted |

use std::{collections::BTreeMap, iter::repeat, net::SocketAddr, time::Duration};

use api::{
    Key, Kind, Propagation, Timestamp,
    admissionregistration_v1::ValidatingAdmissionPolicy,
    apiregistration_v1::ApiService,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestCondition, PodCertificateRequest},
    core_v1::{self, EndpointAddress, EndpointSubset, Endpoints, Pod},
    flowcontrol_v1::FlowSchema,
    kinds::{Resource, certificates::certificate_signing_request::APPROVED},
    meta_v1::ObjectMeta,
    table,
    well_known::{DEFAULT_SERVICE_ACCOUNT, NAMESPACES, REVISION_ANNOTATION, ROOT_CA_CONFIG_MAP, SERVICE_NAME_LABEL},
};

use crate::{Behaviour, Cluster, Weather};

/// What separates a command from its answer.
const RULE: &str = "----";

/// The room of a node that does not say.
const ROOM: [(&str, &str); 3] = [("cpu", "2"), ("memory", "4Gi"), ("pods", "10")];

/// Runs a story and answers it with the answers that came.
///
/// # Errors
/// If it cannot be read; says at which command.
pub fn run(text: &str) -> Result<String, String> {
    let mut cluster = Cluster::new(1, Weather { delay_ms_max: 2, ..Weather::default() });
    let (header, blocks) = parse(text);
    let mut told = vec![header];
    for block in blocks {
        let answer = command(&mut cluster, &block).map_err(|why| format!("`{}`: {why}", block.command))?;
        let body = if block.body.is_empty() { String::new() } else { format!("{}\n", block.body) };
        let answer = answer.trim_end();
        let end = if answer.is_empty() { "\n" } else { "\n\n" };
        told.push(format!("{}\n{body}{RULE}\n{answer}{end}", block.command));
    }
    let told = told.concat();
    Ok(format!("{}\n", told.trim_end()))
}

#[derive(Debug)]
struct Block {
    command: String,
    body: String,
}

fn parse(text: &str) -> (String, Vec<Block>) {
    let is_header = |line: &&str| line.starts_with('#') || line.trim().is_empty();
    let header: String = text.lines().take_while(is_header).map(|line| format!("{line}\n")).collect();
    let mut lines = text.lines().skip_while(is_header).peekable();
    let mut blocks = Vec::new();
    while let Some(command) = lines.next() {
        if command.trim().is_empty() {
            continue;
        }
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != RULE).collect();
        while lines.next_if(|line| !line.is_empty()).is_some() {}
        blocks.push(Block { command: command.to_owned(), body: body.join("\n") });
    }
    (header, blocks)
}

fn command(cluster: &mut Cluster, block: &Block) -> Result<String, String> {
    let words: Vec<&str> = block.command.split_whitespace().collect();
    let say = |result: Result<(), api::Error>| Ok(result.map_or_else(|error| error.to_string(), |()| String::new()));
    match *words.as_slice() {
        ["nodes", ref words @ ..] => join(cluster, words),
        ["behaviour", image, ref words @ ..] => behave(cluster, image, words),
        ["apply"] => Ok(cluster.apply(&block.body).map_or_else(|error| error.to_string(), |lines| lines.join("\n"))),
        ["scale", name, replicas] => {
            let replicas = replicas.parse().map_err(|_| format!("{replicas} is no number"))?;
            say(cluster.change(name, |deployment| deployment.spec.get_or_insert_default().replicas = Some(replicas)))
        }
        ["image", name, image] => say(set_image(cluster, name, image)),
        ["pause", name] => say(set_paused(cluster, name, true)),
        ["resume", name] => say(set_paused(cluster, name, false)),
        ["delete", what] => say(cluster.delete(key(what)?, Propagation::Background)),
        ["delete", what, how] => say(cluster.delete(key(what)?, propagation(how)?)),
        ["cordon", node] => say(cluster.cordon(node, true)),
        ["uncordon", node] => say(cluster.cordon(node, false)),
        ["cut-off", node] => done(|| cluster.cut_off(node)),
        ["masters", ref addresses @ ..] => masters(cluster, addresses),
        ["backends", ref words @ ..] => backends(cluster, words),
        ["kill", node] => done(|| cluster.kill(node)),
        ["bring-back", node] => done(|| cluster.bring_back(node)),
        ["crash", name] => first_pod(cluster, name).and_then(|pod| done(|| cluster.crash(&pod, 1))),
        ["delete-pod", name] => {
            first_pod(cluster, name).and_then(|pod| say(cluster.delete(pod, Propagation::Background)))
        }
        ["restart-control"] => done(|| cluster.restart_control()),
        ["hold", name, least] => {
            let least = least.parse().map_err(|_| format!("{least} is no number"))?;
            done(|| cluster.hold(name, least))
        }
        ["advance", time] => Ok(advance(cluster, duration(time)?)),
        ["pods"] => Ok(pods(cluster)),
        ["sets"] => Ok(sets(cluster)),
        ["rollout", name] => rollout(cluster, name),
        ["endpoints", name] => Ok(endpoints(cluster, name)),
        ["show", what] => Ok(show(cluster, &key(what)?)),
        ["listed", name] => Ok(listed(cluster, name)),
        ["api-services"] => Ok(api_services(cluster)),
        ["approve", name] => say(approve(cluster, name)),
        ["certificates"] => Ok(certificates(cluster)),
        ["events"] => Ok(events(cluster)),
        ["objects"] => Ok(objects(cluster)),
        ["settled"] => Ok(cluster.settled().map_or_else(|why| why, |()| "yes".to_owned())),
        _ => Err("no such command; the list is at the top of crates/testkit/src/scenario.rs".to_owned()),
    }
}

fn done(deed: impl FnOnce()) -> Result<String, String> {
    deed();
    Ok(String::new())
}

fn join(cluster: &mut Cluster, words: &[&str]) -> Result<String, String> {
    let mut room: BTreeMap<&str, &str> = ROOM.into();
    room.extend(words.iter().filter_map(|word| word.split_once('=')));
    let room: Vec<(&str, &str)> = room.into_iter().collect();
    for name in words.iter().filter(|word| !word.contains('=')) {
        cluster.add_node(name, &room);
    }
    Ok(String::new())
}

fn masters(cluster: &mut Cluster, words: &[&str]) -> Result<String, String> {
    let address = |word: &&str| word.parse().map_err(|_| format!("{word} is no ADDRESS:PORT"));
    let addresses: Vec<SocketAddr> = words.iter().map(address).collect::<Result<_, _>>()?;
    done(|| cluster.find_masters(addresses))
}

fn backends(cluster: &mut Cluster, words: &[&str]) -> Result<String, String> {
    let answer = |word: &&str| match word.split_once('=') {
        Some((name, why)) => (name.to_owned(), Err(why.replace('_', " "))),
        None => ((*word).to_owned(), Ok(())),
    };
    done(|| cluster.hear_backends(words.iter().map(answer).collect()))
}

fn api_services(cluster: &Cluster) -> String {
    let now = cluster.now;
    let row = |service: ApiService| {
        let cells = table::row(&service.into(), now);
        let [name, to, available] = [0, 1, 2].map(|column| cells[column].to_string());
        format!("{name} by {to}: {available}\n")
    };
    cluster.all::<ApiService>().into_iter().map(row).collect()
}

/// Each request for a certificate: by whom it is signed, and what became of it.
fn certificates(cluster: &Cluster) -> String {
    let now = cluster.now;
    let row = |request: CertificateSigningRequest| {
        let cells = table::row(&request.into(), now);
        let [name, signer, life, condition] = [0, 2, 4, 5].map(|column| cells[column].to_string());
        format!("{name} by {signer} for {life}: {condition}\n")
    };
    let of_pod = |request: PodCertificateRequest| {
        let cells = table::row(&request.into(), now);
        let [name, pod, signer, state] = [0, 1, 4, 5].map(|column| cells[column].to_string());
        format!("{name} for Pod {pod} by {signer}: {state}\n")
    };
    let of_pods = cluster.all::<PodCertificateRequest>().into_iter().map(of_pod);
    cluster.all::<CertificateSigningRequest>().into_iter().map(row).chain(of_pods).collect()
}

fn behave(cluster: &mut Cluster, image: &str, words: &[&str]) -> Result<String, String> {
    let mut behaviour = Behaviour::default();
    for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
        match (name, value) {
            ("start", time) => behaviour.start = duration(time)?,
            ("ready", "never") => behaviour.ready = None,
            ("ready", time) => behaviour.ready = Some(duration(time)?),
            ("stop", time) => behaviour.stop = duration(time)?,
            ("end", end) => {
                let (time, code) = end.split_once(':').ok_or("end=TIME:CODE")?;
                behaviour.end = Some((duration(time)?, code.parse().map_err(|_| format!("{code} is no exit code"))?));
            }
            _ => return Err(format!("{name} is no behaviour; use start, ready, end or stop")),
        }
    }
    cluster.behaviours.insert(image.to_owned(), behaviour);
    Ok(String::new())
}

fn duration(text: &str) -> Result<Duration, String> {
    let why = || format!("{text} is no time; write 300ms, 5s, 2m or 1h");
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().map_err(|_| why())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err(why()),
    }
}

fn key(what: &str) -> Result<Key, String> {
    let (kind, name) = what.split_once('/').ok_or("write KIND/NAME")?;
    let kind = Kind::from_word(kind).ok_or_else(|| format!("{kind} is no kind"))?;
    let usual = if kind.info().namespaced { "default" } else { "" };
    let (namespace, name) = name.split_once('/').unwrap_or((usual, name));
    Ok(Key::namespaced(kind, namespace, name))
}

fn propagation(how: &str) -> Result<Propagation, String> {
    match how {
        "background" => Ok(Propagation::Background),
        "foreground" => Ok(Propagation::Foreground),
        "orphan" => Ok(Propagation::Orphan),
        _ => Err(format!("{how} is no propagation; use background, foreground or orphan")),
    }
}

fn set_image(cluster: &mut Cluster, name: &str, image: &str) -> Result<(), api::Error> {
    cluster.change(name, |deployment| {
        let template = deployment.spec.get_or_insert_default().template.get_or_insert_default();
        for container in &mut template.spec.get_or_insert_default().containers {
            image.clone_into(&mut container.image);
        }
    })
}

fn approve(cluster: &mut Cluster, name: &str) -> Result<(), api::Error> {
    let status = "True".to_owned();
    let approved = CertificateSigningRequestCondition { r#type: APPROVED.to_owned(), status, ..Default::default() };
    cluster.approve(name, approved)
}

fn set_paused(cluster: &mut Cluster, name: &str, paused: bool) -> Result<(), api::Error> {
    cluster.change(name, |deployment| deployment.spec.get_or_insert_default().paused = paused)
}

fn first_pod(cluster: &Cluster, name: &str) -> Result<Key, String> {
    let pods = cluster.all::<Pod>();
    let of = |pod: &&Pod| label(pod.metadata.as_ref(), "app") == name;
    pods.iter().find(of).map(Resource::key).ok_or_else(|| format!("there is no Pod labelled app={name}"))
}

fn advance(cluster: &mut Cluster, time: Duration) -> String {
    let outcome = cluster.advance(time);
    let mut story = cluster.take_story();
    story.extend(outcome.err().map(|broken| format!("BROKEN {broken}")));
    story.join("\n")
}

fn label<'a>(meta: Option<&'a ObjectMeta>, name: &str) -> &'a str {
    meta.and_then(|meta| meta.labels.get(name)).map_or("", String::as_str)
}

pub(crate) fn pods(cluster: &Cluster) -> String {
    let line = |pod: Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let ready = if api::pod::is_ready(&pod) { ", ready" } else { "" };
        let leaving = if api::pod::is_terminating(&pod) { ", leaving" } else { "" };
        let restarts = match api::pod::restarts(&pod) {
            0 => String::new(),
            count => format!(", restarted {count}x"),
        };
        let node = api::pod::node_name(&pod).map_or(String::new(), |node| format!(" on {node}"));
        let phase = if status.phase.is_empty() { "Pending" } else { &status.phase };
        format!("{}: {phase}{node}{ready}{leaving}{restarts}\n", pod.name())
    };
    cluster.all::<Pod>().into_iter().map(line).collect()
}

pub(crate) fn sets(cluster: &Cluster) -> String {
    let line = |set: api::apps_v1::ReplicaSet| {
        let (spec, status) = (set.spec.clone().unwrap_or_default(), set.status.clone().unwrap_or_default());
        let images = spec.template.and_then(|template| template.spec).map(|spec| spec.containers).unwrap_or_default();
        let image = images.first().map_or("", |container| container.image.as_str()).to_owned();
        let meta = set.metadata.clone().unwrap_or_default();
        let revision = meta.annotations.get(REVISION_ANNOTATION).cloned().unwrap_or_default();
        let (wanted, ready) = (spec.replicas.unwrap_or(1), status.ready_replicas);
        format!("{}: revision {revision}, {image}, wants {wanted}, {ready} ready\n", set.name())
    };
    cluster.all::<api::apps_v1::ReplicaSet>().into_iter().map(line).collect()
}

fn rollout(cluster: &Cluster, name: &str) -> Result<String, String> {
    let all = cluster.all::<api::apps_v1::Deployment>();
    let deployment = all.iter().find(|deployment| deployment.name() == name).ok_or("there is no such Deployment")?;
    let status = deployment.status.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "{} Pods, {} updated, {} ready, {} available, {} unavailable",
        status.replicas,
        status.updated_replicas,
        status.ready_replicas,
        status.available_replicas,
        status.unavailable_replicas
    )];
    for condition in status.conditions {
        let api::apps_v1::DeploymentCondition { r#type, status, reason, message, .. } = condition;
        lines.push(format!("{}={status} {reason}: {message}", r#type));
    }
    Ok(lines.join("\n"))
}

fn endpoints(cluster: &Cluster, service: &str) -> String {
    let slices = cluster.all::<api::discovery_v1::EndpointSlice>();
    let own = slices.iter().filter(|slice| label(slice.metadata.as_ref(), SERVICE_NAME_LABEL) == service);
    let line = |endpoint: &api::discovery_v1::Endpoint| {
        let conditions = endpoint.conditions.unwrap_or_default();
        let is = |holds: bool, word: &'static str| if holds { word } else { "" };
        let node = endpoint.node_name();
        let (ready, terminating) = (is(conditions.ready(), " ready"), is(conditions.terminating(), " terminating"));
        format!("{} on {node}{ready}{terminating}\n", endpoint.addresses.join(","))
    };
    own.flat_map(|slice| &slice.endpoints).map(line).collect()
}

/// What the Endpoints of a name list, a line for addresses with the same ports.
fn listed(cluster: &Cluster, name: &str) -> String {
    let ips = |addresses: &[EndpointAddress]| {
        addresses.iter().map(|address| address.ip.as_str()).collect::<Vec<_>>().join(",")
    };
    let line = |subset: &EndpointSubset| {
        let ports: Vec<String> = subset.ports.iter().map(|port| port.port.to_string()).collect();
        let (ready, others) = (ips(&subset.addresses), ips(&subset.not_ready_addresses));
        format!("ports {}, ready [{ready}], not ready [{others}]\n", ports.join(","))
    };
    let all = cluster.all::<Endpoints>();
    all.iter().filter(|endpoints| endpoints.name() == name).flat_map(|endpoints| &endpoints.subsets).map(line).collect()
}

/// What was said and is kept, and how often it was said.
fn events(cluster: &Cluster) -> String {
    let line = |event: core_v1::Event| format!("{} x{}: {}\n", event.reason, event.count, event.message);
    cluster.all::<core_v1::Event>().into_iter().map(line).collect()
}

/// How old an object is, and what is in it if it is a ConfigMap.
fn show(cluster: &Cluster, key: &Key) -> String {
    let Some(object) = cluster.view().get(key).map(|record| record.object()) else {
        return format!("there is no {key}");
    };
    let made = object.metadata().and_then(|meta| meta.creation_timestamp.as_ref()).map(Timestamp::from);
    let mut lines = vec![format!("{key}, {}s old", cluster.now.since(made.unwrap_or(cluster.now)).as_secs())];
    let map = object.get::<core_v1::ConfigMap>();
    lines.extend(map.iter().flat_map(|map| &map.data).map(|(key, value)| format!("{key}: {value}")));
    let schema = object.get::<FlowSchema>().and_then(|schema| schema.status.as_ref());
    let said = schema.into_iter().flat_map(|status| &status.conditions);
    lines.extend(said.map(|said| format!("{}: {}, {}", said.r#type, said.status, said.message)));
    let quota = object.get::<core_v1::ResourceQuota>().and_then(|quota| quota.status.as_ref());
    lines.extend(quota.into_iter().flat_map(|status| &status.hard).zip(repeat(quota)).map(|((name, hard), status)| {
        let used = status.and_then(|status| status.used.get(name)).map_or("?", |used| &used.string);
        format!("{name}: {used}/{}", hard.string)
    }));
    let status = object.get::<ValidatingAdmissionPolicy>().and_then(|policy| policy.status.as_ref());
    let doubts = status.into_iter().flat_map(|status| &status.type_checking).flat_map(|told| &told.expression_warnings);
    lines.extend(doubts.map(|told| {
        let first = told.warning.lines().next().unwrap_or_default();
        format!("{}: {first}", told.field_ref)
    }));
    lines.join("\n")
}

/// Everything but what every cluster has and what was said.
fn objects(cluster: &Cluster) -> String {
    let view = cluster.view();
    let kinds = view.kinds().filter(|kind| !matches!(kind, Kind::Namespace | Kind::Node | Kind::Event));
    let keys = kinds.flat_map(|kind| view.list(kind, None, None).map(|record| &record.key));
    keys.filter(|key| !is_in_every_cluster(key)).map(|key| format!("{key}\n")).collect()
}

/// Whether an object is what each of the namespaces has that every cluster has.
fn is_in_every_cluster(key: &Key) -> bool {
    let given = [(Kind::ServiceAccount, DEFAULT_SERVICE_ACCOUNT), (Kind::ConfigMap, ROOT_CA_CONFIG_MAP)];
    NAMESPACES.contains(&&*key.namespace) && given.contains(&(key.kind, &*key.name))
}
