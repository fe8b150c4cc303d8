//! Files that the process of the tests may have open, of which connections take most.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Lets this process have as many files open as it may ask for: every connection of a test has both of its ends here, and
/// often four, and 1,024 is a usual limit.
pub(crate) fn as_many_as_may_be() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
