//! Who sits, who waits, and whose turn it is.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const LEVEL: Limits = Limits { nominal: 2, lendable: 0, most: 2, queue: Some((3, 6)) };

fn pool(levels: &[(&str, Limits)]) -> Pool {
    let mut pool = Pool::default();
    adopt(&mut pool, levels);
    pool
}

fn adopt(pool: &mut Pool, levels: &[(&str, Limits)]) {
    pool.adopt(levels.iter().map(|(name, limits)| (Arc::from(*name), *limits)));
}

/// A request of a flow that is a party of its own.
fn of(flow: u64) -> Asker {
    Asker { flow, party: flow, seats: 1 }
}

fn seated(pool: &mut Pool, level: &str, flow: u64) -> bool {
    matches!(pool.arrive(&level.into(), of(flow)), Arrival::Seated)
}

fn waits(pool: &mut Pool, level: &str, asker: Asker) -> (u64, oneshot::Receiver<()>) {
    let arrival = pool.arrive(&level.into(), asker);
    let Arrival::Waits(ticket, told) = arrival else { panic!("{arrival:?}") };
    (ticket, told)
}

fn refused(pool: &mut Pool, level: &str, asker: Asker) -> Full {
    let arrival = pool.arrive(&level.into(), asker);
    let Arrival::Refused(full) = arrival else { panic!("{arrival:?}") };
    full
}

fn is_told(told: &mut (u64, oneshot::Receiver<()>)) -> bool {
    told.1.try_recv().is_ok()
}

#[test]
fn who_finds_no_seat_is_refused_or_waits_in_order() {
    let reject = Limits { queue: None, ..LEVEL };
    let mut pool = pool(&[("queue", LEVEL), ("reject", reject)]);
    for level in ["queue", "reject"] {
        assert!(seated(&mut pool, level, 1) && seated(&mut pool, level, 1));
    }
    assert_eq!(refused(&mut pool, "reject", of(2)), Full::Seats);
    let mut first = waits(&mut pool, "queue", of(1));
    let mut second = waits(&mut pool, "queue", of(1));
    waits(&mut pool, "queue", of(1));
    assert_eq!(refused(&mut pool, "queue", of(1)), Full::Queue, "of this flow three wait");
    let others: Vec<_> = (2..5).map(|flow| waits(&mut pool, "queue", of(flow))).collect();
    assert_eq!(refused(&mut pool, "queue", of(9)), Full::Queue, "of all flows six wait");
    pool.leave(&"queue".into(), of(1));
    assert!(is_told(&mut first) && !is_told(&mut second));
    pool.leave(&"reject".into(), of(1));
    assert!(seated(&mut pool, "reject", 2));
    drop(others);
}

#[test]
fn flows_take_turns_however_many_wait_in_one() {
    let mut pool = pool(&[("a", Limits { queue: Some((50, 500)), ..LEVEL })]);
    assert!(seated(&mut pool, "a", 1) && seated(&mut pool, "a", 1));
    let mut greedy: Vec<_> = (0..40).map(|_| waits(&mut pool, "a", of(1))).collect();
    let mut modest = waits(&mut pool, "a", of(2));
    pool.leave(&"a".into(), of(1));
    assert!(is_told(&mut greedy[0]) && !is_told(&mut modest), "it came first");
    pool.leave(&"a".into(), of(1));
    assert!(is_told(&mut modest) && !is_told(&mut greedy[1]), "and now it is the other's turn");
}

#[test]
fn a_party_has_sixteen_seats_of_a_level_whatever_its_flows_are() {
    let wide = Limits { nominal: 100, lendable: 0, most: 100, queue: Some((200, 2_000)) };
    let mut pool = pool(&[("a", wide), ("b", wide)]);
    let account = |flow| Asker { flow, party: 7, seats: 1 };
    for flow in 0..FLOW_REQUESTS_MAX as u64 {
        assert!(matches!(pool.arrive(&"a".into(), account(flow)), Arrival::Seated));
    }
    let mut late = waits(&mut pool, "a", account(99));
    assert!(seated(&mut pool, "a", 1), "others are not held up");
    // Even in the same flow.
    let mut other = waits(&mut pool, "a", Asker { flow: 99, party: 8, seats: 1 });
    assert!(matches!(pool.arrive(&"b".into(), account(99)), Arrival::Seated), "another level");
    for _ in 1..FLOW_WAITING_MAX {
        waits(&mut pool, "a", account(99));
    }
    assert_eq!(refused(&mut pool, "a", account(99)), Full::Party);
    pool.leave(&"a".into(), of(1));
    assert!(is_told(&mut other) && !is_told(&mut late));
    pool.leave(&"a".into(), account(0));
    assert!(is_told(&mut late));
}

#[test]
fn levels_lend_what_they_do_not_use_and_get_it_back() {
    let lender = Limits { nominal: 4, lendable: 3, most: 4, queue: Some((9, 9)) };
    let borrower = Limits { nominal: 1, lendable: 0, most: 3, queue: Some((9, 9)) };
    let mut pool = pool(&[("lender", lender), ("borrower", borrower)]);
    assert!((0..3).all(|_| seated(&mut pool, "borrower", 1)));
    let mut more = waits(&mut pool, "borrower", of(1));
    assert!((0..2).all(|_| seated(&mut pool, "lender", 2)), "its own, and what is left to lend");
    let mut mine = waits(&mut pool, "lender", of(2));
    pool.leave(&"borrower".into(), of(1));
    assert!(is_told(&mut mine) && !is_told(&mut more), "who has less than its part goes first");
    pool.leave(&"lender".into(), of(2));
    assert!(is_told(&mut more));
    for (level, flow, count) in [("lender", 2, 2), ("borrower", 1, 3)] {
        (0..count).for_each(|_| pool.leave(&level.into(), of(flow)));
    }
    assert_eq!(pool.lent, 0, "everything came back");
    assert!(pool.levels.values().all(|level| level.used == 0 && level.parties.is_empty() && level.flows.is_empty()));
}

#[test]
fn who_gives_up_leaves_its_place_or_its_seat() {
    let mut pool = pool(&[("a", LEVEL)]);
    assert!(seated(&mut pool, "a", 1) && seated(&mut pool, "a", 1));
    let (gone, _) = waits(&mut pool, "a", of(1));
    let (late, _) = waits(&mut pool, "a", of(2));
    pool.give_up(&"a".into(), of(1), gone);
    // It has got its seat in the moment in which it gives up.
    pool.leave(&"a".into(), of(1));
    pool.give_up(&"a".into(), of(2), late);
    pool.leave(&"a".into(), of(1));
    let level = pool.levels.values().next().unwrap();
    assert_eq!((level.used, level.waiting, level.turns.len(), pool.turns.len()), (0, 0, 0, 0));
    assert!(level.parties.is_empty() && level.flows.is_empty());
}

#[test]
fn a_level_that_is_deleted_serves_who_waits_and_goes() {
    let mut pool = pool(&[("a", LEVEL), ("b", LEVEL)]);
    assert!(seated(&mut pool, "a", 1) && seated(&mut pool, "a", 1));
    let mut waiting = waits(&mut pool, "a", of(1));
    adopt(&mut pool, &[("b", LEVEL)]);
    assert!(is_told(&mut waiting));
    assert!(seated(&mut pool, "a", 1), "who was on its way to it");
    (0..4).for_each(|_| pool.leave(&"a".into(), of(1)));
    assert_eq!(pool.levels.len(), 1);
    // A level that gets more seats gives them away at once.
    assert!(seated(&mut pool, "b", 1) && seated(&mut pool, "b", 1));
    let mut waiting = waits(&mut pool, "b", of(1));
    adopt(&mut pool, &[("b", Limits { nominal: 3, most: 3, ..LEVEL })]);
    assert!(is_told(&mut waiting));
}

#[test]
fn what_takes_many_seats_is_not_passed_by() {
    let three = Limits { nominal: 3, lendable: 0, most: 3, queue: Some((9, 9)) };
    let mut pool = pool(&[("a", three)]);
    let many = |flow, seats| Asker { seats, ..of(flow) };
    assert!(seated(&mut pool, "a", 1) && seated(&mut pool, "a", 2));
    let mut wide = waits(&mut pool, "a", many(3, 3));
    let mut late = waits(&mut pool, "a", of(4));
    pool.leave(&"a".into(), of(1));
    assert!(!is_told(&mut wide) && !is_told(&mut late), "two seats are free, and it is the turn of who needs three");
    pool.leave(&"a".into(), of(2));
    assert!(is_told(&mut wide) && !is_told(&mut late));
    pool.leave(&"a".into(), many(3, 3));
    assert!(is_told(&mut late));
    // Who gives up makes room for those behind it.
    let (gone, _) = waits(&mut pool, "a", many(5, 3));
    let mut behind = waits(&mut pool, "a", of(6));
    pool.give_up(&"a".into(), many(5, 3), gone);
    assert!(is_told(&mut behind));
    pool.leave(&"a".into(), of(4));
    pool.leave(&"a".into(), of(6));
    // More than there is: only where nobody sits.
    assert!(matches!(pool.arrive(&"a".into(), many(7, 9)), Arrival::Seated));
    assert!(!is_told(&mut waits(&mut pool, "a", of(8))));
    pool.leave(&"a".into(), many(7, 9));
    pool.leave(&"a".into(), of(8));
    let level = pool.levels.values().next().unwrap();
    assert_eq!((level.used, level.waiting, level.is_short, pool.lent), (0, 0, false, 0));
}

/// Requests of random widths come and go: seats are counted, and nobody waits while nobody sits.
#[test]
fn any_requests_are_served_in_the_end() {
    let limits = |own, lend, most| Limits { nominal: own + lend, lendable: lend, most, queue: Some((50, 500)) };
    let names = ["a", "b"];
    let mut random = 7_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..200 {
        let mut pool = pool(&[("a", limits(2, 3, 5)), ("b", limits(1, 0, 4))]);
        let (mut seated, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let level = names[next(2) as usize];
            let asker = Asker { flow: next(4), party: next(3), seats: next(6) as usize + 1 };
            match next(3) {
                0 | 1 if waiting.len() < 40 => match pool.arrive(&level.into(), asker) {
                    Arrival::Seated => seated.push((level, asker)),
                    Arrival::Waits(ticket, told) => waiting.push((level, asker, ticket, told)),
                    Arrival::Refused(full) => panic!("{full:?}"),
                },
                _ if next(4) == 0 && !waiting.is_empty() => {
                    let (level, asker, ticket, _told) = waiting.swap_remove(next(waiting.len() as u64) as usize);
                    pool.give_up(&level.into(), asker, ticket);
                }
                _ if !seated.is_empty() => {
                    let (level, asker) = seated.swap_remove(next(seated.len() as u64) as usize);
                    pool.leave(&level.into(), asker);
                }
                _ => {}
            }
            let told = |(.., told): &mut (&str, Asker, u64, oneshot::Receiver<()>)| told.try_recv().is_ok();
            let called: Vec<_> = waiting.extract_if(.., told).map(|(level, asker, ..)| (level, asker)).collect();
            seated.extend(called);
            for name in names {
                let used: usize = seated.iter().filter(|(of, _)| *of == name).map(|(_, asker)| asker.seats).sum();
                let level = pool.levels.get(name).unwrap();
                assert_eq!(level.used, used);
                assert_eq!(level.waiting, waiting.iter().filter(|(of, ..)| *of == name).count());
                assert!(level.used > 0 || level.waiting == 0, "somebody waits where nobody sits");
            }
        }
    }
}
