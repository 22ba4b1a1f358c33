//! What controllers see stays the same, whether it is decoded or was let go of.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{ChangeType, Kept, Key, Object, Observation, Revision, core_v1::Pod, kinds::Resource as _, selector::Labels};

use super::{WARM_FOR, World};
use crate::{
    config::Config,
    testing::{NOW, PodTold as _, Told as _, pod},
};

/// An object that counts how often it is decoded.
#[derive(Debug)]
struct Counted {
    object: Object,
    decoded: AtomicUsize,
}

impl Counted {
    fn new(pod: Pod) -> Arc<Self> {
        Arc::new(Self { object: pod.into(), decoded: AtomicUsize::new(0) })
    }

    fn count(&self) -> usize {
        self.decoded.load(Ordering::Relaxed)
    }
}

impl Kept for Counted {
    fn key(&self) -> Key {
        self.object.key()
    }

    fn decoded(self: Arc<Self>) -> Arc<Object> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        Arc::new(self.object.clone())
    }
}

fn see(world: &mut World, change: ChangeType, pod: &Arc<Counted>, revision: u64) {
    world.observe(&Observation { change, object: pod.clone(), revision: Revision(revision) });
}

fn labelled<'w>(world: &'w World, text: &str) -> Vec<&'w str> {
    let selector = Labels::parse(text).unwrap_or_default();
    world.pods_matching("default", &selector).map(|pod| pod.name()).collect()
}

#[test]
fn what_nobody_looks_at_is_let_go_of_and_decoded_again() {
    let mut world = World::new(Config::default());
    let kept = Counted::new(pod("a").on("n1"));
    see(&mut world, ChangeType::Added, &kept, 1);
    assert_eq!(kept.count(), 1, "it was put into the index");
    for seconds in 0..60 {
        world.cool(NOW.after(Duration::from_secs(seconds)));
        assert_eq!(world.pods_on("n1").count(), 1);
    }
    assert_eq!(kept.count(), 1, "somebody looked all the time");
    world.cool(NOW.after(Duration::from_secs(60)));
    world.cool(NOW.after(Duration::from_secs(60) + WARM_FOR));
    assert_eq!(world.pods_on("n1").count(), 1);
    assert_eq!(kept.count(), 2, "nobody had looked");
}

#[test]
fn the_index_follows_what_was_let_go_of() {
    let mut world = World::new(Config::default());
    see(&mut world, ChangeType::Added, &Counted::new(pod("a").labelled("app=old").on("n1")), 1);
    for times in 1..4 {
        world.cool(NOW.after(WARM_FOR * times));
    }
    see(&mut world, ChangeType::Modified, &Counted::new(pod("a").labelled("app=new").on("n1")), 2);
    assert_eq!((labelled(&world, "app=old").len(), labelled(&world, "app=new").len()), (0, 1));
    for times in 4..7 {
        world.cool(NOW.after(WARM_FOR * times));
    }
    see(&mut world, ChangeType::Deleted, &Counted::new(pod("a").labelled("app=new").on("n1")), 3);
    assert_eq!((labelled(&world, "app=new").len(), world.pods_on("n1").count()), (0, 0));
    assert!(world.load("n1").is_none());
}
