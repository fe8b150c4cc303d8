//! Looks for records that the format `go-zero` cannot bear.
#![no_main]

wayside_fuzz::target!("go-zero");
