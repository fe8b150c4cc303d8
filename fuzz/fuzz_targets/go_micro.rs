//! Looks for records that the format `go-micro` cannot bear.
#![no_main]

wayside_fuzz::target!("go-micro");
