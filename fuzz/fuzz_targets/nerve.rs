//! Looks for records that the format `nerve` cannot bear.
#![no_main]

wayside_fuzz::target!("nerve");
