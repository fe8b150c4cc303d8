//! Reaping: deleting the record of a ghost, after looking once more that it is one that nobody owns and nobody changed.

use super::Settings;
use super::session::{Fault, Session};
use crate::provider::{Provider, ServiceName, Tenure};
use crate::registry::format::Entry;
use crate::registry::{Reaped, RegistryError};

/// Deletes the record of a provider if it is what it was: without an owner, without children, and announcing this address alone.
pub(super) async fn reap(
    settings: &Settings,
    service: &ServiceName,
    provider: &Provider,
) -> Result<Reaped, RegistryError> {
    let Some(path) =
        provider.record.strip_prefix(&settings.chroot).filter(|_| provider.tenure == Tenure::Lasting)
    else {
        return Ok(Reaped::Spared("it has an owner, or lies elsewhere"));
    };
    let session = Session::open_to_write(settings).await?;
    let (data, stat) = match session.call("read", path, session.client.get_data(path)).await {
        Ok(read) => read,
        Err(fault) => return spared(fault),
    };
    if stat.ephemeral_owner != 0 || stat.num_children != 0 {
        return Ok(Reaped::Spared("it has an owner now, or children"));
    }
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let announced = settings.format.decode(Entry::of(service, name, &data)).providers;
    if !announced.iter().any(|announced| announced.address == provider.address) {
        return Ok(Reaped::Spared("it announces something else now"));
    }
    if announced.iter().any(|announced| announced.address != provider.address) {
        return Ok(Reaped::Spared("it announces others as well, who may live"));
    }
    match session.call("delete", path, session.client.delete(path, Some(stat.version))).await {
        Ok(()) => Ok(Reaped::Deleted),
        Err(fault) => spared(fault),
    }
}

/// Why a record was left alone.
fn spared(fault: Fault) -> Result<Reaped, RegistryError> {
    match fault {
        Fault::Missing => Ok(Reaped::Spared("somebody has deleted it")),
        Fault::Denied => Ok(Reaped::Spared("ZooKeeper does not let this proxy delete it; give auth")),
        // A delete is bound to the version that was read: whatever went wrong, it was this very record or none.
        Fault::Lost => Ok(Reaped::Spared("the connection was lost")),
        Fault::Unthinkable | Fault::Unknown => Ok(Reaped::Spared("it cannot be deleted")),
        Fault::Failed(error) => Err(error),
    }
}
