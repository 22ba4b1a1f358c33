//! The group changes while some are away: whoever was removed learns it, and workers learn who came.

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

#[test]
fn who_was_away_learns_who_left_and_who_came() {
    let Some(mut lab) = Lab::new(&["m1", "m2", "m3", "m4", "w1"]) else { return };
    lab.three_masters();
    let token = lab.token("m1", "--role worker");
    lab.worker("w1", Some(&token));
    lab.ready("w1");

    let gone = lab.id("m1", "m3");
    lab.kill("m3");
    wait_until("the removal of a master that is away", || {
        lab.kapelle("m1", &format!("cluster remove {gone}")).printed()
    });
    lab.master("m3", None);
    assert!(!lab.ended("m3"));
    assert!(lab.complaints("m3").contains("was removed from its group"), "{}", lab.complaints("m3"));

    let token = lab.token("m1", "--role master");
    lab.master("m4", Some(("m1", &token)));
    lab.ready("m4");
    let (known, came) = (lab.dir("w1").join("cluster.json"), lab.contact("m4"));
    wait_until("the worker to know the new master", || match std::fs::read_to_string(&known).unwrap() {
        text if text.contains(&came) && !text.contains(&lab.contact("m3")) => Ok(()),
        text => Err(text),
    });

    // Of the masters that it was told at its start none is left.
    for master in ["m1", "m2"] {
        let id = lab.id("m4", master);
        wait_until("the old masters to leave", || lab.kapelle("m4", &format!("cluster remove {id}")).printed());
        assert!(!lab.ended(master));
    }
    lab.kapelle("m4", &format!("push {} hello:v1", sample("hello-http").display())).ok();
    lab.kapelle("m4", "run hello --image=hello:v1").ok();
    lab.kapelle("m4", "rollout status deployment/hello --timeout=180s").ok();
}
