//! Networks, as the file says them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::reader::Section;
use super::value::{List, Parsed};
use crate::provider::{Allowed, is_reserved_somewhere};

/// A network in which addresses are dialled that otherwise would not be.
const NETWORK: Parsed<IpNet> = Parsed::new("a network", "169.254.0.0/16", network, IpNet::to_string);

fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<IpAddr>().ok().map(IpNet::from);
    let network = one.or_else(|| text.parse().ok());
    let network = network.ok_or("it is no IP address with the length of its prefix")?;
    if network.trunc() != network {
        return Err(format!("it has bits behind its prefix; write {:?}", network.trunc().to_string()));
    }
    if !is_reserved_somewhere(&network) {
        return Err("nothing in it is refused, so it needs no leave; take it out of the list".to_owned());
    }
    Ok(network)
}

/// Reads which reserved addresses may be dialled.
pub(super) fn allowed(section: &mut Section<'_>) -> Allowed {
    Allowed::new(section.get("allow_addresses", &List(NETWORK), Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_exact_and_of_use() {
        assert_eq!(network("169.254.0.0/16").unwrap().to_string(), "169.254.0.0/16");
        assert_eq!(network("fe80::1").unwrap().to_string(), "fe80::1/128");
        for (text, cause) in [
            ("169.254.1.0/16", "write \"169.254.0.0/16\""),
            ("10.0.0.0/8", "nothing in it is refused"),
            ("link-local", "it is no IP address"),
            ("169.254.0.0/33", "it is no IP address"),
        ] {
            let error = network(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
