//! Damaged bytes for every decoder that reads a wire or a disk; and decoders with defects, which must be found.
//! `cargo run --release -p testkit --example fuzz -- --inputs 1000000` tries as many as one likes.

use std::time::Duration;

use testkit::fuzz::{Bound, Broken, Counting, INPUT_TIME_MAX, Run, Tally, Target, Verdict, fuzz, judge, targets};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// So many inputs for each decoder; always the same, so that a failure is everybody's failure.
const RUN: Run = Run { seed: 0, inputs: 4_000, time_max: INPUT_TIME_MAX };

#[test]
fn no_damaged_byte_breaks_a_decoder() {
    let mut findings = Vec::new();
    for target in targets() {
        match fuzz(target, RUN) {
            Ok(tally) => {
                println!("{}: {tally:?}", target.name);
                assert!(tally.accepted > RUN.inputs / 100, "{} gets hardly anything to read", target.name);
            }
            Err(finding) => findings.push(finding.to_string()),
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}

/// Found by the fuzzer: a frame's first four bytes took 8 MiB, a message's in a snapshot's state 16 MiB.
#[test]
fn a_length_alone_takes_no_memory() {
    let long_frame = (8_u32 << 20).to_le_bytes().to_vec();
    let long_record = vec![2, 0x18, 1, 0xff, 0xff, 0xff, 0x07];
    for (name, input) in [("frame", long_frame), ("state", long_record)] {
        let target = targets().into_iter().find(|target| target.name == name).expect("a target");
        let target = Target { bound: Bound { base: 300 << 10, each: 16 }, ..target };
        let judged = judge(&target, &input.into(), &mut Tally::default());
        assert_eq!(judged, Ok(Verdict::Refused), "{name}");
    }
}

/// A decoder of bytes with their length in front, as it should not be; and what is found about it.
fn found(read: fn(&bytes::Bytes, &mut testkit::fuzz::Scale) -> Result<Verdict, String>) -> Broken {
    found_within(INPUT_TIME_MAX, read)
}

fn found_within(
    time_max: Duration,
    read: fn(&bytes::Bytes, &mut testkit::fuzz::Scale) -> Result<Verdict, String>,
) -> Broken {
    let target = Target {
        name: "sabotage",
        bound: Bound { base: 4 << 10, each: 16 },
        samples: |_| vec![vec![3, 0, 0, 0, 7, 8, 9]],
        mend: |_| (),
        read,
    };
    fuzz(target, Run { time_max, ..RUN }).expect_err("a defect").broken
}

fn length(input: &[u8]) -> Option<usize> {
    input.first_chunk().map(|length| u32::from_le_bytes(*length) as usize)
}

#[test]
fn a_decoder_that_panics_is_found() {
    let broken = found(|input, _| Ok(if input[4..].len() == 3 { Verdict::Accepted } else { Verdict::Refused }));
    assert!(matches!(&broken, Broken::Panic(words) if words.contains("out of range")), "{broken}");
}

#[test]
fn a_decoder_that_trusts_a_length_is_found() {
    let broken = found(|input, scale| {
        let read = scale.weigh(|| {
            let mut bytes = Vec::with_capacity(length(input)?);
            bytes.extend_from_slice(&input[4..]);
            Some(bytes)
        });
        Ok(read.map_or(Verdict::Refused, |_| Verdict::Accepted))
    });
    assert!(matches!(broken, Broken::Memory { taken, bound } if taken > bound), "{broken}");
}

#[test]
fn a_decoder_that_does_not_end_is_found() {
    let broken = found_within(Duration::from_secs(1), |input, _| {
        while length(input).is_some_and(|length| length > input.len()) {
            std::thread::park();
        }
        Ok(Verdict::Accepted)
    });
    assert_eq!(broken, Broken::Endless);
}

#[test]
fn a_decoder_that_reads_its_own_bytes_differently_is_found() {
    let broken = found(|input, _| {
        let is_same = input.get(6) != Some(&0xff);
        if is_same { Ok(Verdict::Accepted) } else { Err("it is another value".into()) }
    });
    assert_eq!(broken, Broken::Promise("it is another value".into()));
}
