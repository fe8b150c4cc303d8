//! Looks for records that the format `serverset` cannot bear.
#![no_main]

wayside_fuzz::target!("serverset");
