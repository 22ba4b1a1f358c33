//! What images may import, and the nearest thing to what they wanted instead.

/// Interfaces of WASI p2, offered to every component.
const P2: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Interfaces of WASI p3, offered to components that use any of them.
const P3: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:clocks/types",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// The newest version of each set that is offered; older patch versions fit too.
const P2_VERSION: &str = "0.2.12";
const P3_VERSION: &str = "0.3.0";

/// Two names this far apart, in edits, have nothing to do with each other.
const MAX_EDITS: usize = 8;

/// Whether an import of a component is offered, judged by its name.
pub(crate) fn is_offered(import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else { return false };
    (version.starts_with("0.2.") && P2.contains(&name)) || (version.starts_with("0.3.") && P3.contains(&name))
}

/// The offered interface whose name comes closest to that of `import`.
pub(crate) fn closest(import: &str) -> Option<String> {
    let name = import.split('@').next().unwrap_or(import);
    let offered = P2.iter().map(|name| (*name, P2_VERSION)).chain(P3.iter().map(|name| (*name, P3_VERSION)));
    let (edits, name, version) =
        offered.map(|(known, version)| (edits(name, known), known, version)).min_by_key(|(edits, ..)| *edits)?;
    (edits <= MAX_EDITS).then(|| format!("{name}@{version}"))
}

/// The closest thing to an import of a core module.
pub(crate) fn closest_core(module: &str) -> Option<String> {
    module.starts_with("wasi").then(|| "wasi_snapshot_preview1".to_string())
}

/// Insertions, deletions and replacements that make `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, is_offered};

    #[test]
    fn names_decide_what_is_offered() {
        assert!(is_offered("wasi:http/types@0.2.6"));
        assert!(is_offered("wasi:http/client@0.3.2"));
        assert!(!is_offered("wasi:http/client@0.2.0"), "a p3 interface in a p2 version");
        assert!(!is_offered("wasi:keyvalue/store@0.2.0"));
        assert_eq!(closest("wasi:http/outgoing-handlers@0.1.0").as_deref(), Some("wasi:http/outgoing-handler@0.2.12"));
        assert_eq!(closest("acme:warehouse/inventory-of-things"), None);
    }
}
