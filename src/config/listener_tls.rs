//! `[listener.tls]`: files of certificates become who we are to clients, and whom we let in.

use super::reader::Section;
use super::tls::{CERTIFICATE, KEY, Pair, ROOTS};
use crate::proxy::tls::Settings;

/// What the keys of a listener's certificate are called.
const PAIR: Pair = Pair { certificate: "cert", key: "key" };

/// Reads the section, and the files that it names; `None` where a mistake was noted.
pub(super) fn listener_tls(section: &mut Section<'_>) -> Option<Settings> {
    let certificate = section.required_file(
        "cert",
        &CERTIFICATE,
        "write the file of the certificate that clients are shown, or leave [listener.tls] out",
    );
    let key = section.file("key", &KEY, "in the file of cert");
    let identity = PAIR.identity(section, certificate, key);
    let clients = section.file("client_ca", &ROOTS, "clients need no certificate");
    let is_sound = clients.is_some() || !section.has("client_ca");
    let identity = identity.filter(|_| is_sound)?;
    Some(Settings { identity, clients: clients.map(|roots| roots.content), http: true })
}
