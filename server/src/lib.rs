//! The one binary, as a library, so that tests reach every part: configuration, commands, roles, routes.
//!
//! Rules about money, keys and answers live in other crates; here they are wired and given an address.

pub mod cli;
pub mod config;
pub mod routes;
pub mod serve;
