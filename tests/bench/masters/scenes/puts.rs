//! Durable writes of 1 KiB, of the member that leads.

use anyhow::Result;

use crate::{
    door::value,
    fill::{CONNECTIONS, fill},
    group::{Group, Reach},
    load::{self, Outcome},
    settings::Settings,
    table,
};

/// So many clients write at the same time.
const CLIENTS: [usize; 4] = [1, 16, 64, 256];

/// Every client has so many objects of its own, so that none waits for another's.
const OBJECTS_EACH: u64 = 4;

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    for members in [1, 3] {
        let groups = settings.groups(members).await?;
        for group in &groups {
            prepare(group).await?;
        }
        println!("  {members} {}", if members == 1 { "member" } else { "members" });
        for clients in CLIENTS {
            let mut outcomes = vec![Vec::new(); groups.len()];
            for _ in 0..settings.rounds {
                for (group, outcomes) in groups.iter().zip(&mut outcomes) {
                    outcomes.push(measure(group, clients, settings).await?);
                }
            }
            let middle = groups.iter().zip(&outcomes).map(|(group, of)| (group.name(), Outcome::middle(of)));
            table::outcomes(&format!("{clients} clients"), &middle.collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Stores what [`measure`] replaces.
pub(crate) async fn prepare(group: &Group) -> Result<()> {
    fill(group, CLIENTS[CLIENTS.len() - 1] as u64 * OBJECTS_EACH).await
}

/// One run of so many clients.
pub(crate) async fn measure(group: &Group, clients: usize, settings: &Settings) -> Result<Outcome> {
    let doors = group.doors(clients.min(CONNECTIONS), Reach::Leader).await?;
    let ask = move |client: usize, count: u64| {
        let door = doors[client % doors.len()].clone();
        let number = client as u64 * OBJECTS_EACH + count % OBJECTS_EACH;
        async move { door.put(number, value(count)).await }
    };
    Ok(load::run(clients, settings.each, || group.cpu(), ask).await)
}
