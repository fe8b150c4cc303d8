//! What people see at the admin port.

mod page;
