//! How long nobody can write when the leader of three is killed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    door::{Door, value},
    fill::fill,
    group::{Group, Reach},
    load::quantile,
    members::PATIENCE,
    settings::Settings,
    table,
};

/// How long a client waits for one answer before it asks another member: much shorter than an election, since an etcd member
/// that passed a write on to the dead leader does not answer at all, and the wait would be measured instead.
const ATTEMPT: Duration = Duration::from_millis(250);

/// How long it waits before that.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    let mut groups = settings.groups(3).await?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for group in &mut groups {
        fill(group, 1).await?;
        let door = group.doors(1, Reach::Any).await?.remove(0);
        let mut gaps = Vec::new();
        for kill in 0..settings.kills {
            gaps.push(measure(group, &door, kill as u64).await?);
        }
        gaps.sort_by(f64::total_cmp);
        p50.push((group.name(), quantile(&gaps, 0.5)));
        p99.push((group.name(), quantile(&gaps, 0.99)));
    }
    println!("  {} kills, 3 members, a client that knows all of them", settings.kills);
    table::figures("p50", "ms", &p50);
    table::figures("p99", "ms", &p99);
    Ok(())
}

/// Kills the leader; answers the milliseconds until a write is acknowledged. The killed member is back when this returns.
async fn measure(group: &mut Group, door: &Door, kill: u64) -> Result<f64> {
    let leader = group.leader().await?;
    group.members[leader].kill();
    let start = Instant::now();
    while !matches!(tokio::time::timeout(ATTEMPT, door.put(0, value(kill))).await, Ok(Ok(()))) {
        ensure!(start.elapsed() < PATIENCE, "{}: no write after the leader was killed", group.name());
        door.turn();
        tokio::time::sleep(PAUSE).await;
    }
    let gap = start.elapsed().as_secs_f64() * 1e3;
    group.members[leader].start()?;
    let back = group.doors(group.members.len(), Reach::Spread).await?.remove(leader);
    group.until_answered(&back).await?;
    Ok(gap)
}
