//! Building blocks for the OpenAPI 3.1 document, so that a handler's `#[utoipa::path(…)]` stays short.
//!
//! ```text
//! #[utoipa::path(
//!     post,
//!     path = "/toy/add/{id}/{amount}",
//!     tag = "toy",
//!     params(AddParameters, Idempotency),                            // the header documents itself
//!     responses((status = 200, body = Added), AnyProblem, NotFound, Conflict, KeyReused),
//! )]
//! ```

use std::collections::BTreeMap;

use axum::Router;
use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Info, InfoBuilder, License, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Server,
        header::HeaderBuilder,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type},
        tag::TagBuilder,
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{IDEMPOTENCY_KEY_CHARS_MAX, Idempotency, Problem, problem};

#[cfg(test)]
mod tests;

/// What a process says about itself in its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// Its version, usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// What it is, in a sentence or two; Markdown.
    pub description: &'static str,
    /// The groups of its routes, as in the handlers' `tag = "…"`: name and description, in the order to show them.
    pub tags: Vec<(&'static str, &'static str)>,
}

/// Splits a documented router into what serves and what describes it, the latter with `about`, the components that
/// this module's building blocks refer to, and servers and tags filled in.
pub fn finish(api: OpenApiRouter, about: &About) -> (Router, OpenApi) {
    let (router, mut document) = api.split_for_parts();
    describe(&mut document, about);
    (router, document)
}

pub(crate) fn describe(document: &mut OpenApi, about: &About) {
    document.info = information(about);
    document.servers = Some(vec![Server::new("/")]);
    let tags = about
        .tags
        .iter()
        .map(|(name, description)| TagBuilder::new().name(*name).description(Some(*description)).build());
    document.tags = Some(tags.collect());
    document.components.get_or_insert_default().schemas.insert(Problem::name().into_owned(), Problem::schema());
}

fn information(about: &About) -> Info {
    InfoBuilder::new()
        .title(about.name)
        .version(about.version)
        .description(Some(about.description))
        .license(Some(license()))
        .build()
}

fn license() -> License {
    let mut license = License::new(env!("CARGO_PKG_LICENSE"));
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    license
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let address = text().format(Some(SchemaFormat::Custom("uri-reference".to_owned())));
        let status = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(400)).maximum(Some(599));
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .description(Some("A failure (RFC 9457). Kinds may add members of their own, such as the id concerned."))
            .property("type", address.description(Some("Which kind of problem; it can be fetched, for people.")))
            .property("title", text().description(Some("The kind in a phrase, always the same.")))
            .property("status", status.description(Some("The HTTP status.")))
            .property("detail", text().description(Some("What happened this time, for people.")))
            .required("type")
            .required("title")
            .required("status")
            .required("detail")
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .into()
    }
}

impl ToSchema for Problem {
    fn name() -> std::borrow::Cow<'static, str> {
        "Problem".into()
    }
}

impl IntoParams for Idempotency {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            // Each character may be escaped, and the whole quoted.
            .max_length(Some(2 * IDEMPOTENCY_KEY_CHARS_MAX + 2));
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Makes the request safe to repeat: while the key is remembered, the same key with the same request gets \
                 the same reply and takes effect once. 1 to 128 visible ASCII characters, in double quotes or bare.",
            ))
            .schema(Some(schema))
            .example(Some("8e03978e-40d5-43e8-bc93-6894a57f9324".into()))
            .build();
        vec![header]
    }
}

/// The responses of a map with one entry.
fn response(status: &str, description: &str, retry_after: bool) -> BTreeMap<String, RefOr<Response>> {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let mut response = ResponseBuilder::new().description(description).content(problem::CONTENT_TYPE, body);
    if retry_after {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
            .description(Some("After how many seconds to try again."))
            .build();
        response = response.header("Retry-After", header);
    }
    BTreeMap::from([(status.to_owned(), response.build().into())])
}

/// What any route may answer: 400 malformed, 500 internal, 503 unavailable or overloaded.
#[derive(Clone, Copy, Debug)]
pub struct AnyProblem;

impl IntoResponses for AnyProblem {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = response("400", "A part of the path or a header is malformed; nothing was changed.", false);
        responses.append(&mut response("500", "The service met a defect of its own.", false));
        responses.append(&mut response("503", "Not now; the request had no effect.", true));
        responses
    }
}

macro_rules! problem_responses {
    ($($(#[$document:meta])* $name:ident = $status:literal, $description:literal, $retry_after:literal;)*) => {
        $(
            $(#[$document])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    response($status, $description, $retry_after)
                }
            }
        )*
    };
}

problem_responses! {
    /// 402: the means do not suffice.
    PaymentRequired = "402", "The means do not suffice; nothing was changed.", false;
    /// 404: an id names nothing.
    NotFound = "404", "An id in the path names nothing that exists; nothing was changed.", false;
    /// 409: the present state forbids it.
    Conflict = "409", "The present state does not allow it (`type` says why); nothing was changed.", true;
    /// 422: the idempotency key was used with another request.
    KeyReused = "422", "The idempotency key was used with another request; nothing was changed.", false;
    /// 504: whether it took effect is not known.
    OutcomeUnknown = "504", "The outcome was not seen in time; `detail` says where to ask for it.", false;
}
