//! Looks for records that the format `dubbo` cannot bear.
#![no_main]

wayside_fuzz::target!("dubbo");
