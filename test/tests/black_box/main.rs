//! What sagamart promises its users, each promise tried on the real binary.

mod api;
mod bad_input;
mod bench;
mod checkout;
mod command_line;
mod connections;
mod contention;
mod course;
mod crash;
mod data_directory;
mod disk;
mod drain;
mod harness;
mod idempotency;
mod observability;
mod reads;
mod referee;
