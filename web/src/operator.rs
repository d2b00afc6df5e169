//! What comes with the command of an operator: who says so and why, and whether it is only to be tried.

use axum::{
    extract::{FromRequestParts, Query, rejection::QueryRejection},
    http::request::Parts,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Problem;

/// The query of an operator's command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Who says so: 1 to 400 bytes on one line.
    pub by: String,
    /// Why: 1 to 400 bytes on one line.
    pub because: String,
    /// Whether it is only to be said what would happen.
    #[serde(default)]
    #[param(required = false)]
    pub dry_run: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Instruction {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<Query<Self>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(instruction)| instruction).map_err(|rejection| Problem::malformed(rejection.body_text()))
    }
}

impl Instruction {
    /// One of its texts as what the command takes.
    ///
    /// # Errors
    /// A problem that names the parameter.
    pub fn remark<T: std::str::FromStr<Err: std::fmt::Display>>(name: &'static str, text: &str) -> Result<T, Problem> {
        text.parse().map_err(|error| Problem::malformed(format!("{name}: {error}")).with("parameter", name))
    }
}
