//! The runs of containers on this node, from the moment in which they are to start until they have ended.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::brain::{Run, Shape, Uid};

/// The runs, and what carries each out.
pub(crate) struct Runs<C>(Mutex<HashMap<Run, State<C>>>);

impl<C> Default for Runs<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// How far a run is.
enum State<C> {
    /// It is being started; it may have been asked to stop meanwhile, with this grace.
    Starting(Option<Duration>),
    Running(Running<C>),
}

/// A run that has started.
pub(crate) struct Running<C> {
    pub(crate) container: C,
    pub(crate) shape: Shape,
    /// Where a handler answers.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// An address that another container of the same Pod has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) address: SocketAddr,
    /// The container's name.
    pub(crate) by: Arc<str>,
}

impl<C> Runs<C> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Run, State<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run is to start.
    pub(crate) fn begin(&self, run: Run) {
        self.lock().insert(run, State::Starting(None));
    }

    /// A run has started, and serves requests under its addresses, unless another container of its Pod has one of them. Returns
    /// the grace with which it was asked to stop meanwhile. Only the kernel knows what a program listens on: `is_open` asks it.
    pub(crate) fn started(
        &self,
        run: &Run,
        running: Running<C>,
        is_open: impl Fn(SocketAddr) -> bool,
    ) -> Result<Option<Duration>, Taken> {
        let mut runs = self.lock();
        for (other, state) in runs.iter().filter(|(other, _)| other.pod == run.pod && *other != run) {
            let State::Running(theirs) = state else { continue };
            let is_taken = |address: &&SocketAddr| match theirs.shape {
                Shape::Handler => theirs.addresses.contains(address),
                Shape::Program => is_open(**address),
            };
            if let Some(address) = running.addresses.iter().find(is_taken) {
                return Err(Taken { address: *address, by: other.container.clone() });
            }
        }
        match runs.insert(run.clone(), State::Running(running)) {
            Some(State::Starting(stop)) => Ok(stop),
            Some(State::Running(_)) | None => Ok(None),
        }
    }

    /// Asks a run to end: `stop` does it for one that has started, others are asked as soon as they have.
    pub(crate) fn stop(&self, run: &Run, grace: Duration, stop: impl FnOnce(&Running<C>)) {
        match self.lock().get_mut(run) {
            Some(State::Starting(asked)) => *asked = Some(grace),
            Some(State::Running(running)) => stop(running),
            None => {}
        }
    }

    /// A run has ended, or did not start.
    pub(crate) fn end(&self, run: &Run) {
        self.lock().remove(run);
    }

    /// Looks at a run that has started.
    pub(crate) fn look<T>(&self, run: &Run, look: impl FnOnce(&Running<C>) -> T) -> Option<T> {
        match self.lock().get(run) {
            Some(State::Running(running)) => Some(look(running)),
            Some(State::Starting(_)) | None => None,
        }
    }

    /// Looks at every run that has started.
    pub(crate) fn all<T>(&self, look: impl Fn(&Run, &Running<C>) -> T) -> Vec<T> {
        let runs = self.lock();
        let started = runs.iter().filter_map(|(run, state)| match state {
            State::Running(running) => Some(look(run, running)),
            State::Starting(_) => None,
        });
        started.collect()
    }

    /// The addresses under which a Pod's handlers answer.
    pub(crate) fn addresses(&self, pod: &Uid) -> Vec<SocketAddr> {
        let runs = self.lock();
        let mine = runs.iter().filter(|(run, _)| run.pod == *pod);
        let addresses = mine.filter_map(|(_, state)| match state {
            State::Running(running) => Some(&running.addresses),
            State::Starting(_) => None,
        });
        addresses.flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pod: &str, container: &str) -> Run {
        Run { pod: pod.into(), container: container.into(), number: 1 }
    }

    fn at(port: u16) -> SocketAddr {
        ([10, 244, 0, 7], port).into()
    }

    fn running(shape: Shape, ports: &[u16]) -> Running<()> {
        Running { container: (), shape, addresses: ports.iter().copied().map(at).collect() }
    }

    #[test]
    fn what_is_asked_to_stop_while_it_starts_hears_of_it_afterwards() {
        let (runs, grace) = (Runs::default(), Duration::from_secs(3));
        let [one, two] = [run("a", "one"), run("a", "two")];
        runs.begin(one.clone());
        runs.stop(&one, grace, |_| unreachable!("it has not started"));
        assert_eq!(runs.started(&one, running(Shape::Handler, &[80]), |_| false), Ok(Some(grace)));
        let mut asked = 0;
        runs.stop(&one, grace, |_| asked += 1);
        runs.stop(&two, grace, |_| asked += 1);
        assert_eq!(asked, 1, "there is no other");
        runs.begin(two.clone());
        assert_eq!(runs.started(&two, running(Shape::Handler, &[81]), |_| false), Ok(None));
        assert_eq!(runs.addresses(&"a".into()).len(), 2);
        assert_eq!(runs.all(|run, _| run.clone()).len(), 2);
        runs.end(&one);
        assert_eq!((runs.addresses(&"a".into()), runs.look(&one, |_| ())), (vec![at(81)], None));
    }

    #[test]
    fn containers_of_a_pod_share_no_port() {
        let runs = Runs::default();
        assert_eq!(runs.started(&run("a", "handler"), running(Shape::Handler, &[80]), |_| false), Ok(None));
        assert_eq!(runs.started(&run("a", "program"), running(Shape::Program, &[]), |_| false), Ok(None));
        let second = |ports: &[u16], open: u16| {
            runs.started(&run("a", "second"), running(Shape::Handler, ports), |address| address == at(open))
        };
        assert_eq!(second(&[79, 80], 0), Err(Taken { address: at(80), by: "handler".into() }));
        assert_eq!(second(&[81], 81), Err(Taken { address: at(81), by: "program".into() }));
        assert!(runs.look(&run("a", "second"), |_| ()).is_none(), "it did not start");
        assert_eq!(second(&[81], 82), Ok(None));
        assert_eq!(runs.started(&run("b", "handler"), running(Shape::Handler, &[80]), |_| true), Ok(None));
    }
}
