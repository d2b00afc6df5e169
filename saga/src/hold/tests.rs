//! The picture in the module's documentation, arrow by arrow; then queues, callers, readers, what is stored, and what
//! must hold after any sequence of calls.

mod books;
mod callers;
mod queues;
mod readers;
mod sequences;
mod stored;
mod transitions;
