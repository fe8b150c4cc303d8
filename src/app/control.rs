//! Control: the thread beside the traffic, on which the registry is followed.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Builder;

use crate::drain::Drain;
use crate::proxy::Shared;
use crate::registry::Registry;

/// Starts the control thread.
///
/// # Errors
/// When it or its runtime cannot be made.
pub(super) fn start(
    registry: Arc<dyn Registry>,
    shared: Arc<Shared>,
    control: Drain,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        runtime.block_on(async {
            let catalog = Arc::clone(&shared.catalog);
            catalog.follow(registry, control.clone()).await;
        });
    })
}
