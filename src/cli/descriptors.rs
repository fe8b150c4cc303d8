//! Files that this process may have open, of which each connection takes one: as many as the system lets it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open beside connections: listeners, the registry, logs, the runtimes, the pipes of the workers.
const OTHERS: u64 = 128;

/// Raises the limit as far as it goes, since the usual one, 1,024, is for programs that watch few files, and says when that is too
/// little for so many client connections, each with one to a provider.
pub(super) fn raise(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit of open files; connections may be refused for it");
        return;
    }
    let wanted = (connections_max as u64).saturating_mul(2).saturating_add(OTHERS);
    if let Some(files) = limit.maximum.filter(|files| *files < wanted) {
        tracing::warn!(
            files,
            wanted,
            "this process may not have as many files open as limits.connections needs: raise the hard limit (ulimit -Hn, \
             LimitNOFILE of systemd), or write a smaller limits.connections"
        );
    }
}
