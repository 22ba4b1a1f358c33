//! An operator: for each Greeting of its namespace it makes a ConfigMap that holds the text, keeps it so, and says in the
//! Greeting's status where it is. The ConfigMap is owned by its Greeting and goes with it.
//!
//! It reaches the API as any program in a Pod does, and needs nothing beside the Role in `deploy/examples/operator.yaml`. Of several
//! instances one works; another one takes over when that one ends.

mod api;
mod lease;

use std::rc::Rc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::LocalSet;

use api::{Api, Failure};
use lease::{Lease, RENEW_EVERY};

/// The Lease that the working instance holds.
const LEASE: &str = "greeter";

/// How long to wait before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, lead(Api::in_cluster()?))
}

/// Works whenever this instance holds the Lease, for ever.
async fn lead(api: Rc<Api>) -> Result<(), Failure> {
    let me = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    let mut lease = Lease::new(&api, LEASE, me.clone());
    println!("{me} waits for the Lease {LEASE} in {}", api.namespace);
    loop {
        match lease.hold(&api).await {
            Ok(true) => {
                println!("{me} holds the Lease");
                tokio::select! {
                    () = until_lost(&api, &mut lease) => println!("{me} has lost the Lease"),
                    never = work(&api) => match never {},
                }
            }
            Ok(false) => {}
            Err(error) => eprintln!("the Lease: {error}"),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

/// Renews the Lease until somebody else holds it, or it is not known who does.
async fn until_lost(api: &Api, lease: &mut Lease) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match lease.hold(api).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return eprintln!("the Lease: {error}"),
        }
    }
}

/// Follows the Greetings; whatever breaks is begun again.
async fn work(api: &Api) -> std::convert::Infallible {
    loop {
        if let Err(error) = follow(api).await {
            eprintln!("{error}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Answers every Greeting that is there, then every one that comes or changes, until the watch ends.
async fn follow(api: &Api) -> Result<(), Failure> {
    let all = format!("/apis/example.com/v1/namespaces/{}/greetings", api.namespace);
    let (status, list) = api.ask(Method::GET, &all, None).await?;
    if status != StatusCode::OK {
        return Err(format!("the Greetings cannot be listed: {}", list["message"]).into());
    }
    for greeting in list["items"].as_array().into_iter().flatten() {
        answer(api, &all, greeting).await?;
    }
    let mut watch = api.watch(&all, list["metadata"]["resourceVersion"].as_str().unwrap_or_default()).await?;
    while let Some(event) = watch.next().await? {
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => answer(api, &all, &event["object"]).await?,
            Some("ERROR") => return Err(format!("the watch ended: {}", event["object"]["message"]).into()),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the ConfigMap of a Greeting what it should be, and says where it is.
async fn answer(api: &Api, all: &str, greeting: &Value) -> Result<(), Failure> {
    let (name, uid) = (&greeting["metadata"]["name"], &greeting["metadata"]["uid"]);
    let text = greeting["spec"]["text"].as_str().unwrap_or("Hello");
    let owner = json!({"apiVersion": "example.com/v1", "kind": "Greeting", "name": name, "uid": uid, "controller": true});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [owner]},
        "data": {"text": text},
    });
    let maps = format!("/api/v1/namespaces/{}/configmaps", api.namespace);
    let one = format!("{maps}/{}", name.as_str().unwrap_or_default());
    let (status, said) = match api.ask(Method::POST, &maps, Some(&map)).await? {
        (StatusCode::CONFLICT, _) => api.ask(Method::PUT, &one, Some(&map)).await?,
        answer => answer,
    };
    if !status.is_success() {
        return Err(format!("the ConfigMap {name} cannot be written: {}", said["message"]).into());
    }
    if greeting["status"]["text"] == text {
        return Ok(());
    }
    let status = json!({"status": {"configMap": name, "text": text}});
    let path = format!("{all}/{}/status", name.as_str().unwrap_or_default());
    let (code, said) = api.ask(Method::PATCH, &path, Some(&status)).await?;
    // It may be gone by now, and its ConfigMap with it.
    if !code.is_success() && code != StatusCode::NOT_FOUND {
        return Err(format!("the status of {name} cannot be written: {}", said["message"]).into());
    }
    println!("answered {}", name.as_str().unwrap_or_default());
    Ok(())
}
