//! The routes of the document as forms: what a path has in braces is a field, and `script.js` sends what is in them.

use maud::{Markup, html};
use utoipa::openapi::{
    OpenApi, RefOr, Schema,
    path::{Operation, Parameter, ParameterIn},
    schema::{SchemaType, Type},
};

use crate::openapi::Step;

/// The routes of one tag.
#[derive(Debug)]
pub(super) struct Group {
    description: String,
    routes: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    method: &'static str,
    path: String,
    summary: String,
    fields: Vec<Field>,
    takes_key: bool,
}

#[derive(Debug)]
struct Field {
    name: String,
    description: String,
    is_number: bool,
}

impl Group {
    pub(super) fn of(document: &OpenApi, tag: &str, description: &str) -> Self {
        let is_tagged = |operation: &&Operation| operation.tags.iter().flatten().any(|of| of == tag);
        let routes = document.paths.paths.iter().flat_map(|(path, item)| {
            let methods = [("GET", &item.get), ("POST", &item.post)];
            let operations = methods.into_iter().filter_map(|(method, found)| Some((method, found.as_ref()?)));
            let tagged = operations.filter(|(_, operation)| is_tagged(operation));
            tagged.map(|(method, operation)| Route::new(method, path, operation))
        });
        Self { description: description.to_owned(), routes: routes.collect() }
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            h3 { (self.description) }
            ul.routes { @for route in &self.routes { li { (route.markup()) } } }
        }
    }
}

impl Route {
    fn new(method: &'static str, path: &str, operation: &Operation) -> Self {
        let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        });
        let fields = parameters.clone().filter(|parameter| parameter.parameter_in == ParameterIn::Path).map(Field::new);
        Self {
            method,
            path: path.to_owned(),
            summary: operation.summary.clone().unwrap_or_default(),
            fields: fields.collect(),
            takes_key: parameters.clone().any(|parameter| parameter.name == KEY),
        }
    }

    fn markup(&self) -> Markup {
        // What is a page is a link, and what is long is better read there than here.
        if self.method == "GET" && self.fields.is_empty() {
            return html! {
                span.method { "GET" } " " a href=(self.path) { (self.path) }
                span.summary { (self.summary) }
            };
        }
        html! {
            details {
                summary {
                    span.method { (self.method) } " " code { (self.path) }
                    span.summary { (self.summary) }
                }
                form data-method=(self.method) data-path=(self.path) {
                    @for field in &self.fields {
                        label { (field.name) (field.input("")) small { (field.description) } }
                    }
                    @if self.takes_key {
                        label { (KEY) input name=(KEY) autocomplete="off" spellcheck="false"; small { "May be empty." } }
                    }
                    button { "Send" }
                    output {}
                }
            }
        }
    }
}

const KEY: &str = "Idempotency-Key";

impl Field {
    fn new(parameter: &Parameter) -> Self {
        let schema = parameter.schema.as_ref();
        let is_number = schema.is_some_and(|schema| {
            matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Integer))
        });
        let description = parameter.description.clone().unwrap_or_default();
        Self { name: parameter.name.clone(), description, is_number }
    }

    fn input(&self, value: &str) -> Markup {
        let (mode, pattern) = if self.is_number { ("numeric", "[0-9]+") } else { ("text", "[A-Za-z0-9_\\-]+") };
        html! {
            input name=(self.name) value=(value) required inputmode=(mode) pattern=(pattern) autocomplete="off" spellcheck="false";
        }
    }
}

/// Steps that follow each other, each a form of its own. Fields that are not set to something are filled in by the answers to
/// the steps before.
pub(super) fn walk(steps: &[Step]) -> Markup {
    html! {
        ol.walk { @for step in steps { li { (form_of(step)) } } }
    }
}

fn form_of(step: &Step) -> Markup {
    let names = step.path.split(['{', '}']).skip(1).step_by(2);
    let fields = names.map(|name| {
        let value = step.values.iter().find(|(of, _)| *of == name).map(|(_, value)| *value);
        (
            Field { name: name.to_owned(), description: String::new(), is_number: value.is_some() },
            value.unwrap_or_default(),
        )
    });
    html! {
        form data-method=(step.method) data-path=(step.path) title={ (step.method) " " (step.path) } {
            @for (field, value) in fields { label { (field.name.replace('_', " ")) (field.input(value)) } }
            button { (step.title) }
            output {}
        }
    }
}
