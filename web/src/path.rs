//! Path parameters.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::Problem;

mod parameters;
#[cfg(test)]
mod tests;

use parameters::{Parameters, Refusal};

/// The parameters of the path, as a struct (by name), a tuple (by position) or a single type that check themselves
/// while they are deserialized.
///
/// Values are percent-decoded first, and only within their segment: `%2F` is a character of the value, not a
/// separator. What a type refuses becomes a 400 whose `detail` names the parameter and carries the type's own
/// message, and so does what is not UTF-8. Integers are digits without a sign or a leading zero; there are no other
/// primitive types but strings.
///
/// # Errors
/// [`crate::problem::kinds::MALFORMED`], with a member `parameter` where one parameter is to blame;
/// [`crate::problem::kinds::INTERNAL`] when the route and `T` do not fit together, which is a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Not axum's own `Path`: it loses which parameter it was that a type refused, and it takes `+5` for 5.
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let parameters = parameters.map_err(|rejection| Problem::malformed(format!("path: {rejection}")))?;
        let parameters = Parameters::new(&parameters);
        match T::deserialize(parameters) {
            Ok(value) => Ok(Self(value)),
            Err(refusal) => Err(refused(parameters.blame(refusal))),
        }
    }
}

#[cold]
fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Defect(cause) => Problem::internal(cause),
        Refusal::Value { parameter: Some(name), message } => {
            Problem::malformed(format!("{name}: {message}")).with("parameter", name)
        }
        Refusal::Value { message, .. } => Problem::malformed(message),
    }
}
