//! What an attacker would try, by THREATS.md: addresses that nobody should be led to, secrets that nobody should be told, and records
//! that say what they should not.

mod addresses;
mod records;
mod secrets;
mod strangers;
