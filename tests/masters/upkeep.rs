//! What operators do while everything goes on: restart masters one after the other, and replace them.

use crate::{lab::Lab, patience::wait_until, writers::Writers};

/// So many writes must be acknowledged between two steps.
const MORE: u64 = 20;

#[test]
fn a_rolling_restart_fails_no_command() {
    let masters = ["m1", "m2", "m3"];
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "c1"]) else { return };
    lab.three_masters();
    let writers = Writers::start(&lab, "c1", &masters, 3);
    writers.go_on(MORE, String::new);
    for master in masters {
        lab.signal(master, "TERM");
        assert!(lab.ended(master), "{}", lab.complaints(master));
        lab.master(master, None);
        lab.ready(master);
        writers.go_on(MORE, || lab.complaints(master));
    }
    let written = writers.stop();
    println!("a rolling restart: {}", written.story());
    assert!(written.failures.is_empty(), "{:#?}", written.failures);
    masters.iter().for_each(|master| written.is_all_on(&lab, master));
}

#[test]
fn masters_are_replaced_while_clients_write() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "m4", "m5", "c1"]) else { return };
    lab.three_masters();
    let writers = Writers::start(&lab, "c1", &["m1", "m2", "m3", "m4", "m5"], 3);
    for newcomer in ["m4", "m5"] {
        let token = lab.token("m3", "--role master");
        lab.master(newcomer, Some(("m3", &token)));
        lab.ready(newcomer);
        writers.go_on(MORE, || lab.complaints(newcomer));
    }
    assert_eq!(voters(&lab), 5);
    for leaves in ["m1", "m2"] {
        let id = lab.id("m3", leaves);
        lab.kapelle("m3", &format!("cluster remove {id}")).ok();
        assert!(!lab.ended(leaves));
        assert!(lab.complaints(leaves).contains("was removed from its group"), "{}", lab.complaints(leaves));
        writers.go_on(MORE, || format!("without {leaves}"));
    }
    assert_eq!(voters(&lab), 3);

    let written = writers.stop();
    println!("masters replaced: {}", written.story());
    assert!(written.failures.is_empty(), "{:#?}", written.failures);
    for master in ["m3", "m4", "m5"] {
        written.is_all_on(&lab, master);
    }
    wait_until("equal states", || {
        let state = |master| {
            lab.status(master).map(|status| {
                [&status["revision"], &status["objects"], &status["bytes"]].map(serde_json::Value::to_string)
            })
        };
        let states = [state("m3")?, state("m4")?, state("m5")?];
        if states[0] == states[1] && states[1] == states[2] { Ok(()) } else { Err(format!("{states:?}")) }
    });
}

/// So many masters have a vote.
fn voters(lab: &Lab) -> usize {
    let status = lab.status("m3").unwrap();
    status["members"].as_array().unwrap().iter().filter(|member| member["role"] == "voter").count()
}
