//! Looks for records that the format `curator` cannot bear.
#![no_main]

wayside_fuzz::target!("curator");
