//! This machine's own DNS servers, as `/etc/resolv.conf` names them.

use std::io;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::proto::rr::Name;

/// Where they are named.
const PATH: &str = "/etc/resolv.conf";

/// The servers with the search list, and the dots from which on a name is asked for as it is first.
pub(super) fn read() -> io::Result<(ResolverConfig, usize)> {
    parse(&std::fs::read(PATH)?)
}

/// What cannot be read of it is left out, as the system's own resolver does.
fn parse(text: &[u8]) -> io::Result<(ResolverConfig, usize)> {
    let (parsed, _) = resolv_conf::Config::parse_with_errors(text);
    let servers: Vec<NameServerConfig> =
        parsed.nameservers.iter().map(|ip| NameServerConfig::udp_and_tcp(ip.into())).collect();
    if servers.is_empty() {
        return Err(io::Error::other(format!("{PATH} names no server")));
    }
    let search = parsed.get_last_search_or_domain().filter_map(|domain| Name::from_str_relaxed(domain).ok());
    let ndots = usize::try_from(parsed.ndots).unwrap_or(1);
    Ok((ResolverConfig::from_parts(None, search.collect(), servers), ndots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_search_list_and_dots_are_read_and_the_rest_left_out() {
        let text = "nameserver 10.96.0.10\nnameserver fd00::a\nnonsense here\n\
                    search default.svc.cluster.local cluster.local\noptions ndots:5\n";
        let (config, ndots) = parse(text.as_bytes()).unwrap();
        let servers: Vec<String> = config.name_servers.iter().map(|server| server.ip.to_string()).collect();
        assert_eq!((servers.join(" ").as_str(), ndots), ("10.96.0.10 fd00::a", 5));
        let search: Vec<String> = config.search.iter().map(Name::to_utf8).collect();
        assert_eq!(search, ["default.svc.cluster.local", "cluster.local"]);
        assert!(parse(b"search example.org\n").is_err());
    }
}
