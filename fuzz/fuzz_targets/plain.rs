//! Looks for records that the format `plain` cannot bear.
#![no_main]

wayside_fuzz::target!("plain");
