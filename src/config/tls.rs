//! `[upstream.tls]`: files of certificates become whom we believe and who we are.

use std::fs;

use rustls::pki_types::ServerName;

use super::reader::Section;
use super::value::{Flag, Parsed};
use crate::upstream::tls::{Identity, PemError, Roots, Settings, Trust, certificates};

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

fn read<T>(path: &str, parse: impl Fn(&[u8]) -> Result<T, PemError>) -> Result<Read<T>, String> {
    let pem = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let content = parse(&pem).map_err(|error| error.to_string())?;
    Ok(Read { path: path.to_owned(), content })
}

fn path<T>(read: &Read<T>) -> String {
    read.path.clone()
}

/// Reads the section, and the files that it names.
pub(super) fn tls(section: &mut Section<'_>) -> Settings {
    let verify = section.get("verify", &Flag, true);
    let roots = section.optional("ca", &ROOTS, "those of the system");
    let server_name = section.optional("server_name", &NAME, "the host of each provider");
    let trust = match roots {
        _ if !verify => Trust::Anyone,
        Some(roots) => Trust::Only(roots.content),
        None => Trust::System,
    };
    let certificate = section.optional(PAIR.certificate, &CERTIFICATE, "none");
    let key = section.optional(PAIR.key, &KEY, "in the file of client_cert");
    if section.has(PAIR.key) && !section.has(PAIR.certificate) {
        section.wrong(PAIR.key, "there is no certificate that it is for; write client_cert as well");
    }
    Settings { trust, server_name, identity: PAIR.identity(section, certificate, key) }
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
