//! The loop itself: nothing before everything is known, one write at a time for each object, patience after refusals.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ChangeType, DeleteOptions, Error, Key, Kind, Object, Reason, Subresource, Timestamp, Write, core_v1,
    kinds::Resource as _,
};
use expect_test::{Expect, expect};

use crate::{
    Brain, Config, Effect, Event, Ticket,
    testing::{NOW, PodTold, Told, added, change, node, pod, replica_set},
};

/// A brain, and a log of what it did.
struct Story {
    brain: Brain,
    now: Timestamp,
    revision: u64,
    flying: Vec<(Ticket, Write)>,
    /// What has happened by settled writes.
    stored: BTreeMap<Key, Object>,
    log: String,
}

impl Story {
    fn begin(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut story = Self {
            brain: Brain::new(Config::default()),
            now: NOW,
            revision: 0,
            flying: Vec::new(),
            stored: BTreeMap::new(),
            log: String::new(),
        };
        for object in objects {
            story.see(ChangeType::Added, object);
        }
        assert!(story.flying.is_empty(), "nothing is decided before everything is known");
        story.happen(Event::Synced);
        story
    }

    fn happen(&mut self, event: Event) {
        for effect in self.brain.handle(event, self.now) {
            match effect {
                Effect::Write { ticket, write } => {
                    let verb = match &write {
                        Write::Create(_) => "create",
                        Write::Update(..) => "update",
                        Write::Delete(..) => "delete",
                    };
                    self.log += &format!("{}: {verb} {}\n", ticket.0, write.key());
                    self.flying.push((ticket, write));
                }
                Effect::Sign { ticket, order } => self.log += &format!("{}: sign {}\n", ticket.0, order.request.key()),
                Effect::Approve { ticket, approval } => {
                    self.log += &format!("{}: approve {}\n", ticket.0, approval.request.key());
                }
                Effect::WakeAt(at) => self.log += &format!("wake in {}ms\n", at.since(self.now).as_millis()),
            }
        }
    }

    fn see(&mut self, kind: ChangeType, object: Object) {
        self.revision += 1;
        self.happen(Event::Observed(vec![change(kind, object, self.revision)]));
    }

    /// Lets the writes under way happen, and be seen.
    fn settle(&mut self) {
        for (ticket, write) in std::mem::take(&mut self.flying) {
            self.log += &format!("{} happened\n", ticket.0);
            let mut object = match write {
                Write::Update(binding, Subresource::Binding) => self.bound(&binding),
                Write::Create(object) | Write::Update(object, _) => object,
                Write::Delete(..) => continue,
            };
            object.metadata_mut().uid = object.key().name.to_string();
            self.revision += 1;
            self.stored.insert(object.key(), object.clone());
            let stored = added(object, self.revision);
            self.happen(Event::Settled { ticket, outcome: Ok(stored.object.clone().decoded()) });
            self.happen(Event::Observed(vec![stored]));
        }
    }

    /// The Pod of a binding, bound.
    fn bound(&self, binding: &Object) -> Object {
        let pod = self.stored.get(&binding.key()).and_then(|object| object.get::<core_v1::Pod>());
        let mut pod = pod.expect("there is such a Pod").clone();
        let node = binding.get::<core_v1::Pod>().and_then(api::pod::node_name).unwrap_or_default();
        node.clone_into(&mut pod.spec.get_or_insert_default().node_name);
        pod.into()
    }

    fn land(&mut self, kind: Kind) -> (Ticket, Write) {
        let place = self.flying.iter().position(|(_, write)| write.key().kind == kind);
        self.flying.remove(place.expect("such a write is under way"))
    }

    fn refuse(&mut self, kind: Kind, reason: Reason) {
        let (ticket, write) = self.land(kind);
        self.log += &format!("{} refused: {}\n", ticket.0, reason.word());
        let error = Error::new(reason, "no").about(&write.key());
        self.happen(Event::Settled { ticket, outcome: Err(error) });
    }

    fn wait(&mut self, ms: i64) {
        self.log += &format!("{ms}ms pass\n");
        self.now = Timestamp(self.now.0 + ms);
        self.happen(Event::Woken);
    }

    fn tells(self, expected: Expect) {
        expected.assert_eq(&self.log);
    }
}

#[test]
fn a_pod_is_created_bound_and_not_decided_about_twice() {
    let mut story = Story::begin([node("n1").object(), replica_set("web", 1).object()]);
    story.see(ChangeType::Modified, replica_set("web", 1).labelled("again=1").object());
    story.settle();
    story.settle();
    story.tells(expect![[r#"
        1: update Node n1
        2: create Pod default/web-qzxh4
        wake in 2000ms
        3: update ReplicaSet default/web
        1 happened
        2 happened
        4: create Event default/web.c2a5f69218571530
        5: update Pod default/web-qzxh4
        3 happened
        4 happened
        5 happened
        6: create Event default/web-qzxh4.ff999fb865551482
    "#]]);
}

#[test]
fn who_is_refused_tries_again_later_and_says_so() {
    let mut story = Story::begin([replica_set("web", 3).object()]);
    for _ in 0..3 {
        story.refuse(Kind::Pod, Reason::Forbidden);
    }
    story.wait(20);
    story.tells(expect![[r#"
        1: create Pod default/web-qzxh4
        2: create Pod default/web-c8qfp
        3: create Pod default/web-nccpd
        1 refused: Forbidden
        4: create Event default/web.f220bc0e9198f207
        wake in 20ms
        2 refused: Forbidden
        3 refused: Forbidden
        20ms pass
        5: create Pod default/web-qzxh4
        6: update ReplicaSet default/web
    "#]]);
}

#[test]
fn after_a_conflict_the_newer_object_is_looked_at() {
    let mut story = Story::begin([node("n1").object(), pod("a").object()]);
    story.refuse(Kind::Pod, Reason::Conflict);
    story.see(ChangeType::Modified, pod("a").on("n2").object());
    story.wait(100);
    story.tells(expect![[r#"
        1: update Node n1
        2: update Pod default/a
        wake in 2000ms
        2 refused: Conflict
        wake in 100ms
        3: delete Pod default/a
        wake in 2000ms
        100ms pass
        wake in 1900ms
    "#]]);
}

#[test]
fn a_write_of_unknown_outcome_keeps_its_room_until_that_is_known() {
    let big = |name| pod(name).requesting("2", "1Gi").object();
    let mut story = Story::begin([node("n1").object(), big("a")]);
    story.refuse(Kind::Pod, Reason::Timeout);
    story.see(ChangeType::Added, big("b"));
    story.wait(15_000);
    story.refuse(Kind::Pod, Reason::Timeout);
    story.see(ChangeType::Modified, pod("a").requesting("2", "1Gi").on("n1").object());
    story.tells(expect![[r#"
        1: update Node n1
        2: update Pod default/a
        wake in 2000ms
        2 refused: Timeout
        3: update Pod default/b
        4: create Event default/b.23c59a66dea2e5b8
        15000ms pass
        5: update Pod default/a
        wake in 500ms
        3 refused: Timeout
    "#]]);
}

#[test]
fn what_is_deleted_is_gone_only_when_that_is_seen() {
    let set = replica_set("web", 0);
    let extra = pod("extra").labelled("app=web").on("n1").ready().owned_by(&set);
    let mut story = Story::begin([node("n1").object(), set.object(), extra.object()]);
    let (ticket, write) = story.land(Kind::Pod);
    assert!(matches!(write, Write::Delete(_, DeleteOptions { uid: Some(_), .. })));
    story.happen(Event::Settled { ticket, outcome: Ok(Arc::new(extra.object())) });
    story.see(ChangeType::Modified, set.labelled("again=1").object());
    story.see(ChangeType::Deleted, extra.object());
    story.tells(expect![[r#"
        1: update Node n1
        2: delete Pod default/extra
        wake in 2000ms
        3: create Event default/web.e2ff297154b564be
        4: update ReplicaSet default/web
    "#]]);
}

#[test]
fn the_same_said_again_is_counted() {
    let mut story = Story::begin([pod("a").object()]);
    story.settle();
    let event = |story: &Story| {
        let world = &story.brain.world;
        world.all::<core_v1::Event>().map(|event| format!("{} x{}", event.message, event.count)).collect::<Vec<_>>()
    };
    assert_eq!(event(&story), ["no nodes available to schedule pods x1"]);
    let mut unheard = pod("a");
    unheard.status = None;
    story.see(ChangeType::Modified, unheard.object());
    story.settle();
    assert_eq!(event(&story), ["no nodes available to schedule pods x2"]);
    story.wait(3_600_001);
    let last = story.flying.iter().map(|(_, write)| write.key().kind).collect::<Vec<_>>();
    assert_eq!(last, [Kind::Event], "an hour later it is forgotten");
}

#[test]
fn an_event_from_the_future_or_from_long_ago_is_kept_for_an_hour_too() {
    for away_ms in [1_000_000_000_000, -1_000_000_000_000] {
        let mut event = core_v1::Event::default();
        event.metadata_mut().name = "odd".to_owned();
        event.metadata_mut().namespace = "default".to_owned();
        event.metadata_mut().creation_timestamp = Some(NOW.into());
        event.last_timestamp = Some(Timestamp(NOW.0 + away_ms).into());
        let mut story = Story::begin([event.into()]);
        let flying = |story: &Story| story.flying.iter().map(|(_, write)| write.key().kind).collect::<Vec<_>>();
        story.wait(3_590_000);
        assert_eq!(flying(&story), [], "{away_ms}");
        story.wait(10_001);
        assert_eq!(flying(&story), [Kind::Event], "{away_ms}");
    }
}

#[test]
fn a_silent_node_is_given_up_and_comes_back_with_its_first_heartbeat() {
    let mut story = Story::begin(["n1", "n2"].map(|name| node(name).object()));
    story.settle();
    story.log.clear();
    let say = |story: &mut Story, name: &str| {
        let at = story.now;
        story.happen(Event::Heartbeat { node: name.to_owned(), at });
    };
    let beat = |story: &mut Story| say(story, "n1");
    beat(&mut story);
    story.wait(1_900);
    beat(&mut story);
    say(&mut story, "n2");
    story.wait(1_500);
    say(&mut story, "n2");
    story.wait(500);
    story.settle();
    story.settle();
    say(&mut story, "n2");
    story.wait(1_000);
    say(&mut story, "n2");
    beat(&mut story);
    story.settle();
    story.settle();
    story.tells(expect![[r#"
        1900ms pass
        wake in 100ms
        1500ms pass
        wake in 500ms
        500ms pass
        3: update Node n1
        4: create Event default/n1.46e6dba48fdf70d4
        wake in 1500ms
        3 happened
        5: update Node n1
        4 happened
        5 happened
        1000ms pass
        wake in 500ms
        6: update Node n1
        6 happened
        7: update Node n1
        7 happened
    "#]]);
}
