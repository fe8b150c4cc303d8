//! Asking the app whether it is well, where it listens.

use tokio::net::TcpStream;

use crate::check::{Asked, Check, Reason, Unwell};
use crate::provider::{Address, Host, ServiceName};

/// Asks the app once; why it is not well otherwise.
pub(super) async fn ask(check: &Check, service: &ServiceName, announced: &Address) -> Result<(), String> {
    let address = check.place(announced);
    let host = address.to_string();
    let asked = Asked::new(service, &address, &host);
    check.ask(&asked, connect(&address)).await.map_err(|unwell| unwell.detail)
}

async fn connect(address: &Address) -> Result<TcpStream, Unwell> {
    let connected = match address.host() {
        Host::Ip(ip) => TcpStream::connect((*ip, address.port())).await,
        Host::Name(name) => TcpStream::connect((&**name, address.port())).await,
    };
    connected
        .map_err(|error| Unwell::new(Reason::Unreachable, format!("cannot connect to {address}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::check::{CheckKind, Place, Statuses};

    #[tokio::test]
    async fn who_does_not_answer_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = listener.local_addr().unwrap().into();
        let service = "greeter".parse().unwrap();
        let path = "/health".to_owned();
        let kind = CheckKind::Http { path, status: Statuses::default(), host: None };
        let silent = Check { kind, timeout: Duration::from_millis(50), ..Check::default() };
        let cause = ask(&silent, &service, &address).await.unwrap_err();
        assert_eq!(cause, format!("{address} did not answer within 50ms"));
        assert_eq!(ask(&Check::default(), &service, &address).await, Ok(()), "it can be connected to");
        let elsewhere = Check { place: Some(Place::At(address.clone())), ..Check::default() };
        assert_eq!(ask(&elsewhere, &service, &"192.0.2.1:1".parse().unwrap()).await, Ok(()));
        let port = Check { place: Some(Place::Port(address.port())), ..Check::default() };
        assert_eq!(ask(&port, &service, &"127.0.0.1:1".parse().unwrap()).await, Ok(()));
        drop(listener);
        let cause = ask(&Check::default(), &service, &address).await.unwrap_err();
        assert!(cause.starts_with(&format!("cannot connect to {address}: ")), "{cause}");
        let nothing = Check { kind: CheckKind::None, ..Check::default() };
        assert_eq!(ask(&nothing, &service, &address).await, Ok(()));
    }
}
