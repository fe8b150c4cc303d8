//! Reserved addresses are left out before anything is dialled, also where a name leads to them.

use std::net::{IpAddr, SocketAddr};

use super::ConnectError;
use crate::provider::{Address, Allowed};

/// Refuses an IP address that is reserved.
///
/// # Errors
/// [`ConnectError::Reserved`].
pub(super) fn refuse(address: &Address, ip: IpAddr, allowed: &Allowed) -> Result<(), ConnectError> {
    let Some(reserved) = allowed.refuses(ip) else { return Ok(()) };
    Err(ConnectError::Reserved { address: address.clone(), ip, reserved })
}

/// Those addresses of a name that may be dialled.
///
/// # Errors
/// [`ConnectError::Reserved`] where there are only others, [`ConnectError::NoAddress`] where there is none.
pub(super) fn sift(
    address: &Address,
    found: impl Iterator<Item = SocketAddr>,
    allowed: &Allowed,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let mut why = ConnectError::NoAddress { address: address.clone() };
    let mut sockets = Vec::new();
    for socket in found {
        match refuse(address, socket.ip(), allowed) {
            Ok(()) => sockets.push(socket),
            Err(error) => why = error,
        }
    }
    if sockets.is_empty() { Err(why) } else { Ok(sockets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Reserved;

    #[test]
    fn a_name_is_reached_where_it_leads_elsewhere_too() {
        let address: Address = "greeter:80".parse().unwrap();
        let sift = |found: &[&str]| {
            let found = found.iter().map(|socket| socket.parse().unwrap());
            sift(&address, found, &Allowed::default())
        };
        let metadata = ["169.254.169.254:80", "[fd00:ec2::254]:80"];
        let found = sift(&[metadata[0], "10.0.0.1:80", metadata[1], "[::1]:80"]).unwrap();
        assert_eq!(found, ["10.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        let error = sift(&metadata).unwrap_err();
        assert!(matches!(error, ConnectError::Reserved { reserved: Reserved::Metadata, .. }), "{error}");
        let error = sift(&[]).unwrap_err();
        assert!(matches!(error, ConnectError::NoAddress { .. }), "{error}");
    }
}
