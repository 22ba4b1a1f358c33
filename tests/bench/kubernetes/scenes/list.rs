//! One list without a limit, again and again by one client, in the three forms that clients ask for.

use anyhow::{Result, ensure};
use hyper::Method;

use crate::{
    client::{Ask, JSON},
    figures::median,
    objects::{self, Sort},
    rival::Rival,
    settings::Settings,
    table,
};

const NAMESPACE: &str = objects::NAMESPACES[1];

/// Programs ask for JSON or protobuf, `kubectl get` for a table.
const FORMS: [(&str, &str); 3] = [
    ("JSON", JSON),
    ("table", "application/json;as=Table;v=v1;g=meta.k8s.io"),
    ("protobuf", "application/vnd.kubernetes.protobuf, application/json"),
];

/// No form of an object is shorter.
const OBJECT_BYTES_MIN: usize = 100;

/// One measurement.
#[derive(Clone, Copy)]
struct Outcome {
    cpu_us: f64,
    first_byte_ms: f64,
    whole_ms: f64,
    /// How far memory grew above what was resident before.
    peak_mib: f64,
}

pub(crate) async fn play(sort: Sort, rivals: &[Rival], settings: &Settings) -> Result<()> {
    for rival in rivals {
        objects::fill(rival, sort, NAMESPACE, settings.objects).await?;
    }
    println!("  {} objects, {} lists a measurement, one after the other", settings.objects, settings.lists);
    for (form, accept) in FORMS {
        let mut outcomes = vec![Vec::new(); rivals.len()];
        tell_other_forms(sort, rivals, form, accept).await?;
        for _ in 0..settings.rounds {
            for (rival, outcomes) in rivals.iter().zip(&mut outcomes) {
                outcomes.push(measure(sort, rival, accept, settings).await?);
            }
        }
        let rows = |figure: fn(&Outcome) -> f64| -> Vec<(String, f64)> {
            let of = |outcomes: &Vec<Outcome>| median(outcomes.iter().map(figure).collect());
            rivals.iter().zip(&outcomes).map(|(rival, outcomes)| (rival.name.to_owned(), of(outcomes))).collect()
        };
        table::figures(&format!("{form}: CPU an object"), "µs", &rows(|outcome| outcome.cpu_us));
        table::figures("  first byte", "ms", &rows(|outcome| outcome.first_byte_ms));
        table::figures("  whole answer", "ms", &rows(|outcome| outcome.whole_ms));
        table::figures("  memory on top", "MiB", &rows(|outcome| outcome.peak_mib));
    }
    Ok(())
}

/// Says who answers in another form than the one that is asked for first.
async fn tell_other_forms(sort: Sort, rivals: &[Rival], form: &str, accept: &str) -> Result<()> {
    let wanted = accept.split([';', ',']).next().unwrap_or_default();
    for rival in rivals {
        let path = format!("{}?limit=1", sort.collection(NAMESPACE));
        let answer = rival.client().await?.send(Ask::new(Method::GET, &path).accept(accept)).await?;
        if !answer.media.starts_with(wanted) {
            println!("  {} does not answer as {form}, but with {}", rival.name, answer.media);
        }
    }
    Ok(())
}

/// The version 0 lets a server answer from whatever it has in memory, which is the cheapest list that it offers.
async fn measure(sort: Sort, rival: &Rival, accept: &str, settings: &Settings) -> Result<Outcome> {
    let path = format!("{}?resourceVersion=0", sort.collection(NAMESPACE));
    let mut client = rival.client().await?;
    rival.forget_peak()?;
    let (resident, before) = (rival.resident_mib(), rival.cpu());
    let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..settings.lists {
        let answer = client.send(Ask::new(Method::GET, &path).accept(accept)).await?;
        ensure!(answer.bytes > settings.objects * OBJECT_BYTES_MIN, "{} left objects out", rival.name);
        firsts.push(answer.first_byte_ms);
        wholes.push(answer.whole_ms);
    }
    let objects = (settings.lists * settings.objects) as f64;
    Ok(Outcome {
        cpu_us: (rival.cpu() - before).as_secs_f64() * 1e6 / objects,
        first_byte_ms: median(firsts),
        whole_ms: median(wholes),
        peak_mib: (rival.peak_mib() - resident).max(0.0),
    })
}
