//! What the agreed commands drive.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// Writes one captured state, later and on another thread than the one that captured it.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A deterministic state machine: the same commands in the same order give the same state on every master.
///
/// All methods are called on the raft thread, so none may block on disk, network or a lock that a reader holds for long.
pub trait Machine: Send + 'static {
    /// What the proposer of a command gets back.
    type Output: Send + 'static;

    /// Applies one agreed command. `index` is its place in the log: it grows, but not by one (the log also holds entries of
    /// its own). A panic here ends the process: every master would meet the same command.
    fn apply(&mut self, index: u64, command: Bytes) -> Self::Output;

    /// Lets readers see what was applied. Called after each run of commands, before anybody is answered, so that what it costs
    /// is shared by all commands of the run.
    fn show(&mut self) {}

    /// Captures the state as it is now, in O(1); the result is written out later on a thread of low priority.
    fn snapshot(&self) -> SnapshotWriter;

    /// Replaces the state by a captured one.
    ///
    /// # Errors
    /// When the bytes end early, are damaged or are not understood. The machine must then be as it was before, because it
    /// may be offered an older snapshot next.
    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()>;

    /// A number that two machines share only if they applied the same commands with the same results. It belongs to the
    /// state: a snapshot carries it. Members compare it now and then, and one that differs from the majority stops.
    fn digest(&self) -> u64;
}

#[cfg(test)]
pub(crate) mod tests {
    //! A machine for tests: remembers all commands in order.
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use bytes::BufMut;

    use super::*;

    /// Clones share the state, so that a test sees what is applied.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Notes(Arc<Mutex<State>>);

    #[derive(Debug, Default)]
    struct State {
        commands: Vec<Bytes>,
        applied_since_restore: usize,
        spoilt: bool,
    }

    impl Notes {
        pub(crate) fn line(number: usize) -> Bytes {
            format!("command {number:08} {}", "x".repeat(number % 100)).into()
        }

        pub(crate) fn all(&self) -> Vec<Bytes> {
            self.0.lock().unwrap().commands.clone()
        }

        pub(crate) fn sorted(&self) -> Vec<Bytes> {
            let mut all = self.all();
            all.sort();
            all
        }

        pub(crate) fn applied_since_restore(&self) -> usize {
            self.0.lock().unwrap().applied_since_restore
        }

        /// From now on the state is another one than the commands say.
        pub(crate) fn spoil(&self) {
            self.0.lock().unwrap().spoilt = true;
        }

        pub(crate) fn forget_content(&self) {
            self.0.lock().unwrap().commands.clear();
        }
    }

    impl Machine for Notes {
        type Output = usize;

        fn apply(&mut self, _: u64, command: Bytes) -> usize {
            let mut state = self.0.lock().unwrap();
            state.commands.push(command);
            state.applied_since_restore += 1;
            state.commands.len()
        }

        fn snapshot(&self) -> SnapshotWriter {
            let all = self.all();
            Box::new(move |to| {
                for command in all {
                    to.write_all(&(command.len() as u32).to_le_bytes())?;
                    to.write_all(&command)?;
                }
                Ok(())
            })
        }

        fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
            let mut bytes = Vec::new();
            snapshot.read_to_end(&mut bytes)?;
            let mut from = crate::codec::Source(bytes.into());
            let mut commands = Vec::new();
            while !from.is_empty() {
                commands.push(from.bytes().map_err(io::Error::other)?);
            }
            *self.0.lock().unwrap() = State { commands, applied_since_restore: 0, spoilt: false };
            Ok(())
        }

        fn digest(&self) -> u64 {
            let state = self.0.lock().unwrap();
            state.commands.len() as u64 + u64::from(state.spoilt)
        }
    }

    #[test]
    fn notes_survive_their_own_snapshot() {
        let mut notes = Notes::default();
        notes.apply(2, Notes::line(1));
        let mut bytes = Vec::new();
        notes.snapshot()(&mut bytes).unwrap();
        let mut other = Notes::default();
        other.restore(&mut bytes.as_slice()).unwrap();
        assert_eq!(other.all(), notes.all());
        bytes.put_u8(1);
        assert!(other.restore(&mut bytes.as_slice()).is_err());
    }
}
