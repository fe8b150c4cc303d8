//! Looks for records that the format `kratos` cannot bear.
#![no_main]

wayside_fuzz::target!("kratos");
