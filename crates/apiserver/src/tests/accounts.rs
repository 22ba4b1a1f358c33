//! ServiceAccounts that show a token, in every language, and what becomes of what they were answered when it counts no more.

use std::{sync::Arc, time::Duration};

use api::{
    DeleteOptions, Error, Key, Kind, Object, Write,
    authentication_v1::TokenRequest,
    core_v1::{ConfigMap, ServiceAccount},
    kinds::Resource as _,
    meta_v1::ObjectMeta,
    rbac_v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
};
use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::SendRequest;
use registry::{
    WriteOptions,
    fair::{FLOW_REQUESTS_MAX, OBJECTS_PER_SEAT},
};
use rpc::{Client, Query, Security};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Server, flood::unfinished, soon};

const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/till/token";

/// A server with an account `till`, and a token of it.
async fn till() -> (Server, String) {
    let server = Server::new().await;
    let mut account = ServiceAccount::default();
    (account.metadata_mut().name, account.metadata_mut().namespace) = ("till".to_owned(), "default".to_owned());
    let write = Write::Create(Object::from(account));
    soon(server.house.registry.submit(write, WriteOptions::default())).await.unwrap();
    let made = soon(server.house.registry.create_token(&key(), TokenRequest::default())).await.unwrap();
    let token = made.0.status.unwrap().token;
    (server, token)
}

fn key() -> Key {
    Key::namespaced(Kind::ServiceAccount, "default", "till")
}

async fn leave(server: &Server) {
    let write = Write::Delete(key(), DeleteOptions::default());
    soon(server.house.registry.submit(write, WriteOptions::default())).await.unwrap();
}

fn asking(server: &Server, method: Method, path: &str, token: &str, body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", server.url));
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

async fn told(sender: &mut SendRequest<Body>, request: Request<Body>) -> (StatusCode, Value) {
    let answer = soon(sender.send_request(request)).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    (head.status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn asked(
    server: &Server,
    config: &Arc<ClientConfig>,
    (method, path): (Method, &str),
    token: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let mut sender = server.sender(config.clone()).await;
    told(&mut sender, asking(server, method, path, token, body)).await
}

#[tokio::test]
async fn a_token_is_somebody_over_rest_grpc_and_the_registry_of_images() {
    let (server, token) = till().await;
    let nobody = server.nobody();
    let (code, answer) = asked(&server, &nobody, (Method::POST, SELF), &token, &json!({})).await;
    assert_eq!(code, 201);
    let info = &answer["status"]["userInfo"];
    assert_eq!(info["username"], "system:serviceaccount:default:till");
    assert_eq!(info["groups"][0], "system:serviceaccounts");
    assert!(info["uid"].is_string() && info["extra"]["authentication.kubernetes.io/credential-id"].is_array());

    // It has no rights yet, which is another answer than being nobody.
    let maps = (Method::GET, "/api/v1/configmaps");
    let (code, answer) = asked(&server, &nobody, maps.clone(), &token, &Value::Null).await;
    assert_eq!(code, 403);
    assert!(answer["message"].as_str().unwrap().contains("User \"system:serviceaccount:default:till\" cannot list"));
    assert_eq!(asked(&server, &nobody, (Method::GET, "/api"), &token, &Value::Null).await.0, 200, "discovery");
    assert_eq!(asked(&server, &nobody, (Method::GET, "/v2/"), &token, &Value::Null).await.0, 200, "a login");
    assert_eq!(asked(&server, &nobody, (Method::GET, "/v2/_catalog"), &token, &Value::Null).await.0, 403, "images");
    let security = Security::bearer(server.pki.0.certificate_pem(), &token).unwrap();
    let client = Client::connect_with(std::slice::from_ref(&server.url), security).unwrap();
    let error: Error = client.list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
    assert!(error.message.contains("system:serviceaccount:default:till"), "{error}");
    // Whoever has a certificate, too, is whom it names; a wrong token is refused all the same.
    let admin = server.pki.admin().client();
    assert_eq!(asked(&server, &admin, maps.clone(), &token, &Value::Null).await.0, 200);
    assert_eq!(asked(&server, &admin, maps.clone(), &token[1..], &Value::Null).await.0, 401);

    // A connection on which somebody was known knows nobody else by that, and nobody who has gone.
    let mut sender = server.sender(nobody.clone()).await;
    let mut again = async |token: &str| {
        told(&mut sender, asking(&server, Method::GET, "/api", token, &Value::Null)).await.0.as_u16()
    };
    assert_eq!([again(&token).await, again(&token).await], [200, 200]);
    assert_eq!([again(&token[1..]).await, again(&token).await], [401, 200]);
    leave(&server).await;
    assert_eq!([again(&token).await, again(&token).await], [401, 401]);
    assert_eq!(asked(&server, &nobody, maps, &token, &Value::Null).await.0, 401, "its account is gone");
}

#[tokio::test]
async fn tokens_that_somebody_made_up_are_nobodys() {
    let (server, token) = till().await;
    let nobody = server.nobody();
    let mut sender = server.sender(nobody).await;
    let parts: Vec<&str> = token.split('.').collect();
    let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    let admin = encoded(&text.replace("default", "kube-system"));
    let none = encoded(r#"{"alg":"none"}"#);
    for (what, forged) in [
        ("unsigned", format!("{none}.{}.", parts[1])),
        ("another's claims", format!("{}.{admin}.{}", parts[0], parts[2])),
        ("without a signature", format!("{}.{}.", parts[0], parts[1])),
        ("cut off", token[..token.len() - 2].to_owned()),
        ("four parts", format!("{token}.{}", parts[2])),
        ("dots", "..".to_owned()),
        ("long", format!("{}.{}.{}", parts[0], "A".repeat(20 << 10), parts[2])),
    ] {
        let (code, answer) = told(&mut sender, asking(&server, Method::GET, "/api", &forged, &Value::Null)).await;
        assert_eq!(code, 401, "{what}: {answer}");
        assert!(!answer.to_string().contains(parts[2]), "{what}: no error repeats what was shown");
    }
    assert_eq!(told(&mut sender, asking(&server, Method::GET, "/api", &token, &Value::Null)).await.0, 200);
}

#[tokio::test]
async fn tokens_are_made_and_reviewed_for_who_may() {
    let (server, token) = till().await;
    let (admin, nobody) = (server.pki.admin().client(), server.nobody());
    let wanted = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "spec": { "audiences": ["vault"], "expirationSeconds": 600 },
    });
    let (code, answer) = asked(&server, &admin, (Method::POST, TOKEN), "", &wanted).await;
    assert_eq!(
        (code.as_u16(), &answer["kind"], &answer["spec"]["expirationSeconds"]),
        (201, &json!("TokenRequest"), &json!(600))
    );
    assert!(answer["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));
    let vault = answer["status"]["token"].as_str().unwrap();
    assert_eq!(asked(&server, &nobody, (Method::GET, "/api"), vault, &Value::Null).await.0, 401, "it is for others");

    let review = |token: &str, audiences: &[&str]| json!({ "spec": { "token": token, "audiences": audiences } });
    let (code, answer) = asked(&server, &admin, (Method::POST, REVIEW), "", &review(vault, &["vault", "b"])).await;
    assert_eq!((code.as_u16(), &answer["status"]["authenticated"]), (201, &json!(true)), "{answer}");
    assert_eq!(answer["status"]["audiences"], json!(["vault"]));
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:till");
    let (_, answer) = asked(&server, &admin, (Method::POST, REVIEW), "", &review(vault, &[])).await;
    assert_eq!(answer["status"]["authenticated"], Value::Null);
    assert!(answer["status"]["error"].as_str().unwrap().contains("another audience"), "{answer}");
    assert_eq!(asked(&server, &nobody, (Method::POST, REVIEW), &token, &review(vault, &[])).await.0, 403);
    assert_eq!(asked(&server, &nobody, (Method::POST, TOKEN), &token, &wanted).await.0, 403);
    let other = json!({ "metadata": { "name": "other" } });
    assert_eq!(asked(&server, &admin, (Method::POST, TOKEN), "", &other).await.0, 400);

    // Verifiers elsewhere need nobody's leave.
    let (code, answer) = asked(&server, &nobody, (Method::GET, "/openid/v1/jwks"), "", &Value::Null).await;
    assert_eq!((code.as_u16(), answer["keys"].as_array().map(Vec::len)), (200, Some(1)));
    assert!(answer["keys"][0]["d"].is_null() && answer["keys"][0]["alg"] == "ES256");
    let configuration = (Method::GET, "/.well-known/openid-configuration");
    let (code, answer) = asked(&server, &nobody, configuration, "", &Value::Null).await;
    assert_eq!((code.as_u16(), answer["issuer"].as_str()), (200, Some(registry::ISSUER)));
    let (_, answer) = asked(&server, &admin, (Method::GET, "/apis/authentication.k8s.io/v1"), "", &Value::Null).await;
    let names: Vec<&str> =
        answer["resources"].as_array().unwrap().iter().filter_map(|of| of["name"].as_str()).collect();
    assert_eq!(names, ["tokenreviews", "selfsubjectreviews"]);
}

/// What goes on while its reader is somebody ends when it is nobody: a request whose answer has begun, and a connection that has
/// changed its protocol. Accounts may read nothing yet, so that these are answers that everybody may have.
#[tokio::test]
async fn what_was_begun_by_a_token_ends_with_its_account() {
    let (server, token) = till().await;
    let mut stream = server.connect_as(server.nobody()).await;
    let head = format!(
        "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: \
         application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
        server.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    soon(stream.read_exact(&mut begun)).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    leave(&server).await;
    let mut rest = Vec::new();
    // Whether the end is clean, the other side does not say.
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it goes on");
}

/// Requests of an account that never end hold the places of its namespace; what comes after them waits, and nobody else does.
#[tokio::test]
async fn whoever_asks_too_much_waits_for_itself() {
    let (server, token) = till().await;
    // As every cluster has them: until they are made, nobody may wait.
    let levels = api::flow_control::levels().map(Object::from);
    make(&server, levels.chain(api::flow_control::schemas().map(Object::from))).await;
    let nobody = server.nobody();
    let (mut sender, mut prober) = (server.sender(nobody.clone()).await, server.sender(nobody.clone()).await);
    let ask = |body: Body| {
        let request = Request::builder().method(Method::POST).uri(format!("{}{SELF}", server.url));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
    };
    let mut endless: Vec<_> =
        (0..FLOW_REQUESTS_MAX).map(|_| tokio::spawn(sender.send_request(ask(unfinished(1))))).collect();
    // They have their places as soon as one more does not get one.
    let waiting = loop {
        let mut probe = tokio::spawn(prober.send_request(ask(Body::from("{}"))));
        match tokio::time::timeout(Duration::from_millis(200), &mut probe).await {
            Ok(answer) => assert_eq!(answer.unwrap().unwrap().status(), 201),
            Err(_) => break probe,
        }
    };
    server.client().list(&Query::all(Kind::Namespace)).await.unwrap();
    let other = tokens_of(&server, "park").await;
    let path = (Method::GET, "/api");
    assert_eq!(soon(asked(&server, &nobody, path, &other, &Value::Null)).await.0, 200, "another namespace");
    assert!(!waiting.is_finished());
    endless.drain(..).for_each(|request| request.abort());
    assert_eq!(soon(waiting).await.unwrap().unwrap().status(), 201);
}

/// It is made while it is sent, so who does not read what it asks for has no seats for more.
#[tokio::test]
async fn a_list_keeps_its_seats_until_it_is_read() {
    let (server, token) = till().await;
    let levels = api::flow_control::levels().map(Object::from);
    make(&server, levels.chain(api::flow_control::schemas().map(Object::from))).await;
    let named = |name: &str| {
        Some(ObjectMeta { name: name.to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() })
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rule = PolicyRule {
        verbs: words(&["list"]),
        api_groups: words(&[""]),
        resources: words(&["configmaps"]),
        ..PolicyRule::default()
    };
    let subject = Subject {
        kind: "ServiceAccount".into(),
        name: "till".into(),
        namespace: "default".into(),
        ..Subject::default()
    };
    let role_ref =
        RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name: "reader".into() };
    let binding = RoleBinding { metadata: named("reader"), subjects: vec![subject], role_ref: Some(role_ref) };
    // More than the client takes in before it is read.
    let maps = (0..4 * OBJECTS_PER_SEAT).map(|number| {
        let data = [("k".to_owned(), "v".repeat(16 << 10))].into();
        Object::from(ConfigMap { metadata: named(&format!("m{number}")), data, ..ConfigMap::default() })
    });
    make(&server, [Role { metadata: named("reader"), rules: vec![rule] }.into(), binding.into()]).await;
    make(&server, maps).await;

    let nobody = server.nobody();
    let mut sender = server.sender(nobody.clone()).await;
    let mut list = |query: &str| {
        let path = format!("/api/v1/namespaces/default/configmaps{query}");
        tokio::spawn(sender.send_request(asking(&server, Method::GET, &path, &token, &Value::Null)))
    };
    let mut lists = Vec::new();
    for _ in 0..FLOW_REQUESTS_MAX / 4 {
        lists.push(soon(list("")).await.unwrap().unwrap());
    }
    assert!(lists.iter().all(|answer| answer.status() == 200));
    let mut more = list("?limit=1");
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut more).await.is_err(), "not even one object");
    let other = tokens_of(&server, "park").await;
    assert_eq!(soon(asked(&server, &nobody, (Method::GET, "/api"), &other, &Value::Null)).await.0, 200, "others");
    drop(lists.pop());
    assert_eq!(soon(more).await.unwrap().unwrap().status(), 200);
}

async fn make(server: &Server, objects: impl IntoIterator<Item = Object>) {
    for object in objects {
        soon(server.house.registry.submit(Write::Create(object), WriteOptions::default())).await.unwrap();
    }
}

/// A token of the account `till` of another namespace.
async fn tokens_of(server: &Server, namespace: &str) -> String {
    let mut place = api::core_v1::Namespace::default();
    namespace.clone_into(&mut place.metadata_mut().name);
    let mut account = ServiceAccount::default();
    (account.metadata_mut().name, account.metadata_mut().namespace) = ("till".to_owned(), namespace.to_owned());
    make(server, [Object::from(place), Object::from(account)]).await;
    let key = Key::namespaced(Kind::ServiceAccount, namespace, "till");
    let made = soon(server.house.registry.create_token(&key, TokenRequest::default())).await.unwrap();
    made.0.status.unwrap().token
}
