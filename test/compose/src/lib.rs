//! Tests of the shipped compose files; all of it is in `tests/`.
