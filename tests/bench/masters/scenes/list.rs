//! Paging through everything, one page after the other.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{figures::median, fill::fill, group::Reach, settings::Settings, table};

/// As many as programs ask for.
const PAGE: i64 = 500;

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    let groups = settings.groups(1).await?;
    for group in &groups {
        fill(group, settings.objects).await?;
    }
    let (mut times, mut cpus) = (vec![Vec::new(); groups.len()], vec![Vec::new(); groups.len()]);
    for _ in 0..settings.rounds {
        for (index, group) in groups.iter().enumerate() {
            let door = group.doors(1, Reach::Leader).await?.remove(0);
            door.get(0).await?;
            let (before, start) = (group.cpu(), Instant::now());
            let count = door.pages(PAGE).await?;
            times[index].push(start.elapsed().as_secs_f64() * 1e3);
            cpus[index].push((group.cpu() - before).as_secs_f64() * 1e6 / count as f64);
            ensure!(count >= settings.objects, "{} has only {count} objects", group.name());
        }
    }
    let rows = |of: &[Vec<f64>]| -> Vec<(String, f64)> {
        groups.iter().zip(of).map(|(group, values)| (group.name(), median(values.clone()))).collect()
    };
    println!("  {} objects of 1 KiB, {PAGE} a page, 1 member", settings.objects);
    table::figures("time", "ms", &rows(&times));
    table::figures("CPU an object", "µs", &rows(&cpus));
    Ok(())
}
