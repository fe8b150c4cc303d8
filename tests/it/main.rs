//! The whole program, against real servers and stand-ins.
