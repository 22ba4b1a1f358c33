//! `kill -9` over and over, while somebody writes: what was acknowledged must be there at the end.

use std::time::Instant;

use crate::{lab::Lab, writers::Writers};

/// So many times a master is killed; `KAPELLE_KILLS` asks for another number, such as 10000.
const KILLS: u64 = 200;

/// So many writers write at the same time.
const WRITERS: usize = 4;

#[test]
fn no_acknowledged_write_is_lost_however_often_masters_are_killed() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3"]) else { return };
    lab.three_masters();
    let kills = std::env::var("KAPELLE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let writers = Writers::start(&lab, "m1", &["m1", "m2", "m3"], WRITERS);

    let start = Instant::now();
    for kill in 0..kills {
        // In turn, so that leaders and followers are met; one is always back before the next goes.
        let host = ["m1", "m2", "m3"][(kill % 3) as usize];
        lab.kill(host);
        lab.master(host, None);
        lab.ready(host);
        writers.go_on(1, || lab.complaints(host));
    }
    let written = writers.stop();
    println!("{kills} kills in {:.0} s: {}", start.elapsed().as_secs_f64(), written.story());
    written.is_all_on(&lab, "m2");
}
