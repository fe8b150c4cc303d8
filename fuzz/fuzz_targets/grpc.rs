//! Looks for records that the format `grpc` cannot bear.
#![no_main]

wayside_fuzz::target!("grpc");
