//! What users notice of another user who lists everything in a loop. That one's clients have a thread of their own. Still all
//! share the machine, so a part of what is noticed is what they do with their answers.

use std::{thread, time::Duration};

use anyhow::Result;
use api::{
    Kind, meta_v1,
    rbac_v1::{ClusterRoleBinding, RoleRef, Subject},
};
use rpc::{Query, Security};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    door::{Door, value},
    fill::fill,
    group::{Brand, Group, Reach},
    load::{self, Outcome},
    settings::Settings,
    table,
};

/// So much there is to list, and so much of it on a page.
const OBJECTS: u64 = 10_000;
const PAGE: i64 = 500;

/// So often the greedy user lists at the same time: more than may be answered at a time.
const GREEDY: usize = 64;

/// How long it waits that is refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// So many clients of the others ask at the same time.
const MODEST: usize = 4;

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    for members in [1, 3] {
        println!("  {members} {}", if members == 1 { "member" } else { "members" });
        let group = Group::start(Brand::Kapelle, members).await?;
        fill(&group, OBJECTS).await?;
        beside(&group, settings).await?;
    }
    Ok(())
}

/// A user and an administrator read and write: alone, and beside one who lists in a loop.
async fn beside(group: &Group, settings: &Settings) -> Result<()> {
    let (modest, greedy) = (group.user("modest", &[]).await?, group.user("greedy", &[]).await?);
    let Door::Kapelle(admin) = group.doors(1, Reach::Leader).await?.remove(0) else { return Ok(()) };
    for name in ["modest", "greedy"] {
        admin.create(everything(name).into()).await?;
    }
    for (who, reach) in [("a user reads", Reach::Spread), ("writes", Reach::Leader), ("an admin reads", Reach::Spread)]
    {
        let mut outcomes = [Vec::new(), Vec::new()];
        for _ in 0..settings.rounds {
            for (is_beside, outcomes) in [true, false].into_iter().zip(&mut outcomes) {
                let doors = match who {
                    "an admin reads" => group.doors(MODEST, reach).await?,
                    _ => group.doors_of(&modest, MODEST, reach).await?,
                };
                let over = CancellationToken::new();
                let busy = is_beside.then(|| list_in_a_loop(group, &greedy, &over));
                let ask = move |client: usize, count: u64| {
                    let door = doors[client].clone();
                    async move {
                        match reach {
                            Reach::Leader => door.put(client as u64, value(count)).await,
                            Reach::Spread | Reach::Any => door.get((client as u64 * 61 + count) % OBJECTS).await,
                        }
                    }
                };
                outcomes.push(load::run(MODEST, settings.each, || group.cpu(), ask).await);
                over.cancel();
                busy.into_iter().for_each(|busy| drop(busy.join()));
            }
        }
        let [beside, alone] = outcomes.map(|of| Outcome::middle(&of));
        table::outcomes(who, &[("beside".to_owned(), beside), ("alone".to_owned(), alone)]);
    }
    Ok(())
}

/// Lists all pages again and again, on a thread of its own, until it is over.
fn list_in_a_loop(group: &Group, who: &Security, over: &CancellationToken) -> thread::JoinHandle<()> {
    let (urls, who, over) = (group.urls().to_vec(), who.clone(), over.clone());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let lists = async {
            let mut clients = JoinSet::new();
            for number in 0..GREEDY {
                let url = &urls[number % urls.len()];
                let client = rpc::Client::connect_with(std::slice::from_ref(url), who.clone()).expect("a client");
                clients.spawn(async move {
                    let query = Query::all(Kind::ConfigMap);
                    loop {
                        if client.page(&query, PAGE, String::new()).await.is_err() {
                            // Who asks too much is refused.
                            tokio::time::sleep(REFUSED_PAUSE).await;
                        }
                    }
                });
            }
            while clients.join_next().await.is_some() {}
        };
        runtime.block_on(over.run_until_cancelled(lists));
    })
}

/// All rights of users in all namespaces.
fn everything(user: &str) -> ClusterRoleBinding {
    let group = "rbac.authorization.k8s.io".to_owned();
    let subject =
        Subject { api_group: group.clone(), kind: "User".into(), name: user.to_owned(), namespace: String::new() };
    let metadata = Some(meta_v1::ObjectMeta { name: user.to_owned(), ..meta_v1::ObjectMeta::default() });
    let role_ref = Some(RoleRef { api_group: group, kind: "ClusterRole".into(), name: "edit".into() });
    ClusterRoleBinding { metadata, subjects: vec![subject], role_ref }
}
