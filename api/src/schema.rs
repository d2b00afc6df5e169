//! What ids and amounts look like, for the OpenAPI document: `("user_id" = inline(schema::Id), Path)`.

use std::borrow::Cow;

use contract::{Amount as ContractAmount, ID_BYTES_MAX, LINES_MAX};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type},
    },
};

/// An id.
#[derive(Clone, Copy, Debug)]
pub struct Id;

/// Credit, units or a price.
#[derive(Clone, Copy, Debug)]
pub struct Amount;

/// A number of units, at least one.
#[derive(Clone, Copy, Debug)]
pub struct Quantity;

/// How many records a bulk request sets.
#[derive(Clone, Copy, Debug)]
pub struct Count;

/// An order's lines: pairs of item and quantity.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

fn number(least: u64, most: u64) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(least)).maximum(Some(most)).into()
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^[A-Za-z0-9_-]{{1,{ID_BYTES_MAX}}}$")))
            .into()
    }
}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        number(0, ContractAmount::MAX.get())
    }
}

impl PartialSchema for Quantity {
    fn schema() -> RefOr<Schema> {
        number(1, ContractAmount::MAX.get())
    }
}

impl PartialSchema for Count {
    fn schema() -> RefOr<Schema> {
        number(0, web::bulk::RECORDS_MAX)
    }
}

impl PartialSchema for Lines {
    fn schema() -> RefOr<Schema> {
        // Not as `prefixItems`, which says more: tools that read older schemas, too, take it for something else.
        let either = AnyOfBuilder::new().item(Id::schema()).item(Quantity::schema());
        let pair = ArrayBuilder::new().items(either).min_items(Some(2)).max_items(Some(2));
        ArrayBuilder::new()
            .items(pair)
            .max_items(Some(LINES_MAX))
            .description(Some("Pairs of item and quantity, as they were added."))
            .into()
    }
}

macro_rules! named {
    ($($name:ident)*) => {$(
        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*};
}

named! { Id Amount Quantity Count Lines }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_says_of_an_id_is_what_an_id_is() {
        let RefOr::T(Schema::Object(object)) = Id::schema() else { panic!("an id is no reference") };
        assert_eq!(object.pattern.as_deref(), Some("^[A-Za-z0-9_-]{1,64}$"));
        assert!("a".repeat(64).parse::<contract::Id>().is_ok() && "a".repeat(65).parse::<contract::Id>().is_err());
    }
}
