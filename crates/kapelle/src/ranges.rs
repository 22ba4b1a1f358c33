//! The ranges of addresses of a cluster: what fits together, and what fits to a host.

use anyhow::{Result, bail};
use api::Cidr;

/// The parts of the Pods' range that nodes get have at least so long a prefix: two addresses are left for Pods.
pub(crate) const NODE_PREFIX_MAX: u8 = 30;

/// Refuses ranges in which an address could be a Pod's as well as a Service's.
pub(crate) fn check(pods: Cidr, services: Cidr) -> Result<()> {
    if pods.overlaps(services) {
        bail!(
            "the ranges of Pods ({pods}) and of Services ({services}) overlap; give another one with --pod-cidr or \
             --service-cidr"
        );
    }
    Ok(())
}

/// Refuses a part of the Pods' range for each node that is not one.
pub(crate) fn check_part(pods: Cidr, prefix: u8) -> Result<()> {
    if prefix < pods.prefix() || prefix > NODE_PREFIX_MAX {
        bail!(
            "--node-cidr-mask-size {prefix}: each node gets a part of {pods}, so use {} to {NODE_PREFIX_MAX}; a /24 has 254 \
             addresses for Pods, a /18 has 16382",
            pods.prefix()
        );
    }
    Ok(())
}

/// Refuses a host whose own networks share addresses with the cluster's ranges: making those local, or routing them to other
/// nodes, would cut the host off.
pub(crate) async fn check_host(ranges: &[(&str, Cidr)]) -> Result<()> {
    let networks = agent::driver::networks().await?;
    for (whose, range) in ranges.iter().filter(|(_, range)| !range.base().is_loopback()) {
        if let Some((own, network)) = networks.iter().find(|(_, network)| network.overlaps(*range)) {
            bail!(
                "the cluster's range of {whose}, {range}, overlaps {network}, a network of this host, which is {own} there; \
                 found the cluster with other ranges, or take the host off that network"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_of_pods_and_services_must_not_overlap() {
        assert!(check(range("10.244.0.0/16"), range("10.96.0.0/12")).is_ok());
        let error = check(range("10.0.0.0/8"), range("10.96.0.0/12")).unwrap_err().to_string();
        assert!(error.contains("10.0.0.0/8") && error.contains("--service-cidr"), "{error}");
    }

    #[test]
    fn a_nodes_part_must_fit_into_the_range() {
        let pods = range("10.244.0.0/16");
        assert!(check_part(pods, 16).is_ok() && check_part(pods, 24).is_ok() && check_part(pods, 30).is_ok());
        for wrong in [8, 15, 31, 33] {
            assert!(check_part(pods, wrong).unwrap_err().to_string().contains("use 16 to 30"), "{wrong}");
        }
    }
}
