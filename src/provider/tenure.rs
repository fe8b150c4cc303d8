//! How long a record stays in its registry once whoever wrote it has died.

/// How long a record stays in its registry once whoever wrote it has died: what its presence says of the provider's life,
/// and what its going says of the cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tenure {
    /// Until whoever keeps the registry takes it out: a file, the configuration, DNS.
    #[default]
    Kept,
    /// Until somebody deletes it: it outlives a provider that dies (a persistent znode, a key without a lease, an instance in Consul).
    Lasting,
    /// As long as its writer's session or lease of this number, which ends some time after the writer died.
    Leased(u64),
}

impl Tenure {
    /// The word for it in admin answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Lasting => "lasting",
            Self::Leased(_) => "leased",
        }
    }
}
