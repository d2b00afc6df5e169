//! The picture in the module's documentation, arrow by arrow; then queues, callers, readers, what observers are told, what is
//! stored, and what must hold after any sequence of calls.

mod books;
mod callers;
mod observed;
mod queues;
mod readers;
mod sequences;
mod stored;
mod transitions;
