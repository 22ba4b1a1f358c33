//! Whose turn it is at a Service's address, and which client stays with which Pod.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How many clients of one address are remembered at least: some 60 bytes each. Twice as many fit; then the half that was
/// not seen for longest is forgotten at once, which costs less than looking for the oldest one.
pub(crate) const CLIENTS_MIN: usize = 32_768;

/// Survives a change of the table.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: AtomicUsize,
    /// Only touched for Services whose clients stay.
    clients: Mutex<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    recent: HashMap<IpAddr, Stay>,
    earlier: HashMap<IpAddr, Stay>,
}

#[derive(Clone, Copy, Debug)]
struct Stay {
    with: SocketAddr,
    until: Instant,
}

impl Turns {
    /// A number that grows by one each time.
    pub(crate) fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The Pod of a client that was here not longer ago than it may stay; from now on it may stay as long again.
    pub(crate) fn stays_with(&self, client: IpAddr, life: Duration, now: Instant) -> Option<SocketAddr> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let stay = clients.find(client).filter(|stay| stay.until > now)?;
        clients.put(client, Stay { until: now + life, ..stay });
        Some(stay.with)
    }

    /// Remembers a client's Pod.
    pub(crate) fn stay(&self, client: IpAddr, with: SocketAddr, life: Duration, now: Instant) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.put(client, Stay { with, until: now + life });
    }
}

impl Clients {
    fn find(&self, client: IpAddr) -> Option<Stay> {
        self.recent.get(&client).or_else(|| self.earlier.get(&client)).copied()
    }

    fn put(&mut self, client: IpAddr, stay: Stay) {
        self.recent.insert(client, stay);
        if self.recent.len() >= CLIENTS_MIN {
            self.earlier = std::mem::take(&mut self.recent);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn pod(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_client_stays_as_long_as_it_comes_back_in_time() {
        let (turns, start, life) = (Turns::default(), Instant::now(), Duration::from_secs(10));
        let client = IpAddr::from([10, 0, 0, 1]);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(turns.stays_with(client, life, at(0)), None);
        turns.stay(client, pod(1), life, at(0));
        assert_eq!(turns.stays_with(client, life, at(9)), Some(pod(1)));
        assert_eq!(turns.stays_with(client, life, at(18)), Some(pod(1)));
        assert_eq!(turns.stays_with(client, life, at(28)), None);
    }

    #[test]
    fn the_clients_that_are_remembered_are_bounded_and_the_latest_are_kept() {
        let (turns, now, life) = (Turns::default(), Instant::now(), Duration::from_secs(10));
        let client = |number: usize| IpAddr::from(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or_default()));
        for number in 0..3 * CLIENTS_MIN {
            turns.stay(client(number), pod(1), life, now);
        }
        let known = (0..3 * CLIENTS_MIN).filter(|number| turns.stays_with(client(*number), life, now).is_some());
        assert!(known.count() <= 2 * CLIENTS_MIN);
        assert_eq!(turns.stays_with(client(3 * CLIENTS_MIN - 1), life, now), Some(pod(1)));
    }
}
