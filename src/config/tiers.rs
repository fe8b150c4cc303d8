//! How the endpoints of services are laid out in tiers: zones, priorities, spill-over, panic and samples.

use std::num::NonZeroUsize;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::reader::Section;
use super::resolve::COUNT;
use super::value::{Flag, List, Number, Parsed, text};
use crate::catalog::{Layout, Layouts};
use crate::provider::ServiceName;

/// A zone, as records name it.
const ZONE: Parsed<String> = text("a zone", "a");
/// Shares that something has to reach; below nothing nobody falls.
const SPILL: Number<u8> = Number(1..=100);
/// The same, where 0 is never.
const PANIC: Number<u8> = Number(0..=100);

/// What is said of this proxy itself.
pub(super) struct Here {
    zone: Option<Arc<str>>,
    identity: Option<u64>,
}

impl Here {
    /// Reads what stands at the top.
    pub(super) fn of(top: &mut Section<'_>) -> Self {
        let zone = top.optional("zone", &ZONE, "none").map(Arc::from);
        let identity = text("a name", "greeter-7f9c");
        let identity = top.optional("identity", &identity, "drawn at each start");
        Self { zone, identity: identity.map(|name| XxHash3_64::oneshot(name.as_bytes())) }
    }
}

/// Layouts as they are read.
pub(super) struct Tiers {
    here: Here,
    /// Whether the own zone comes first where nothing else is said.
    nearest: bool,
    layouts: Layouts,
}

impl Tiers {
    /// Reads what `[services]` says of all.
    pub(super) fn usual(section: &mut Section<'_>, here: Here) -> Self {
        let default = Layout::default();
        let nearest = section.get("nearest", &Flag, true);
        let zones = section.get("zones", &List(ZONE), Vec::new());
        let layout = Layout {
            zone: here.zone.clone().filter(|_| nearest),
            zones: zones.into_iter().map(Arc::from).collect(),
            priority: section.optional("priority_key", &KEY, "none").map(Arc::from),
            spill_below: section.get("spill_below", &SPILL, default.spill_below),
            panic_below: section.get("panic_below", &PANIC, default.panic_below),
            sample: section.optional("subset_size", &Number(COUNT), "all").and_then(NonZeroUsize::new),
            identity: here.identity,
        };
        held_together(section, &layout);
        Self { here, nearest, layouts: Layouts { usual: Arc::new(layout), ..Layouts::default() } }
    }

    /// Reads what one `[[service]]` says.
    pub(super) fn of(&mut self, section: &mut Section<'_>, service: Option<&ServiceName>) {
        let usual = Layout::clone(&self.layouts.usual);
        let nearest = section.optional("nearest", &Flag, AS_USUAL).unwrap_or(self.nearest);
        let zones = section.optional("zones", &List(ZONE), AS_USUAL);
        let layout = Layout {
            zone: self.here.zone.clone().filter(|_| nearest),
            zones: zones.map_or(usual.zones, |zones| zones.into_iter().map(Arc::from).collect()),
            priority: section.optional("priority_key", &KEY, AS_USUAL).map(Arc::from).or(usual.priority),
            spill_below: section.optional("spill_below", &SPILL, AS_USUAL).unwrap_or(usual.spill_below),
            panic_below: section.optional("panic_below", &PANIC, AS_USUAL).unwrap_or(usual.panic_below),
            sample: section
                .optional("subset_size", &Number(COUNT), AS_USUAL)
                .and_then(NonZeroUsize::new)
                .or(usual.sample),
            identity: self.here.identity,
        };
        held_together(section, &layout);
        if let Some(service) = service.filter(|_| layout != *self.layouts.usual) {
            self.layouts.by_service.insert(service.clone(), Arc::new(layout));
        }
    }

    pub(super) fn into_layouts(self) -> Layouts {
        self.layouts
    }
}

const AS_USUAL: &str = "as in [services]";

/// A key of metadata.
const KEY: Parsed<String> = text("a key of metadata", "priority");

fn held_together(section: &Section<'_>, layout: &Layout) {
    let (spill, panic) = (layout.spill_below, layout.panic_below);
    if panic > spill {
        let key = if section.has("panic_below") { "panic_below" } else { "spill_below" };
        section.wrong(
            key,
            format!(
                "a tier that is {spill} percent available takes everything, so there is no panic at {panic}; write a \
                 panic_below of {spill} or less"
            ),
        );
    }
    for (number, zone) in layout.zones.iter().enumerate() {
        if layout.zones[..number].contains(zone) && section.has("zones") {
            section.wrong("zones", format!("{zone:?} is there twice; write it once, where it is nearest"));
        }
    }
}
