//! What sagamart promises its users, each promise tried on the real binary.

mod api;
mod bad_input;
mod bench;
mod checkout;
mod checkout_log;
mod command_line;
mod connections;
mod console;
mod contention;
mod course;
mod crash;
mod data_directory;
mod disk;
mod drain;
mod harness;
mod history;
mod history_commands;
mod idempotency;
mod observability;
mod packaging;
mod page;
mod readme;
mod reads;
mod referee;
mod refusals;
mod starts;
