//! What clients ask of either store, in the words of each.

use std::pin::Pin;

use anyhow::Result;
use api::{Key, Kind, Object, Reason, Subresource, core_v1};
use futures::{Stream, StreamExt as _};
use rpc::{Query, Update};

use crate::etcd;

/// So long is a value.
pub(crate) const VALUE_BYTES: usize = 1024;

/// A client. Cloning shares its connection.
#[derive(Clone)]
pub(crate) enum Door {
    /// The client that programs use.
    Kapelle(rpc::Client),
    Etcd(etcd::Client),
}

/// The values of what changes. The first item, without values, says that the watch has begun.
pub(crate) type Changes = Pin<Box<dyn Stream<Item = Vec<String>> + Send>>;

impl Door {
    /// Stores something new under a number.
    pub(crate) async fn create(&self, number: u64, value: String) -> Result<()> {
        match self {
            Self::Kapelle(client) => Ok(client.create(object(number, value)).await.map(drop)?),
            Self::Etcd(client) => client.put(number, value).await,
        }
    }

    /// Replaces what is stored under a number.
    pub(crate) async fn put(&self, number: u64, value: String) -> Result<()> {
        match self {
            Self::Kapelle(client) => Ok(client.update(object(number, value), Subresource::None).await.map(drop)?),
            Self::Etcd(client) => client.put(number, value).await,
        }
    }

    /// Reads the latest state of a number; that there is nothing is an answer too.
    pub(crate) async fn get(&self, number: u64) -> Result<()> {
        match self {
            Self::Kapelle(client) => match client.get(&key(number)).await {
                Err(error) if error.reason != Reason::NotFound => Err(error.into()),
                Ok(_) | Err(_) => Ok(()),
            },
            Self::Etcd(client) => client.get(number).await,
        }
    }

    /// Reads everything, page by page; answers how much there is.
    pub(crate) async fn pages(&self, limit: i64) -> Result<u64> {
        let client = match self {
            Self::Kapelle(client) => client,
            Self::Etcd(client) => return client.pages(limit).await,
        };
        let (query, mut token, mut count) = (Query::all(Kind::ConfigMap), String::new(), 0);
        loop {
            let page = client.page(&query, limit, token).await?;
            count += page.items.len() as u64;
            token = page.r#continue;
            if token.is_empty() {
                return Ok(count);
            }
        }
    }

    pub(crate) async fn watch(&self) -> Result<Changes> {
        Ok(match self {
            Self::Kapelle(client) => Box::pin(changes(client)),
            Self::Etcd(client) => Box::pin(client.watch().await?),
        })
    }

    /// Whether the asked member leads.
    pub(crate) async fn leads(&self) -> Result<bool> {
        match self {
            Self::Kapelle(client) => {
                let status = client.cluster_status().await?;
                Ok(status.leader != 0 && status.leader == status.member)
            }
            Self::Etcd(client) => client.leads().await,
        }
    }

    /// The member that was asked does not answer: ask another one. Kapelle's client does so by itself.
    pub(crate) fn turn(&self) {
        match self {
            Self::Kapelle(_) => {}
            Self::Etcd(client) => client.turn(),
        }
    }
}

/// Changes after the initial state.
fn changes(client: &rpc::Client) -> impl Stream<Item = Vec<String>> + Send + 'static + use<> {
    let updates = client.watch(Query::all(Kind::ConfigMap), None);
    let begun = updates.skip_while(|update| std::future::ready(!matches!(update, Ok(Update::Synced(_)))));
    begun.filter_map(|update| async {
        match update {
            Ok(Update::Changes(changes)) => {
                Some(changes.iter().filter_map(|change| value_of(&change.object)).collect())
            }
            Ok(Update::Synced(_)) => Some(Vec::new()),
            Ok(Update::Restarted) | Err(_) => None,
        }
    })
}

fn value_of(object: &Object) -> Option<String> {
    object.get::<core_v1::ConfigMap>()?.data.get("value").cloned()
}

pub(crate) fn key(number: u64) -> Key {
    Key::namespaced(Kind::ConfigMap, "default", name(number))
}

fn name(number: u64) -> String {
    format!("object-{number:08}")
}

pub(crate) fn object(number: u64, value: String) -> Object {
    let map = core_v1::ConfigMap { data: [("value".to_owned(), value)].into(), ..core_v1::ConfigMap::default() };
    let mut object = Object::from(map);
    let metadata = object.metadata_mut();
    metadata.name = name(number);
    "default".clone_into(&mut metadata.namespace);
    object
}

/// A value that begins with a number and is like no other.
pub(crate) fn value(number: u64) -> String {
    format!("{number:020}{}", "x".repeat(VALUE_BYTES - 20))
}
