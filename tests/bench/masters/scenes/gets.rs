//! Linearizable reads, spread over three members.

use anyhow::Result;

use crate::{
    fill::CONNECTIONS,
    group::Reach,
    load::{self, Outcome},
    scenes::puts,
    settings::Settings,
    table,
};

/// So many clients read at the same time.
const CLIENTS: usize = 64;

/// So many different objects are read; there are a few more.
const OBJECTS: u64 = 1_000;

/// Keeps the clients from reading the same at the same time.
const STRIDE: u64 = 7_919;

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    let groups = settings.groups(3).await?;
    for group in &groups {
        puts::prepare(group).await?;
    }
    let mut outcomes = vec![Vec::new(); groups.len()];
    for _ in 0..settings.rounds {
        for (group, outcomes) in groups.iter().zip(&mut outcomes) {
            let doors = group.doors(CONNECTIONS + 1, Reach::Spread).await?;
            let ask = move |client: usize, count: u64| {
                let door = doors[client % doors.len()].clone();
                async move { door.get((client as u64 * STRIDE + count) % OBJECTS).await }
            };
            outcomes.push(load::run(CLIENTS, settings.each, || group.cpu(), ask).await);
        }
    }
    let middle = groups.iter().zip(&outcomes).map(|(group, of)| (group.name(), Outcome::middle(of)));
    table::outcomes(&format!("{CLIENTS} clients"), &middle.collect::<Vec<_>>());
    Ok(())
}
