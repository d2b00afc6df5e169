//! The page: whole, self-contained, and safe whatever is in a history.
