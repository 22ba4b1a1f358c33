//! Fills stores with objects.

use anyhow::Result;
use tokio::task::JoinSet;

use crate::{
    door::{Door, value},
    group::{Group, Reach},
};

/// At most so many connections carry the clients, as a program's would.
pub(crate) const CONNECTIONS: usize = 8;

/// So many clients fill a store.
const FILLERS: u64 = 128;

/// Stores so many objects of 1 KiB.
pub(crate) async fn fill(group: &Group, objects: u64) -> Result<()> {
    let doors = group.doors(CONNECTIONS, Reach::Leader).await?;
    let mut workers = JoinSet::new();
    for worker in 0..FILLERS {
        let door: Door = doors[worker as usize % doors.len()].clone();
        workers.spawn(async move {
            for number in (worker..objects).step_by(FILLERS as usize) {
                door.create(number, value(number)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}
