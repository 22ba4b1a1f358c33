//! Memory with many objects, and the time from a start after `kill -9` to the first answered read.

use std::time::Instant;

use anyhow::Result;

use crate::{figures::median, fill::fill, group::Reach, settings::Settings, table};

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    let (mut loaded, mut times, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups = settings.groups(1).await?;
    for group in &groups {
        fill(group, settings.objects).await?;
        loaded.push((group.name(), group.members[0].memory_mib("VmRSS")));
    }
    let mut rounds = vec![Vec::new(); groups.len()];
    for _ in 0..settings.rounds {
        for (group, rounds) in groups.iter_mut().zip(&mut rounds) {
            group.members[0].kill();
            let start = Instant::now();
            group.members[0].start()?;
            let door = group.doors(1, Reach::Spread).await?.remove(0);
            group.until_answered(&door).await?;
            rounds.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    for (group, rounds) in groups.iter().zip(rounds) {
        times.push((group.name(), median(rounds)));
        after.push((group.name(), group.members[0].memory_mib("VmRSS")));
    }
    println!("  {} objects of 1 KiB, 1 member", settings.objects);
    table::figures("resident when loaded", "MiB", &loaded);
    table::figures("kill -9 to first answer", "ms", &times);
    table::figures("resident after that", "MiB", &after);
    Ok(())
}
