//! The records of go-zero: an address and nothing else.

use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention, json};
use crate::provider::{Protocol, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The records of go-zero in etcd: `<key>/<lease>` is `host:port`.
///
/// Its providers speak gRPC over HTTP/2 in clear text. There is no prefix: keys begin with the service, which is the `Key` of
/// go-zero's configuration, such as `user.rpc`.
#[derive(Clone, Copy, Debug)]
pub struct GoZero;

impl Format for GoZero {
    fn name(&self) -> &'static str {
        "go-zero"
    }

    fn prefix(&self) -> &'static str {
        "/"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        provider(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        let provider = &announcement.provider;
        convention::only_grpc(provider, "go-zero")?;
        let name = convention::one_part(&provider.id)?;
        Ok(Encoded { name, is_numbered: false, data: provider.address.to_string().into_bytes() })
    }
}

fn provider(entry: &Entry<'_>) -> Result<Provider, Unusable> {
    let data = json::content(entry)?;
    let text = std::str::from_utf8(data).ok().filter(|text| text.len() <= json::VALUE_BYTES_MAX);
    let text = text.ok_or_else(|| Unusable::new(Reason::Malformed, "the record is not host:port"))?;
    Ok(Provider { protocol: Protocol::H2c, ..Provider::new(entry.name, convention::address_of(text)?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format::sample;

    #[test]
    fn what_is_written_is_read_again() {
        for provider in sample::providers() {
            let written = GoZero.encode(&sample::announcement("svc", provider.clone()));
            if (provider.protocol, provider.secure) == (Protocol::H2c, false) {
                let encoded = written.unwrap();
                let read = sample::one(&GoZero, &encoded.name, &encoded.data);
                assert_eq!((read.id, read.address), (provider.id, provider.address));
            } else {
                assert!(written.unwrap_err().ends_with("only h2c; choose another format"));
            }
        }
    }

    #[test]
    fn a_record_is_an_address() {
        let provider = sample::one(&GoZero, "7587880294823", b"10.0.0.5:8080");
        assert_eq!(
            (provider.address.to_string().as_str(), provider.protocol),
            ("10.0.0.5:8080", Protocol::H2c)
        );
        assert_eq!(&*provider.id, "7587880294823");
        let reason = |data: &[u8]| sample::unusable(&GoZero, "1", data).reason;
        assert_eq!(
            (reason(b""), reason(b"x"), reason(b"0.0.0.0:1")),
            (Reason::Empty, Reason::Address, Reason::Address)
        );
        assert_eq!((reason(b"\xff"), reason(&[b'x'; 5000])), (Reason::Malformed, Reason::Malformed));
    }
}
