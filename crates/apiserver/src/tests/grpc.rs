//! The whole way of a request: client, HTTP/2 on loopback, Registry, log, state, and back.

use api::{ChangeType, DeleteOptions, Key, Kind, PatchKind, Reason, Subresource, core_v1, kinds::Resource as _};
use futures::StreamExt as _;
use rpc::{Query, Update};

use super::{Server, config_map, pod, soon};

fn key(name: &str) -> Key {
    Key::namespaced(Kind::ConfigMap, "default", name)
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let server = Server::new().await;
    let client = server.client();

    let created = client.create(config_map("a", "1")).await.unwrap();
    assert_eq!(client.get(&key("a")).await.unwrap(), created);
    assert_eq!(client.create(config_map("a", "1")).await.unwrap_err().reason, Reason::AlreadyExists);

    let updated = client.update(config_map("a", "2"), Subresource::None).await.unwrap();
    assert!(updated.revision() > created.revision());
    let stale = client.update(created.clone(), Subresource::None).await.unwrap_err();
    assert_eq!((stale.reason, &stale.about.unwrap().name), (Reason::Conflict, &"a".into()));

    let list = client.list(&Query::all(Kind::ConfigMap)).await.unwrap();
    assert_eq!(list.items, [updated]);

    let deleted = client.delete(&key("a"), &DeleteOptions::default()).await.unwrap();
    assert_eq!((deleted.object, deleted.uid), (None, created.metadata().unwrap().uid.clone()));
    assert_eq!(client.get(&key("a")).await.unwrap_err().message, "configmaps \"a\" not found");
}

#[tokio::test]
async fn a_watch_tells_what_is_and_then_what_happens() {
    let server = Server::new().await;
    let client = server.client();
    client.create(config_map("old", "1")).await.unwrap();
    let mut updates = Box::pin(client.watch(Query::all(Kind::ConfigMap), None));
    let mut seen = Vec::new();
    loop {
        match soon(updates.next()).await.unwrap().unwrap() {
            Update::Changes(changes) => {
                seen.extend(changes.iter().map(|change| (change.change, change.object.key().name.to_string())));
                if changes.iter().any(|change| change.change == ChangeType::Deleted) {
                    break;
                }
            }
            Update::Synced(_) => {
                client.create(config_map("new", "1")).await.unwrap();
                client.delete(&key("old"), &DeleteOptions::default()).await.unwrap();
            }
            Update::Restarted => panic!("nothing was lost"),
        }
    }
    let expected = [(ChangeType::Added, "old"), (ChangeType::Added, "new"), (ChangeType::Deleted, "old")];
    assert_eq!(seen, expected.map(|(change, name)| (change, name.to_owned())));
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches_and_another_one_carries_them_on() {
    let server = Server::new().await;
    let second = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let urls = [server.url.clone(), format!("https://{}", second.local_addr().unwrap())];
    let client = rpc::Client::connect_with(&urls, rpc::Security::Tls(server.pki.admin())).unwrap();
    let mut updates = Box::pin(client.watch(Query::all(Kind::ConfigMap), None));
    assert!(matches!(soon(updates.next()).await.unwrap().unwrap(), Update::Synced(_)));

    server.shutdown.cancel();
    soon(server.running).await.unwrap().unwrap();
    server.house.registry.shutdown().await;

    // Another process on the same directory.
    let (registry, images) = super::opened(server.house.dir.path(), super::options()).await;
    let setup = server.pki.setup(registry, images);
    tokio::spawn(crate::serve(second, setup, tokio_util::sync::CancellationToken::new()));
    soon(client.create(config_map("a", "1"))).await.unwrap();
    let Update::Changes(changes) = soon(updates.next()).await.unwrap().unwrap() else { panic!("a change") };
    assert_eq!(changes[0].object.key(), key("a"));
}

#[tokio::test]
async fn a_batch_answers_each_write() {
    let server = Server::new().await;
    let client = server.client();
    client.create(config_map("gone", "1")).await.unwrap();
    let writes = vec![
        api::Write::Create(config_map("a", "1")),
        api::Write::Create(config_map("gone", "1")),
        api::Write::Delete(key("gone"), DeleteOptions::default()),
        api::Write::Delete(key("never"), DeleteOptions::default()),
    ];
    let outcomes = client.batch(writes).await.unwrap();
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map(|object| object.key().name.to_string()).map_err(|error| error.reason))
        .collect();
    assert_eq!(told[0], Ok("a".to_owned()));
    // The writes of a batch are independent: the name may be free already or not yet.
    assert!(matches!(&told[1], Ok(_) | Err(Reason::AlreadyExists)));
    assert_eq!(told[2..], [Ok("gone".to_owned()), Err(Reason::NotFound)]);
}

#[tokio::test]
async fn lists_come_in_pages_of_one_state() {
    let server = Server::new().await;
    let client = server.client();
    for name in ["a", "b", "c"] {
        client.create(config_map(name, "1")).await.unwrap();
    }
    let query = Query::all(Kind::ConfigMap);
    let first = client.page(&query, 2, String::new()).await.unwrap();
    assert_eq!((first.items.len(), first.remaining_item_count), (2, Some(1)));
    client.delete(&key("c"), &DeleteOptions::default()).await.unwrap();
    let second = client.page(&query, 2, first.r#continue).await.unwrap();
    assert_eq!((second.items.len(), second.r#continue.as_str()), (1, ""));
    assert_eq!(second.resource_version, first.resource_version);
    let forged = client.page(&query, 2, "zzz".to_owned()).await.unwrap_err();
    assert_eq!(forged.reason, Reason::BadRequest);
}

/// The heartbeat of a node.
fn beat(node: &'static str) -> impl Fn() -> rpc::services::HeartbeatRequest + Send + 'static {
    move || rpc::services::HeartbeatRequest { node: node.to_owned(), ..Default::default() }
}

/// Says to a server that a node is alive until the handle is aborted; yields once it was heard.
async fn beating(server: &Server, node: &'static str) -> tokio::task::JoinHandle<api::Error> {
    let (client, url) = (server.client(), server.url.clone());
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let beating = tokio::spawn(async move { client.heartbeats(&url, beat(node), |_| _ = tell.send(())).await });
    soon(heard.recv()).await.unwrap();
    beating
}

/// A node whose agent listens at an address.
fn node_at(name: &str, agent: std::net::SocketAddr) -> core_v1::Node {
    let mut node = core_v1::Node::default();
    node.metadata_mut().name = name.to_owned();
    let status = node.status.get_or_insert_default();
    let address = agent.ip().to_string();
    status.addresses = vec![core_v1::NodeAddress { r#type: "InternalIP".to_owned(), address }];
    let kubelet_endpoint = Some(core_v1::DaemonEndpoint { port: agent.port().into() });
    status.daemon_endpoints = Some(core_v1::NodeDaemonEndpoints { kubelet_endpoint });
    node
}

async fn registered(client: &rpc::Client, node: core_v1::Node) {
    client.create(node.clone().into()).await.unwrap();
    client.update(node.into(), Subresource::Status).await.unwrap();
}

#[tokio::test]
async fn heartbeats_renew_a_lease_without_a_write() {
    let server = Server::new().await;
    let client = server.client();
    let refusal = soon(client.heartbeats(&server.url, beat("n1"), |_| {})).await;
    assert_eq!(refusal.reason, Reason::NotFound);
    let mut node = core_v1::Node::default();
    node.metadata_mut().name = "n1".to_owned();
    client.create(node.into()).await.unwrap();
    let mut beats = Box::pin(server.house.registry.heartbeats());
    assert!(soon(beats.next()).await.unwrap().is_empty());
    let before = client.list(&Query::all(Kind::Node)).await.unwrap().revision;

    let _beating = beating(&server, "n1").await;

    assert_eq!(&*soon(beats.next()).await.unwrap()[0].node, "n1");
    let lease = client.get(&Key::namespaced(Kind::Lease, "kube-node-lease", "n1")).await.unwrap();
    let spec = lease.get::<api::coordination_v1::Lease>().unwrap().spec.clone().unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("n1"));
    assert!(spec.renew_time.is_some());
    let all = client.list(&Query::all(Kind::Lease)).await.unwrap();
    assert_eq!((all.items.len(), all.revision), (1, before));
}

#[tokio::test]
async fn a_node_whose_heartbeats_end_is_gone_only_if_nobody_listens_there() {
    let server = Server::new().await;
    let client = server.client();
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    registered(&client, node_at("n1", agent.local_addr().unwrap())).await;
    let mut signs = Box::pin(server.house.registry.heartbeats());

    let first = beating(&server, "n1").await;
    first.abort();
    // The master looks, and meets the agent.
    drop(soon(agent.accept()).await.unwrap());
    let second = beating(&server, "n1").await;
    drop(agent);
    second.abort();

    let gone = async {
        loop {
            let batch = signs.next().await.unwrap();
            if batch.iter().any(|sign| sign.sign == registry::Sign::Gone) {
                // The other masters are not told afterwards that it was heard: it would seem to live again.
                return assert_eq!(server.house.registry.heard(), None);
            }
        }
    };
    soon(gone).await;
    let after = signs.next();
    assert!(futures::FutureExt::now_or_never(after).is_none(), "it was gone once, after its agent had ended");
}

#[tokio::test]
async fn nodes_hear_of_images_that_come() {
    let server = Server::new().await;
    let client = server.client();
    registered(&client, node_at("n1", "127.0.0.1:1".parse().unwrap())).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (node, url) = (server.client(), server.url.clone());
    tokio::spawn(async move { node.heartbeats(&url, beat("n1"), |answer| _ = tell.send(answer)).await });
    assert!(soon(told.recv()).await.unwrap().more_images, "some may have come before");

    client.push("team/hello", "v1", bytes::Bytes::from_static(b"\0asm")).await.unwrap();

    let named = async {
        loop {
            let answer = told.recv().await.unwrap();
            if !answer.images.is_empty() {
                return answer.images;
            }
        }
    };
    assert_eq!(soon(named).await, ["team/hello:v1"]);
}

#[tokio::test]
async fn a_node_hears_who_has_no_route_to_it_as_long_as_they_say_so() {
    let server = Server::new().await;
    let client = server.client();
    for node in ["n1", "n2"] {
        registered(&client, node_at(node, "127.0.0.1:1".parse().unwrap())).await;
    }
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (node, url) = (server.client(), server.url.clone());
    tokio::spawn(async move { node.heartbeats(&url, beat("n1"), |answer| _ = tell.send(answer.unrouted_by)).await });
    let (other, url) = (server.client(), server.url.clone());
    let complaint = || rpc::services::HeartbeatRequest { node: "n2".to_owned(), unrouted: vec!["n1".to_owned()] };
    let complaining = tokio::spawn(async move { other.heartbeats(&url, complaint, |_| {}).await });
    let until = async |told: &mut tokio::sync::mpsc::UnboundedReceiver<Vec<String>>, wanted: &[&str]| {
        while told.recv().await.unwrap() != wanted {}
    };
    soon(until(&mut told, &["n2"])).await;
    complaining.abort();
    soon(until(&mut told, &[])).await;
}

#[tokio::test]
async fn patches_and_manifests_change_what_they_name() {
    let server = Server::new().await;
    let client = server.client().with_field_manager("one");
    let manifest = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"1","y":"2"}}"#;
    let outcome =
        |applied: rpc::Applied| (applied.outcome, applied.object.get::<core_v1::ConfigMap>().unwrap().data.clone());
    let (first, _) = outcome(client.apply(manifest, "default").await.unwrap());
    let (again, _) = outcome(client.apply(manifest, "default").await.unwrap());
    let (changed, data) = outcome(client.apply(manifest.replace(r#","y":"2""#, ""), "default").await.unwrap());
    use api::ApplyOutcome::{Configured, Created, Unchanged};
    assert_eq!((first, again, changed), (Created, Unchanged, Configured));
    assert_eq!(data, [("x".to_owned(), "1".to_owned())].into());

    let (a, patch) = (key("a"), r#"{"data":{"x":null,"z":"3"}}"#);
    let patched = client.patch(&a, PatchKind::Merge, patch, Subresource::None).await.unwrap();
    assert_eq!(patched.get::<core_v1::ConfigMap>().unwrap().data, [("z".to_owned(), "3".to_owned())].into());
    // What was changed otherwise is somebody else's now.
    let conflict = client.apply(manifest.replace("2", "4").replace("y", "z"), "default").await.unwrap_err();
    assert_eq!(conflict.reason, Reason::Conflict);
    assert_eq!(conflict.causes[0].field, ".data.z");
    let nobody = server.client().apply(manifest, "default").await.unwrap_err();
    assert!(nobody.message.contains("fieldManager: Required value"), "{nobody}");
    let misspelt = client.apply(manifest.replace("data", "dataa"), "default").await.unwrap_err();
    assert_eq!(misspelt.reason, Reason::BadRequest);
}

#[tokio::test]
async fn what_a_writer_should_know_stands_in_headers_as_far_as_there_is_room() {
    let server = Server::new().await;
    let (tell, told) = std::sync::mpsc::channel();
    let client = server.client().with_warned(rpc::Warned::new(move |warning| tell.send(warning.to_owned()).unwrap()));
    let warned = |name: &str, containers: usize| {
        let mut object = pod(name);
        let api::Object::Pod(pod) = &mut object else { panic!("a Pod") };
        let spec = pod.spec.as_mut().unwrap();
        let one = core_v1::Container { tty: true, ..spec.containers[0].clone() };
        spec.containers =
            (0..containers).map(|n| core_v1::Container { name: format!("c{n}"), ..one.clone() }).collect();
        object
    };

    client.create(warned("a", 1)).await.unwrap();
    let first: Vec<String> = told.try_iter().collect();
    assert!(first.iter().any(|warning| warning.starts_with("spec.containers[0].tty: ignored")), "{first:?}");

    client.create(warned("b", 100)).await.unwrap();
    let bytes: usize = told.try_iter().map(|warning| warning.len()).sum();
    assert!((rpc::WARNING_BYTES_MAX / 2..=rpc::WARNING_BYTES_MAX).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_log_needs_a_pod_that_has_a_node() {
    let server = Server::new().await;
    let client = server.client();
    client.create(pod("p")).await.unwrap();
    let request = rpc::services::LogRequest { namespace: "default".into(), pod: "p".into(), ..Default::default() };
    let error = client.logs(request).await.err().unwrap();
    assert_eq!(error.message, "pod p does not have a host assigned");
}

/// Defines Widgets, as if the controller had found their names free.
async fn define_widgets(client: &rpc::Client) {
    let manifest = serde_json::json!({
        "metadata": {"name": "widgets.grpc.test"},
        "spec": {
            "group": "grpc.test", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 7}}},
                }}},
            }],
        },
    });
    let kind = Kind::CustomResourceDefinition;
    let definition = api::json::decode(kind, &manifest, api::json::Strictness::Strict).unwrap().object;
    let created = client.create(definition).await.unwrap();
    let mut accepted = created.get::<api::apiextensions_v1::CustomResourceDefinition>().unwrap().clone();
    let names = accepted.spec.as_ref().unwrap().names.clone();
    let status = accepted.status.get_or_insert_default();
    status.accepted_names = names;
    status.conditions = vec![api::conditions::new("Established", true.into(), "", "", api::Timestamp(0))];
    client.update(accepted.into(), Subresource::Status).await.unwrap();
}

fn widget(name: &str, content: &'static str) -> api::Object {
    let mut widget = api::object::CustomObject::default();
    (widget.api_version, widget.kind, widget.content) = ("grpc.test/v1".into(), "Widget".into(), content.into());
    let mut widget = api::Object::from(widget);
    (widget.metadata_mut().name, widget.metadata_mut().namespace) = (name.to_owned(), "default".to_owned());
    widget
}

#[tokio::test]
async fn what_users_define_is_carried_as_json_with_its_type() {
    let server = Server::new().await;
    let client = server.client();
    let unknown = client.create(widget("a", "{}")).await.unwrap_err();
    assert_eq!((unknown.reason, unknown.message.contains("no matches for kind")), (Reason::NotFound, true));
    define_widgets(&client).await;

    let created = client.create(widget("a", "")).await.unwrap();
    let custom = created.custom().unwrap();
    assert_eq!((custom.api_version.as_str(), custom.kind.as_str()), ("grpc.test/v1", "Widget"));
    assert_eq!(custom.members().get("spec"), None, "nobody has asked for a spec");
    let created = client.create(widget("b", "{\"spec\":{}}")).await.unwrap();
    assert_eq!(created.custom().unwrap().members()["spec"]["size"], 7);
    for (content, why) in [
        ("[]", "not the JSON of an object"),
        ("{\"kind\":\"x\"}", "has a field of its own"),
        ("{\"spec\":{\"colour\":1}}", "spec.colour"),
        ("{\"spec\":{\"size\":\"x\"}}", "spec.size"),
    ] {
        let refused = client.create(widget("c", content)).await.unwrap_err();
        assert!(refused.message.contains(why), "{content}: {refused}");
    }
    let kind = Kind::Custom(api::object::CustomKind::of(&api::object::KindName {
        group: "grpc.test".to_owned(),
        plural: "widgets".to_owned(),
        kind: "Widget".to_owned(),
        namespaced: true,
    }));
    let key = |name: &str| Key::namespaced(kind, "default", name);
    let patch = "{\"spec\":{\"size\":9}}";
    let patched = client.patch(&key("b"), PatchKind::Merge, patch, Subresource::None).await.unwrap();
    assert_eq!(patched.custom().unwrap().members()["spec"]["size"], 9);
    let list = client.list(&Query::all(kind)).await.unwrap();
    assert_eq!(list.items.len(), 2);
    let mut updates = Box::pin(client.watch(Query::all(kind), None));
    let Update::Changes(changes) = soon(updates.next()).await.unwrap().unwrap() else { panic!("what there is") };
    assert_eq!(changes[0].object.custom().unwrap().kind, "Widget");
    assert_eq!(client.get(&key("b")).await.unwrap().custom(), patched.custom());
    client.delete(&key("b"), &DeleteOptions::default()).await.unwrap();
    assert_eq!(client.get(&key("b")).await.unwrap_err().message, "widgets.grpc.test \"b\" not found");
}
