//! Joins the controllers to the one door: changes and heartbeats in, writes out. They run on the master that leads.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, thread};

use api::{kinds::certificates::certificate_signing_request::Approval, x509::Order};
use apiserver::Answers;
use control::{
    Brain, Config, Event, Ticket,
    driver::{self, Errand},
};
use futures::{StreamExt as _, future::join_all};
use registry::{GroupStatus, Registry, Sign};
use rpc::identity::Authority;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::clock::now;

/// How many batches may wait on either side before the other has to wait as well.
const BATCHES: usize = 256;

/// What the controllers hear of that no object says.
#[derive(Clone)]
pub(crate) struct Heard {
    /// Where this master serves the API.
    pub(crate) own: SocketAddr,
    /// How this master's backends of the API answer it.
    pub(crate) backends: watch::Receiver<Answers>,
}

/// What the controllers' errands are carried out with.
#[derive(Clone)]
struct Hands {
    registry: Registry,
    authority: Arc<Authority>,
}

/// Starts the controllers and the scheduler on a thread of their own: looking at everything that exists takes long when it is
/// much, and no request may wait for that. What they want signed the authority signs.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(registry: Registry, config: Config, heard: Heard, authority: Arc<Authority>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || runtime.block_on(control(Hands { registry, authority }, config, heard));
    thread::Builder::new().name("control".into()).spawn(work).map(drop)
}

/// Runs the controllers and the scheduler whenever this master leads, until the process stops.
///
/// A new leader begins with a new brain: it knows what the log says and grants every node a full term before it misses a
/// heartbeat. What an old leader still had on its way carries preconditions, so it cannot undo what the new one did.
async fn control(hands: Hands, config: Config, heard: Heard) {
    let registry = hands.registry.clone();
    while registry.until_leading().await {
        tracing::debug!("this master leads: the controllers start");
        tokio::select! {
            () = run(hands.clone(), config.clone(), heard.clone()) => return,
            () = registry.until_following() => tracing::debug!("this master follows: the controllers stop"),
        }
    }
}

/// Runs the controllers until the Registry's feed ends or this is dropped.
async fn run(hands: Hands, config: Config, heard: Heard) {
    let registry = &hands.registry;
    let (events, inputs) = mpsc::channel(BATCHES);
    let (writes, wishes) = mpsc::channel(BATCHES);
    let mut tasks = JoinSet::new();
    tasks.spawn(observe(registry.clone(), events.clone()));
    tasks.spawn(listen(registry.clone(), events.clone()));
    tasks.spawn(tell_masters(registry.clone(), heard.own, events.clone()));
    tasks.spawn(tell_backends(heard.backends, events.clone()));
    tasks.spawn(carry_out(hands, wishes, events));
    driver::run(Brain::new(config), inputs, writes, now).await;
}

/// Everything that exists, then every change.
async fn observe(registry: Registry, events: mpsc::Sender<Vec<Event>>) {
    let mut feed = Box::pin(registry.feed_all());
    let mut first = true;
    while let Some(changes) = feed.next().await {
        let mut batch = vec![Event::Observed(changes)];
        if std::mem::take(&mut first) {
            batch.push(Event::Synced);
        }
        if events.send(batch).await.is_err() {
            return;
        }
    }
}

async fn listen(registry: Registry, events: mpsc::Sender<Vec<Event>>) {
    let mut heartbeats = Box::pin(registry.heartbeats());
    while let Some(beats) = heartbeats.next().await {
        let batch = beats.into_iter().map(|beat| match (beat.node.to_string(), beat.at, beat.sign) {
            (node, at, Sign::Alive) => Event::Heartbeat { node, at },
            (node, at, Sign::Gone) => Event::Gone { node, at },
        });
        if events.send(batch.collect()).await.is_err() {
            return;
        }
    }
}

/// Where the masters serve the API, whenever that changes.
async fn tell_masters(registry: Registry, own: SocketAddr, events: mpsc::Sender<Vec<Event>>) {
    let (mut group, mut told) = (registry.group(), BTreeSet::new());
    loop {
        let changed = group.wait_for(|group| masters(group, own) != told).await;
        let Ok(now) = changed.map(|group| masters(&group, own)) else { return };
        told.clone_from(&now);
        if events.send(vec![Event::Masters(now)]).await.is_err() {
            return;
        }
    }
}

/// How the backends of the API answer, at first and whenever that changes.
async fn tell_backends(mut answers: watch::Receiver<Answers>, events: mpsc::Sender<Vec<Event>>) {
    loop {
        let now = answers.borrow_and_update().clone();
        if events.send(vec![Event::Backends(now)]).await.is_err() || answers.changed().await.is_err() {
            return;
        }
    }
}

/// The addresses of those with a vote: others may not know yet what the group knows. A master that nobody joins has told its
/// group no address.
fn masters(group: &GroupStatus, own: SocketAddr) -> BTreeSet<SocketAddr> {
    let contact = |member| group.members.contacts.get(member).and_then(|contact| contact.parse().ok());
    let voters = group.members.voters.iter();
    voters.filter_map(|member| contact(member).or((*member == group.member).then_some(own))).collect()
}

/// Writes of one batch share a group commit. Batches do not wait for each other: the controllers go on deciding.
async fn carry_out(hands: Hands, mut wishes: mpsc::Receiver<Vec<(Ticket, Errand)>>, events: mpsc::Sender<Vec<Event>>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            batch = wishes.recv() => match batch {
                Some(batch) => drop(under_way.spawn(settle(hands.clone(), batch, events.clone()))),
                None => return,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
}

async fn settle(hands: Hands, batch: Vec<(Ticket, Errand)>, events: mpsc::Sender<Vec<Event>>) {
    let (mut writes, mut orders, mut approvals) = (Vec::new(), Vec::new(), Vec::new());
    for (ticket, errand) in batch {
        match errand {
            Errand::Write(write) => writes.push((ticket, write)),
            Errand::Sign(order) => orders.push((ticket, order)),
            Errand::Approve(approval) => approvals.push((ticket, approval)),
        }
    }
    let (tickets, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
    let issue =
        async |(ticket, order): (Ticket, Box<Order>)| (ticket, hands.registry.issue(&hands.authority, &order).await);
    let approve = async |(ticket, approval): (Ticket, Box<Approval>)| (ticket, hands.registry.approve(&approval).await);
    let (written, issued, approved) = tokio::join!(
        hands.registry.submit_all(writes),
        join_all(orders.into_iter().map(issue)),
        join_all(approvals.into_iter().map(approve))
    );
    let outcomes = tickets.into_iter().zip(written).chain(issued).chain(approved);
    let settled = outcomes.map(|(ticket, outcome)| Event::Settled { ticket, outcome });
    // Nobody listens only while the process ends or another master has taken over.
    let _ = events.send(settled.collect()).await;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn masters_are_where_the_group_says_and_one_alone_where_it_listens() {
        let [one, two, three] = ["1", "2", "3"].map(|id| registry::member_id(&format!("{id:0>16}")).unwrap());
        let mut group = GroupStatus { member: one, ..GroupStatus::default() };
        group.members.voters.push(one);
        let own = "127.0.0.1:6443".parse().unwrap();
        assert_eq!(masters(&group, own), [own].into());
        group.members.contacts.insert(one, String::new());
        assert_eq!(masters(&group, own), [own].into());
        group.members.voters.push(two);
        group.members.learners.push(three);
        for (member, contact) in [(one, "10.0.0.1:6443"), (two, "10.0.0.2:7443"), (three, "10.0.0.3:6443")] {
            group.members.contacts.insert(member, contact.to_owned());
        }
        assert_eq!(masters(&group, own), ["10.0.0.1:6443", "10.0.0.2:7443"].map(|text| text.parse().unwrap()).into());
    }
}
