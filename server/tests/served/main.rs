//! The real binary, started as an operator starts it, with real sockets, real PostgreSQL and real signals.
//!
//! What `doors` proves about one process in memory is not repeated; here is what needs a process: two of them, their
//! death, their memory, their logs. Every test ends with an audit of the books.

mod attacks;
mod bad_input;
mod books;
mod breakers;
mod browser;
mod charging;
mod chat;
mod client;
mod crash;
mod cut_client;
mod embedded;
mod fairness;
mod headers;
mod keyed;
mod many_sockets;
mod money;
mod payments;
mod proof;
mod provider;
mod revocation;
mod sdk;
mod sessions;
mod stop;
mod tokens;
mod two_processes;
mod world;
