//! The shop's API as HTTP spells it, where several services spell it alike: [`problems`], and the [`schema`] of ids and
//! amounts. `contract` has the things themselves and knows no HTTP.

pub mod problems;
pub mod schema;
