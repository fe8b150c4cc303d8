//! Announcing, with an announcer that a test plays.
