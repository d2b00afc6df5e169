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

use crate::{IDEMPOTENCY_KEY_CHARS_MAX, Idempotency, Problem, problem};

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
    /// Commands to try it with, for the page at `/`; where they say `http://127.0.0.1:8000`, the page says where it is.
    pub example: Option<&'static str>,
    /// Requests to try it with by hand, in their order, for the same page.
    pub steps: Vec<Step>,
    /// Pages for people that are worth more than this document: an address and what it is called.
    pub pages: Option<(&'static str, &'static str)>,
}

/// A request that somebody may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does, as a button says it.
    pub title: &'static str,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, with fields in braces.
    pub path: &'static str,
    /// What some of the fields are, unless somebody changes it: numbers.
    pub values: &'static [(&'static str, &'static str)],
}

pub(crate) fn describe(document: &mut OpenApi, about: &About) {
    document.info = information(about);
    document.servers = Some(vec![Server::new("/")]);
    let tags = about
        .tags
        .iter()
        .map(|(name, description)| TagBuilder::new().name(*name).description(Some(*description)).build());
    document.tags = Some(tags.collect());
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (status, name, description) in UNREAD {
        components
            .responses
            .extend(response(status, description, false).into_values().map(|response| (name.into(), response)));
    }
    let items = document.paths.paths.values_mut();
    for operation in items.flat_map(|item| [&mut item.get, &mut item.post]).flatten() {
        for (status, name, _) in UNREAD {
            operation.responses.responses.insert(status.to_owned(), Ref::from_response_name(name).into());
        }
    }
}

/// What may become of any request before its route is asked: status, name and description.
const UNREAD: [(&str, &str, &str); 6] = [
    ("405", "MethodNotAllowed", "The path has another method; `Allow` lists them."),
    ("408", "RequestTooSlow", "The request did not arrive in time."),
    ("413", "BodyTooLarge", "The body is too large; no route reads one."),
    ("414", "PathTooLong", "The path is too long."),
    ("431", "HeadersTooLarge", "The headers are too large."),
    ("501", "UnknownTransferCoding", "The body is coded in a way that is not known here."),
];

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
            .property(
                "request_id",
                text().description(Some(
                    "What the request is called: in `x-request-id` of the reply too, and in the log.",
                )),
            )
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
        // Bare, or quoted with `\"` and `\\` for these two.
        let pattern = format!(
            r#"^([!#-+\-.-:<-\[\]-~]{{1,{max}}}|"([!#-\[\]-~]|\\["\\]){{1,{max}}}")$"#,
            max = IDEMPOTENCY_KEY_CHARS_MAX
        );
        let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
        let header = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Makes the request safe to repeat: while the key is remembered, the same key with the same request gets \
                 the same reply and takes effect once. 1 to 128 visible ASCII characters, in double quotes or bare.",
            ))
            .schema(Some(schema))
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

/// A refusal of a route that is not its own.
pub(crate) fn refused_response(status: &str, description: &str) -> RefOr<Response> {
    response(status, description, false).into_values().next().expect("it is a map with one entry")
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
