//! Makes inputs, hands them to a decoder on a thread of its own, and judges what it does.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Scale, Target, Verdict, mutate};
use crate::Prng;

/// A decoder that is not done by then never will be: the longest input takes a few milliseconds, and a busy machine is not
/// ten thousand times slower.
pub const INPUT_TIME_MAX: Duration = Duration::from_secs(180);

/// So many inputs that were accepted are kept to be damaged further.
const KEPT_MAX: usize = 200;

/// Which inputs are tried.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// What they follow from.
    pub seed: u64,
    /// How many.
    pub inputs: u64,
    /// When an input counts as endless.
    pub time_max: Duration,
}

/// What inputs amounted to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How many were read.
    pub accepted: u64,
    /// How many were refused.
    pub refused: u64,
    /// The most memory that one of them took, in bytes.
    pub heaviest: usize,
    /// The largest part of its bound that one of them took, in percent.
    pub fullest_percent: usize,
    /// The longest time for one of them.
    pub slowest: Duration,
}

/// What a decoder must never do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It panicked, saying this.
    Panic(String),
    /// It did not end in time.
    Endless,
    /// It took more memory than its bound.
    Memory {
        /// How much, in bytes.
        taken: usize,
        /// How much it may, in bytes.
        bound: usize,
    },
    /// It broke its promise, in words.
    Promise(String),
}

/// An input that breaks a decoder.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The decoder.
    pub target: &'static str,
    /// Which input of the run it was.
    pub number: u64,
    /// What it did.
    pub broken: Broken,
    /// What it was given.
    pub input: Bytes,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: input {} ({} bytes): {}", self.target, self.number, self.input.len(), self.broken)?;
        self.input.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(words) => write!(f, "it panicked: {words}"),
            Self::Endless => write!(f, "it did not end in time"),
            Self::Memory { taken, bound } => write!(f, "it took {taken} bytes of memory, and may take {bound}"),
            Self::Promise(words) => f.write_str(words),
        }
    }
}

/// Gives one input to a decoder, on this thread.
///
/// # Errors
/// What it did wrong.
pub fn judge(target: &Target, input: &Bytes, tally: &mut Tally) -> Result<Verdict, Broken> {
    let (begin, mut scale) = (Instant::now(), Scale::default());
    let read = catch_unwind(AssertUnwindSafe(|| (target.read)(input, &mut scale)));
    let verdict = read.map_err(|panic| Broken::Panic(words(&*panic)))?.map_err(Broken::Promise)?;
    let (taken, bound) = (scale.heaviest(), target.bound.of(input.len()));
    if taken > bound {
        return Err(Broken::Memory { taken, bound });
    }
    match verdict {
        Verdict::Accepted => tally.accepted += 1,
        Verdict::Refused => tally.refused += 1,
    }
    tally.heaviest = tally.heaviest.max(taken);
    tally.fullest_percent = tally.fullest_percent.max(taken * 100 / bound.max(1));
    tally.slowest = tally.slowest.max(begin.elapsed());
    Ok(verdict)
}

/// Reads the samples once, so that what decoders keep for good is not counted as taken by an input.
pub fn warm_up(target: &Target, samples: &[Vec<u8>]) {
    for sample in samples {
        let mut bytes = sample.clone();
        (target.mend)(&mut bytes);
        _ = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes.into(), &mut Scale::default())));
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

/// The input at work, for whoever waits for it.
struct Current {
    number: u64,
    input: Bytes,
    since: Instant,
}

/// Gives a decoder as many inputs as the run asks for.
///
/// # Errors
/// The first input that breaks it. If that one is endless, its thread is left behind.
pub fn fuzz(target: Target, run: Run) -> Result<Tally, Box<Finding>> {
    let current = Arc::new(Mutex::new(Current { number: 0, input: Bytes::new(), since: Instant::now() }));
    let (tell, told) = mpsc::channel();
    let shared = current.clone();
    std::thread::spawn(move || _ = tell.send(try_all(&target, run, &shared)));
    loop {
        match told.recv_timeout(run.time_max / 4) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err(at_fault(target.name, &current, "the harness")),
            Err(RecvTimeoutError::Timeout) => {
                let at = current.lock().unwrap_or_else(PoisonError::into_inner);
                if at.since.elapsed() > run.time_max {
                    let (number, input) = (at.number, at.input.clone());
                    return Err(Box::new(Finding { target: target.name, number, broken: Broken::Endless, input }));
                }
            }
        }
    }
}

/// A panic outside a decoder: in the samples or the damaging of them.
fn at_fault(target: &'static str, current: &Mutex<Current>, who: &str) -> Box<Finding> {
    let at = current.lock().unwrap_or_else(PoisonError::into_inner);
    let broken = Broken::Promise(format!("{who} panicked after this input"));
    Box::new(Finding { target, number: at.number, broken, input: at.input.clone() })
}

fn try_all(target: &Target, run: Run, current: &Mutex<Current>) -> Result<Tally, Box<Finding>> {
    let mut chance = Prng::new(run.seed);
    let samples = (target.samples)(&mut chance);
    warm_up(target, &samples);
    let mut corpus = samples.clone();
    let mut tally = Tally::default();
    for number in 0..run.inputs {
        let is_whole = number < samples.len() as u64;
        let mut bytes = if is_whole { samples[number as usize].clone() } else { mutate::input(&mut chance, &corpus) };
        let is_mended = is_whole || chance.happens(600);
        let raw = bytes.clone();
        if is_mended {
            (target.mend)(&mut bytes);
        }
        let input = Bytes::from(bytes);
        *current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { number, input: input.clone(), since: Instant::now() };
        let verdict = judge(target, &input, &mut tally);
        let finding = |broken| Box::new(Finding { target: target.name, number, broken, input: input.clone() });
        match verdict.map_err(finding)? {
            Verdict::Refused if is_whole => {
                return Err(finding(Broken::Promise("it refused a valid input".into())));
            }
            Verdict::Accepted if !is_whole => keep(&mut chance, &mut corpus, samples.len(), raw),
            _ => {}
        }
    }
    Ok(tally)
}

/// What was accepted may be a step to something that no sample is.
fn keep(chance: &mut Prng, corpus: &mut Vec<Vec<u8>>, samples: usize, bytes: Vec<u8>) {
    if !chance.happens(50) {
        return;
    }
    if corpus.len() < samples + KEPT_MAX {
        corpus.push(bytes);
    } else {
        let place = samples + (chance.bits() % KEPT_MAX as u64) as usize;
        corpus[place] = bytes;
    }
}
