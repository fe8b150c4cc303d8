//! What is promised of every registry: one list of checks, run over all of them.

mod checks;
mod eyes;
mod subject;

use std::time::Duration;

/// What a registry needs to notice anything, or to be back, many times over.
const LATER: Duration = Duration::from_secs(60);

/// The checks, each as a test of one registry: all of them, or those that apply to it.
macro_rules! checks {
    ($subject:ty: $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                crate::contract::checks::$check::<$subject>().await;
            }
        )*
    };
    ($subject:ty:) => {
        checks! { $subject:
            what_is_announced_is_seen_and_what_is_not_is_absent
            what_is_announced_later_is_seen
            what_changes_is_seen
            what_is_withdrawn_is_gone
            a_lost_connection_makes_stale_and_never_empty_and_once_back_what_changed_is_seen
            a_bad_record_is_skipped_and_counted_and_harms_nobody
        }
    };
}

/// A line for each registry: its name, the subject that stands for it, and the checks where not all of them apply.
macro_rules! registries {
    ($($name:ident => $subject:ty $({ $($check:ident)+ })?;)*) => {
        $(mod $name {
            use super::subject;
            checks! { $subject: $($($check)+)? }
        })*
    };
}

registries! {
    zookeeper => subject::ZooKeeper;
    etcd => subject::Etcd;
    file => subject::File;
    fixed => subject::Fixed { what_is_announced_is_seen_and_what_is_not_is_absent };
}
