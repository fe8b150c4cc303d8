//! `[upstream.tls]` and `[service.tls]`: files of certificates become whom we believe and who we are.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::reader::Section;
use super::value::{Flag, List, Parsed, parsed};
use crate::provider::ServiceName;
use crate::upstream::tls::{
    Identity, PemError, Revoked, Roots, Settings, SpiffeId, Terms, Trust, certificates,
};

/// A file by its path, and what was in it.
pub(super) struct Read<T> {
    path: String,
    pub(super) content: T,
}

/// Root certificates.
pub(super) const ROOTS: Parsed<Read<Roots>> = Parsed::new(
    "a file of root certificates",
    "/etc/ssl/our-ca.pem",
    |path| read(path, Roots::from_pem),
    path,
);

/// Lists of revoked certificates.
const REVOKED: Parsed<Read<Revoked>> = Parsed::new(
    "a file of lists of revoked certificates",
    "/etc/ssl/our-ca.crl",
    |path| read(path, Revoked::from_pem),
    path,
);

/// A certificate, and what leads to its authority.
pub(super) const CERTIFICATE: Parsed<Read<Vec<u8>>> = Parsed::new(
    "a file with a certificate",
    "/etc/ssl/wayside.pem",
    |path| read(path, |pem| certificates(pem).map(|_| pem.to_vec())),
    path,
);

/// A key.
pub(super) const KEY: Parsed<Read<Vec<u8>>> =
    Parsed::new("a file with a key", "/etc/ssl/wayside.key", |path| read(path, |pem| Ok(pem.to_vec())), path);

/// A name as it stands in certificates.
const NAME: Parsed<ServerName<'static>> = Parsed::new(
    "a host name or IP address",
    "greeter.internal",
    |text| ServerName::try_from(text.to_owned()).map_err(|error| error.to_string()),
    |name| name.to_str().into_owned(),
);

/// Who a provider may be.
const IDS: List<Parsed<SpiffeId>> = List(parsed("a SPIFFE id", "spiffe://example.org/greeter"));

fn read<T>(path: &str, parse: impl Fn(&[u8]) -> Result<T, PemError>) -> Result<Read<T>, String> {
    let pem = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let content = parse(&pem).map_err(|error| error.to_string())?;
    Ok(Read { path: path.to_owned(), content })
}

fn path<T>(read: &Read<T>) -> String {
    read.path.clone()
}

/// What is written of TLS in one section.
#[derive(Default)]
pub(super) struct Written {
    verify: Option<bool>,
    roots: Option<Roots>,
    revoked: Option<Revoked>,
    server_name: Option<ServerName<'static>>,
    ids: Option<Vec<SpiffeId>>,
    identity: Option<Identity>,
}

/// Reads `[upstream.tls]`, and the files that it names.
pub(super) fn of_all(section: &mut Section<'_>) -> Written {
    let verify = Some(section.get("verify", &Flag, true));
    let absent = ["those of the system", "none", "the host of each provider", "none, a name counts", "none"];
    Written { verify, ..written(section, absent) }.of_use(section)
}

/// Reads `[service.tls]`, in which everything is optional, and the files that it names.
pub(super) fn of_one(section: &mut Section<'_>) -> Written {
    const USUAL: &str = "as in [upstream.tls]";
    let absent = "as in [upstream.tls], and true where this section says what to verify by";
    let verify = section.optional("verify", &Flag, absent);
    Written { verify, ..written(section, [USUAL; 5]) }.of_use(section)
}

/// Reads what both have, but for whether certificates are verified; with what holds where it is absent.
fn written(section: &mut Section<'_>, absent: [&'static str; 5]) -> Written {
    let [roots, revoked, server_name, ids, identity] = absent;
    Written {
        verify: None,
        roots: section.file("ca", &ROOTS, roots).map(|read| read.content),
        revoked: section.file("crl", &REVOKED, revoked).map(|read| read.content),
        server_name: section.optional("server_name", &NAME, server_name),
        ids: section.optional("spiffe_id", &IDS, ids),
        identity: read_identity(section, identity),
    }
}

fn read_identity(section: &mut Section<'_>, absent: &'static str) -> Option<Identity> {
    let certificate = section.file(PAIR.certificate, &CERTIFICATE, absent);
    let key = section.file(PAIR.key, &KEY, "in the file of client_cert");
    if section.has(PAIR.key) && !section.has(PAIR.certificate) {
        section.wrong(PAIR.key, "there is no certificate that it is for; write client_cert as well");
    }
    PAIR.identity(section, certificate, key)
}

/// What the keys of our certificate are called.
const PAIR: Pair = Pair { certificate: "client_cert", key: "client_key" };

/// The keys of a section that name a certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: &'static str,
    pub(super) key: &'static str,
}

impl Pair {
    /// Who we are by these files, if they were there and belong together.
    pub(super) fn identity(
        &self,
        section: &Section<'_>,
        certificate: Option<Read<Vec<u8>>>,
        key: Option<Read<Vec<u8>>>,
    ) -> Option<Identity> {
        let certificate = certificate?;
        let key = match (&key, section.has(self.key)) {
            (Some(key), _) => &key.content,
            (None, false) => &certificate.content,
            (None, true) => return None,
        };
        match Identity::from_pem(&certificate.content, key) {
            Ok(identity) => Some(identity),
            Err(error) => {
                let culprit = if section.has(self.key) { self.key } else { self.certificate };
                section.wrong(culprit, error.to_string());
                None
            }
        }
    }
}

impl Written {
    /// Notes what is written in vain where nothing is verified.
    fn of_use(self, section: &Section<'_>) -> Self {
        if self.verify == Some(false) {
            for key in ["ca", "spiffe_id", "crl"].into_iter().filter(|key| section.has(key)) {
                section.wrong(key, "nothing is verified, so it is of no use; leave it or verify = false out");
            }
        }
        self
    }

    /// The terms of a section by itself.
    fn terms(&self) -> Terms {
        let trust = match &self.roots {
            _ if self.verify == Some(false) => Trust::Anyone,
            Some(roots) => Trust::Only(roots.clone()),
            None => Trust::System,
        };
        Terms {
            trust,
            revoked: self.revoked.clone(),
            server_name: self.server_name.clone(),
            ids: self.ids.clone().unwrap_or_default(),
            identity: self.identity.clone(),
        }
    }

    /// What this says, and else what is usual.
    fn over(&self, usual: &Self) -> Self {
        let says_by_what = self.roots.is_some() || self.revoked.is_some() || self.ids.is_some();
        let verify = self.verify.or(says_by_what.then_some(true));
        Self {
            verify: verify.or(usual.verify),
            roots: self.roots.as_ref().or(usual.roots.as_ref()).cloned(),
            revoked: self.revoked.as_ref().or(usual.revoked.as_ref()).cloned(),
            server_name: self.server_name.as_ref().or(usual.server_name.as_ref()).cloned(),
            ids: self.ids.as_ref().or(usual.ids.as_ref()).cloned(),
            identity: self.identity.as_ref().or(usual.identity.as_ref()).cloned(),
        }
    }
}

/// The terms of all, and of the services whose terms are others.
pub(super) fn settings(usual: &Written, by_service: &[(ServiceName, Written)]) -> Settings {
    let terms = usual.terms();
    let own: BTreeMap<_, _> = by_service
        .iter()
        .map(|(service, written)| (service.clone(), written.over(usual).terms()))
        .filter(|(_, own)| *own != terms)
        .map(|(service, own)| (service, Arc::new(own)))
        .collect();
    Settings { usual: Arc::new(terms), by_service: own }
}
