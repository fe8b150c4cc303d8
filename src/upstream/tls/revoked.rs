//! Certificates that are believed no longer, as lists of their authorities say.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use webpki::{CertRevocationList, OwnedCertRevocationList};

use super::PemError;

/// Lists of revoked certificates (RFC 5280, section 5); at least one.
#[derive(Clone)]
pub struct Revoked {
    /// As they were read.
    lists: Arc<[CertificateRevocationListDer<'static>]>,
    /// As they are looked into.
    parsed: Arc<[CertRevocationList<'static>]>,
}

impl Revoked {
    /// All lists of a PEM text.
    ///
    /// # Errors
    /// When there are none, or one of them cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(PemError::Broken)?;
        if lists.is_empty() {
            return Err(PemError::NoList);
        }
        let parse = |(index, list): (usize, &CertificateRevocationListDer<'_>)| {
            OwnedCertRevocationList::from_der(list.as_ref())
                .map(CertRevocationList::from)
                .map_err(|cause| PemError::UnusableList { number: index + 1, cause })
        };
        let parsed: Vec<_> = lists.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { lists: lists.into(), parsed: parsed.into() })
    }

    /// The lists.
    pub(super) fn lists(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.lists.iter().cloned()
    }

    /// The lists as they are looked into.
    pub(super) fn parsed(&self) -> &[CertRevocationList<'static>] {
        &self.parsed
    }
}

impl PartialEq for Revoked {
    fn eq(&self, other: &Self) -> bool {
        self.lists == other.lists
    }
}

impl Eq for Revoked {}

impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lists of revoked certificates", self.lists.len())
    }
}
