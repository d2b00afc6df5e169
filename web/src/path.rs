//! Path parameters.

use axum::{
    extract::{
        FromRequestParts, Path as AxumPath,
        path::{ErrorKind, FailedToDeserializePathParams},
        rejection::PathRejection,
    },
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::Problem;

#[cfg(test)]
mod tests;

/// The parameters of the path, as axum's own [`AxumPath`] takes them, with a [`Problem`] for what does not fit.
///
/// Values are percent-decoded first, and only within their segment: `%2F` is a character of the value, not a
/// separator. What a type refuses becomes a 400 whose `detail` names the parameter and carries the type's own
/// message; for that, the type has to be read from a string (`deserialize_str`) and refuse it there.
///
/// # Errors
/// [`crate::problem::kinds::MALFORMED`], with a member `parameter` where one parameter is to blame;
/// [`crate::problem::kinds::INTERNAL`] when the route and `T` do not fit together, which is a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match AxumPath::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failure)) => Err(refused(failure)),
            Err(defect) => Err(Problem::internal(defect)),
        }
    }
}

#[cold]
fn refused(failure: FailedToDeserializePathParams) -> Problem {
    let (parameter, message) = match failure.into_kind() {
        ErrorKind::DeserializeError { key, message, .. } => (key, message),
        ErrorKind::InvalidUtf8InPathParam { key } => (key, "not UTF-8".to_owned()),
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => (key, format!("not a {expected_type}")),
        kind @ (ErrorKind::ParseError { .. } | ErrorKind::ParseErrorAtIndex { .. } | ErrorKind::Message(_)) => {
            return Problem::malformed(kind.to_string());
        }
        defect => return Problem::internal(defect),
    };
    Problem::malformed(format!("{parameter}: {message}")).with("parameter", parameter)
}
