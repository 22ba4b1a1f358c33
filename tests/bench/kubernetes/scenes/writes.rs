//! One object a request: create, get, merge patch, strategic merge patch and server-side apply, by 64 clients that ask again as
//! soon as they were answered.

use std::sync::Arc;

use anyhow::Result;
use hyper::Method;
use tokio::sync::Mutex;

use crate::{
    client::{Ask, Client},
    load::{self, Outcome},
    objects::{self, CLIENTS, Sort, applied, collection, numbered, object, patch, path},
    rival::Rival,
    settings::Settings,
    table,
};

const NAMESPACE: &str = objects::NAMESPACES[0];

/// Every client patches so many objects of its own, so that none waits for another's.
const OBJECTS_EACH: usize = 4;

/// Keeps the clients from reading the same at the same time.
const STRIDE: usize = 7_919;

/// What is asked for again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Get,
    Patch,
    StrategicPatch,
    Apply,
}

pub(crate) async fn play(rivals: &[Rival], settings: &Settings) -> Result<()> {
    for rival in rivals {
        objects::fill(rival, Sort::ConfigMap, NAMESPACE, CLIENTS * OBJECTS_EACH).await?;
    }
    let verbs = [
        ("create", Verb::Create),
        ("get", Verb::Get),
        ("merge patch", Verb::Patch),
        ("strategic merge patch", Verb::StrategicPatch),
        ("server-side apply", Verb::Apply),
    ];
    for (what, verb) in verbs {
        let mut outcomes = vec![Vec::new(); rivals.len()];
        for round in 0..settings.rounds {
            for (rival, outcomes) in rivals.iter().zip(&mut outcomes) {
                outcomes.push(measure(rival, verb, round, settings).await?);
            }
        }
        let middle = rivals.iter().zip(&outcomes).map(|(rival, of)| (rival.name.to_owned(), Outcome::middle(of)));
        table::outcomes(what, &middle.collect::<Vec<_>>());
    }
    Ok(())
}

async fn measure(rival: &Rival, verb: Verb, round: usize, settings: &Settings) -> Result<Outcome> {
    let clients: Vec<_> =
        rival.clients(CLIENTS).await?.into_iter().map(|client| Arc::new(Mutex::new(client))).collect();
    let ask = move |client: usize, count: u64| {
        let connection = clients[client].clone();
        async move { once(&mut *connection.lock().await, verb, round, client, count).await }
    };
    Ok(load::run(CLIENTS, settings.each, || rival.cpu(), ask).await)
}

/// One request of the so-many-eth client, which has asked `count` times in this round.
async fn once(connection: &mut Client, verb: Verb, round: usize, client: usize, count: u64) -> Result<()> {
    let turn = usize::try_from(count)?;
    match verb {
        Verb::Create => {
            let body = object(&format!("new-{round}-{client}-{count}"));
            connection.send(Ask::new(Method::POST, &collection(NAMESPACE)).json(body)).await?;
        }
        Verb::Get => {
            let number = (client * STRIDE + turn) % (CLIENTS * OBJECTS_EACH);
            connection.send(Ask::new(Method::GET, &path(NAMESPACE, &numbered(number)))).await?;
        }
        Verb::Patch => {
            let path = path(NAMESPACE, &numbered(client * OBJECTS_EACH + turn % OBJECTS_EACH));
            connection.send(Ask::new(Method::PATCH, &path).merge_patch(patch(count))).await?;
        }
        Verb::StrategicPatch => {
            let path = path(NAMESPACE, &numbered(client * OBJECTS_EACH + turn % OBJECTS_EACH));
            // No other verb has written this number of this round.
            let number = u64::MAX / 2 + count;
            connection.send(Ask::new(Method::PATCH, &path).strategic_patch(patch(number))).await?;
        }
        Verb::Apply => {
            let name = format!("applied-{client}-{}", turn % OBJECTS_EACH);
            let path = format!("{}?fieldManager=measurement", path(NAMESPACE, &name));
            connection.send(Ask::new(Method::PATCH, &path).apply(applied(&name, count))).await?;
        }
    }
    Ok(())
}
