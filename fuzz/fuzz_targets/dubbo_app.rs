//! Looks for records that the format `dubbo-app` cannot bear.
#![no_main]

wayside_fuzz::target!("dubbo-app");
