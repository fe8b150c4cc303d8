//! What a person types.

mod demo;
