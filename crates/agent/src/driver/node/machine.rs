//! What the machine is and has, as its kernel and its files tell.

use std::{collections::BTreeMap, fs};

use api::{core_v1::NodeSystemInfo, meta_v1::Quantity};

/// What the machine has, all of which Pods may use, and how many Pods it takes.
pub(crate) fn capacity(pods: u64) -> BTreeMap<String, Quantity> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let quantity = |text: String| Quantity { string: text };
    BTreeMap::from([
        ("cpu".to_owned(), quantity(cores.to_string())),
        ("memory".to_owned(), quantity(format!("{}Ki", memory_kib()))),
        ("pods".to_owned(), quantity(pods.to_string())),
    ])
}

/// All memory of the machine, in KiB.
fn memory_kib() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Which system runs here.
pub(crate) fn system() -> NodeSystemInfo {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = file("/etc/os-release");
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    NodeSystemInfo {
        machine_id: file("/etc/machine-id"),
        system_uuid: file("/etc/machine-id"),
        boot_id: file("/proc/sys/kernel/random/boot_id"),
        kernel_version: file("/proc/sys/kernel/osrelease"),
        os_image: os.trim_matches('"').to_owned(),
        container_runtime_version: "wasmtime://48".to_owned(),
        kubelet_version: version.clone(),
        kube_proxy_version: version,
        operating_system: std::env::consts::OS.to_owned(),
        architecture: api::well_known::ARCHITECTURE.to_owned(),
        ..NodeSystemInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{capacity, system};

    #[test]
    fn this_machine_has_processors_memory_and_a_kernel() {
        let capacity = capacity(7);
        let text = |name: &str| capacity[name].string.as_str();
        assert!(text("cpu").parse::<u32>().is_ok_and(|cores| cores > 0));
        assert!(text("memory").strip_suffix("Ki").and_then(|kib| kib.parse::<u64>().ok()).is_some_and(|kib| kib > 0));
        assert_eq!(text("pods"), "7");
        assert!(!system().kernel_version.is_empty());
    }
}
