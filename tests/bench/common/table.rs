//! How figures are shown: ours first, then each rival with our ratio to it.

use crate::load::Outcome;

/// Prints what clients saw of everybody, ours first. A ratio above 1 speaks for us.
pub(crate) fn outcomes(what: &str, rows: &[(String, Outcome)]) {
    let Some((_, ours)) = rows.first() else { return };
    for (index, (name, outcome)) in rows.iter().enumerate() {
        let Outcome { per_second, p50_ms, p99_ms, cpu_us, failed } = outcome;
        let what = if index == 0 { what } else { "" };
        print!(
            "  {what:13} {name:12} {per_second:8.0} /s  p50 {p50_ms:7.2} ms  p99 {p99_ms:7.2} ms  CPU {cpu_us:7.1} µs"
        );
        if *failed > 0 {
            print!("  failed {failed}");
        }
        if index > 0 {
            print!(
                "  ours: {:.2} × the rate, {:.2} × as many per CPU",
                ours.per_second / per_second,
                cpu_us / ours.cpu_us
            );
        }
        println!();
    }
}

/// Prints one figure of everybody, ours first, of which less is better, with what share of each rival's ours is.
pub(crate) fn figures(what: &str, unit: &str, rows: &[(String, f64)]) {
    let Some((_, ours)) = rows.first() else { return };
    let text: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(index, (name, value))| match index {
            0 => format!("{name} {value:.1} {unit}"),
            _ => format!("{name} {value:.1} {unit} (ours is {:.2} of it)", ours / value),
        })
        .collect();
    println!("  {what:26} {}", text.join("  "));
}
