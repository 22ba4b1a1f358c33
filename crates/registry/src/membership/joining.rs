//! Joining: a token is traded for membership, in one transaction.
//!
//! Masters alone decide who a newcomer is. A worker's Node object comes into being here, with an address that the masters
//! have seen or an administrator has named; its uid goes into the certificate. A name that exists is taken over only with a
//! token for just that name, and only while its node is silent; the Node then gets a new uid, so that the certificate from
//! before is worth nothing any more.

use std::net::{IpAddr, Ipv4Addr};

use api::{
    Cidr, Error, Key, Kind, Object, ReadAt, Reason, Timestamp, Write, conditions,
    core_v1::{Node, Secret},
};
use store::{Txn, View};
use tracing::debug;

use super::{
    leases::LEASE_SECONDS,
    tokens::{self, JoinAs, Presented, Terms},
};
use crate::{
    Registry,
    access::Caller,
    decide::{self, Decision},
    nodes::holder,
    write::{ATTEMPTS_MAX, WriteOptions},
};

/// A worker that wants to join.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The name of its node.
    pub name: String,
    /// The address under which it claims to be reached, if it claims one.
    pub address: Option<Ipv4Addr>,
    /// Where it connects from.
    pub from: IpAddr,
}

impl Registry {
    /// Lets a worker in. Answers the uid of its Node. `ranges` are those of Pods and Services, where no node lives.
    ///
    /// # Errors
    /// If the token, the name or the address is not acceptable, or the masters cannot agree.
    pub async fn take_worker(&self, token: &Presented, worker: &Worker, ranges: [Cidr; 2]) -> Result<String, Error> {
        self.taken(|view, attempt| {
            let terms = tokens::terms(view, token, JoinAs::Worker, self.now())?;
            terms.may_name(&worker.name)?;
            self.may_take_name(view, &terms, &worker.name)?;
            let address = self.address(view, &terms, worker, ranges)?;
            let Decision { mut txn, object, .. } = self.node(view, &worker.name, address, attempt)?;
            txn.ops.push(terms.spent);
            Ok((txn, object.metadata().map(|meta| meta.uid.clone()).unwrap_or_default()))
        })
        .await
    }

    /// Notes that a master of this id is expected: it may then add itself to the group.
    ///
    /// # Errors
    /// If the token is not acceptable, or the masters cannot agree.
    pub async fn take_master(&self, token: &Presented, member: u64) -> Result<(), Error> {
        self.taken(|view, attempt| {
            let terms = tokens::terms(view, token, JoinAs::Master, self.now())?;
            let expected = Write::Create(tokens::expected(member, self.now()));
            let mut txn =
                decide::decide(view, &expected, Kind::Secret.into(), &self.stamp(attempt)?, &self.inner.rules)?.txn;
            txn.ops.push(terms.spent);
            Ok((txn, ()))
        })
        .await
    }

    /// A master has been added to the group, or removed from it: under its id nobody is expected any more.
    pub(crate) async fn arrived(&self, member: u64) -> Result<(), Error> {
        let write = Write::Delete(expected_key(member), api::DeleteOptions::default());
        match self.for_caller(Caller::Cluster).submit(write, WriteOptions::default()).await {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes the only node of a cluster that nobody joins, unless it is there already, and keeps it: from now on nobody
    /// deletes it. Answers its uid.
    ///
    /// # Errors
    /// If the log does not take it.
    pub async fn ensure_node(&self, name: &str, address: Ipv4Addr) -> Result<String, Error> {
        let _ = self.inner.only_node.set(Key::cluster(Kind::Node, name));
        let key = Key::cluster(Kind::Node, name);
        let uid = |object: &Object| object.metadata().map(|meta| meta.uid.clone()).unwrap_or_default();
        self.taken(|view, attempt| match view.get(&key) {
            Some(record) => Ok((Txn::default(), uid(&record.object()))),
            None => {
                let Decision { txn, object, .. } = self.node(view, name, address, attempt)?;
                Ok((txn, uid(&object)))
            }
        })
        .await
    }

    /// Refuses to delete the only node of a cluster that nobody joins: nobody could run anything.
    pub(crate) fn stays(&self, write: &Write) -> Result<(), Error> {
        match (write, self.inner.only_node.get()) {
            (Write::Delete(key, _), Some(only)) if key == only => {
                let message = format!("nodes \"{}\" is forbidden: it is the only node of this cluster", key.name);
                Err(Error::new(Reason::Forbidden, message).about(key))
            }
            _ => Ok(()),
        }
    }

    /// Decides on the newest state, and again while others are faster.
    async fn taken<T>(&self, decide: impl Fn(&View, u32) -> Result<(Txn, T), Error>) -> Result<T, Error> {
        for attempt in 0..ATTEMPTS_MAX {
            let view = self.view(ReadAt::Latest).await?;
            let (txn, outcome) = decide(&view, attempt)?;
            if txn.ops.is_empty() {
                return Ok(outcome);
            }
            match self.propose(txn.encode()).await? {
                Ok(_) => return Ok(outcome),
                Err(refusal) => debug!(attempt, %refusal, "somebody joined at the same moment"),
            }
        }
        Err(Error::new(Reason::ServiceUnavailable, "too many join at the same moment; try again"))
    }

    fn node(&self, view: &View, name: &str, address: Ipv4Addr, attempt: u32) -> Result<Decision, Error> {
        decide::join(view, name, address, &self.stamp(attempt)?, &self.inner.rules)
    }

    /// A name must be new, or its node silent and the token made for just this name.
    fn may_take_name(&self, view: &View, terms: &Terms, name: &str) -> Result<(), Error> {
        let key = Key::cluster(Kind::Node, name);
        let Some(record) = view.get(&key) else { return Ok(()) };
        if terms.node != name {
            let message = format!(
                "there is a node {name:?} already, and the token is for new ones: choose another --node-name, or make a token \
                 for just this node with `kapelle token create --role worker --node-name {name}`"
            );
            return Err(Error::new(Reason::Forbidden, message).about(&key));
        }
        let object = record.object();
        let said_ready = object.get::<Node>().and_then(|node| node.status.as_ref());
        let said_ready = said_ready.is_some_and(|status| conditions::is_true(&status.conditions, conditions::READY));
        let silence = self.inner.heartbeats.silence(name, self.now(), said_ready);
        let patience = LEASE_SECONDS.unsigned_abs().into();
        if silence.is_some_and(|silence| silence.as_secs() < patience) {
            let message = format!(
                "the node {name:?} is alive: choose another --node-name, or stop it and wait until it has been silent for \
                 {patience} s, or delete it first with `kubectl delete node {name}`"
            );
            return Err(Error::new(Reason::Conflict, message).about(&key));
        }
        Ok(())
    }

    /// Under which address masters and other nodes will reach the worker.
    fn address(&self, view: &View, terms: &Terms, worker: &Worker, ranges: [Cidr; 2]) -> Result<Ipv4Addr, Error> {
        let no = |message: String| Err(Error::new(Reason::Forbidden, format!("address: {message}")));
        let from = worker.from.to_canonical();
        let seen = terms.address.map_or(from, IpAddr::V4);
        let IpAddr::V4(address) = seen else {
            return no(format!(
                "the worker connects from {from}; nodes are reached by IPv4, name its address in the token: \
                               `kapelle token create --role worker --address ADDRESS`"
            ));
        };
        match worker.address {
            Some(claimed) if claimed != address => {
                return no(format!(
                    "the worker says that it is reached at {claimed}, but {} {address}; if it is right, make a token that \
                     says so: `kapelle token create --role worker --node-name {} --address {claimed}`",
                    if terms.address.is_some() { "the token names" } else { "it connects from" },
                    worker.name
                ));
            }
            Some(_) | None => {}
        }
        if let Some(range) = ranges.into_iter().find(|range| range.contains(address)) {
            return no(format!("{address} lies within {range}, the range of Pods or Services"));
        }
        if from != IpAddr::V4(address) && self.is_masters(address) {
            return no(format!("{address} is a master's"));
        }
        match holder(view, address, &worker.name) {
            Some(holder) => no(format!(
                "{address} is that of the node {holder:?}; if that node is gone, delete it with `kubectl delete node {holder}`"
            )),
            None => Ok(address),
        }
    }

    fn is_masters(&self, address: Ipv4Addr) -> bool {
        let group = self.group();
        let group = group.borrow();
        group
            .members
            .contacts
            .values()
            .any(|contact| contact.rsplit_once(':').is_some_and(|(host, _)| host.parse() == Ok(address)))
    }
}

/// The Secret that says that a master is expected.
fn expected_key(member: u64) -> Key {
    tokens::expected(member, Timestamp::default()).key()
}

/// Whether a master of this id was let in and has not arrived yet.
pub(crate) fn is_expected(view: &View, member: u64, now: Timestamp) -> bool {
    let Some(record) = view.get(&expected_key(member)) else { return false };
    record.object().get::<Secret>().and_then(tokens::ends).is_some_and(|ends| now < ends)
}
