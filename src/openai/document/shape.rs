//! Shapes as schemas: the document says of a request what its reader checks, since both follow one table.

use serde_json::Value;
use utoipa::openapi::{
    AllOf, ArrayBuilder, Object, ObjectBuilder, OneOf, OneOfBuilder, Ref, RefOr, Schema, Type,
    schema::{AnyOf, AnyOfBuilder, SchemaType},
};

use super::super::{
    fields::{Field, Use},
    schema::{Key, Open, Presence, Shape},
};

/// The body of a request that is read by `table`, where nothing is left out.
pub(super) fn body(table: &[Field]) -> RefOr<Schema> {
    let fields = table.iter().fold(ObjectBuilder::new(), |object, field| {
        let Field { key, meaning } = field;
        let (schema, meaning) = match meaning {
            Use::Obeyed => (schema(&key.shape, Open::No), None),
            Use::Parts(parts) => (body(parts), None),
            Use::Ignored => (
                schema(&key.shape, Open::Words),
                Some("Checked, and without effect: the upstream has no such setting.".to_owned()),
            ),
            Use::Needs(need) => (
                schema(&key.shape, Open::Lengths),
                Some(format!(
                    "This gateway does not offer {}. A request for it is refused with `unsupported_parameter`, or \
                     answered without where `UNSUPPORTED_PARAMS=ignore` is set.",
                    need.what
                )),
            ),
        };
        add(object, key, schema, meaning)
    });
    fields.into()
}

/// An object of these keys.
pub(super) fn object(keys: &[Key], open: Open) -> ObjectBuilder {
    keys.iter().fold(ObjectBuilder::new(), |object, key| {
        add(object, key, schema(&key.shape, open), None)
    })
}

fn add(
    object: ObjectBuilder,
    key: &Key,
    mut schema: RefOr<Schema>,
    description: Option<String>,
) -> ObjectBuilder {
    if key.presence == Presence::Optional {
        schema = nullable(schema);
    }
    let object = object.property(key.name, described(schema, description));
    if key.presence == Presence::Required {
        object.required(key.name)
    } else {
        object
    }
}

/// What a value of this shape may be, as far as it is judged.
pub(super) fn schema(shape: &Shape, open: Open) -> RefOr<Schema> {
    let of = |kind: Type| ObjectBuilder::new().schema_type(kind);
    match shape {
        Shape::Bool => of(Type::Boolean).into(),
        Shape::Integer(least, most) => {
            // What no integer of 64 bits holds is no bound that anybody meets.
            let bound = |bound: i128| i64::try_from(bound).ok();
            let integer = of(Type::Integer).minimum(bound(*least));
            integer.maximum(bound(*most)).into()
        }
        Shape::Number(least, most) => of(Type::Number).minimum(Some(*least)).maximum(Some(*most)).into(),
        Shape::Text(least, most) => {
            let text = of(Type::String).min_length(at_least(*least));
            text.max_length(at_most(open, *most)).into()
        }
        Shape::Word(words) if open == Open::No => {
            of(Type::String).enum_values(Some(words.iter().copied())).into()
        }
        Shape::Word(words) => {
            let known = words.iter().map(|word| Value::from(*word));
            of(Type::String).examples(known).into()
        }
        Shape::List(least, most, item) => {
            let list = ArrayBuilder::new().items(schema(item, open));
            let list = list.min_items(at_least(*least)).max_items(at_most(open, *most));
            Schema::Array(list.build()).into()
        }
        Shape::Object(keys) => object(keys, open).into(),
        Shape::Tagged(tag, kinds) if open != Open::No => {
            let known = kinds
                .iter()
                .map(|(word, keys)| tagged(tag, word, keys, open).into());
            any(known.chain([any_kind(tag).into()]))
        }
        Shape::Tagged(tag, kinds) | Shape::Kinds(tag, kinds) => {
            let kinds = kinds.iter().map(|(word, keys)| tagged(tag, word, keys, open));
            let kinds = kinds.fold(OneOfBuilder::new(), |all, one| all.item(one));
            Schema::OneOf(kinds.build()).into()
        }
        Shape::Pairs(most, longest, value) => {
            let pairs = ObjectBuilder::new().additional_properties(Some(schema(value, open)));
            let names = at_most(open, *longest).map(|most| of(Type::String).max_length(Some(most)).build());
            pairs
                .max_properties(at_most(open, *most))
                .property_names(names)
                .into()
        }
        Shape::Either(shapes) => any(shapes.iter().map(|shape| schema(shape, open))),
        Shape::AnyObject => of(Type::Object).into(),
        Shape::Apart(name) => Ref::from_schema_name(*name).into(),
    }
}

/// The keys that an object has where its tag is this word.
pub(super) fn tagged(tag: &str, word: &str, keys: &[Key], open: Open) -> ObjectBuilder {
    let word = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some([word]));
    object(keys, open).property(tag, word).required(tag)
}

/// An object of a kind that this gateway need not know.
pub(super) fn any_kind(tag: &str) -> ObjectBuilder {
    let word = ObjectBuilder::new().schema_type(Type::String);
    ObjectBuilder::new().property(tag, word).required(tag)
}

/// Whatever one of these is.
pub(super) fn any(schemas: impl Iterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    let any = schemas.fold(AnyOfBuilder::new(), |any, one| any.item(one));
    Schema::AnyOf(any.build()).into()
}

fn at_least(least: usize) -> Option<usize> {
    (least > 0).then_some(least)
}

fn at_most(open: Open, most: usize) -> Option<usize> {
    (most < usize::MAX && open != Open::Lengths).then_some(most)
}

fn null() -> RefOr<Schema> {
    Object::with_type(Type::Null).into()
}

fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let or_null = |kind: SchemaType| match kind {
        SchemaType::Type(kind) => SchemaType::Array(vec![kind, Type::Null]),
        kind @ (SchemaType::Array(_) | SchemaType::AnyValue) => kind,
    };
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = or_null(object.schema_type);
            if let Some(words) = &mut object.enum_values {
                words.push(Value::Null);
            }
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = or_null(array.schema_type);
            Schema::Array(array).into()
        }
        RefOr::T(Schema::AnyOf(mut any)) => {
            any.items.push(null());
            Schema::AnyOf(any).into()
        }
        other @ (RefOr::Ref(_) | RefOr::T(_)) => any([other, null()].into_iter()),
    }
}

fn described(mut schema: RefOr<Schema>, text: Option<String>) -> RefOr<Schema> {
    let Some(text) = text else {
        return schema;
    };
    match &mut schema {
        RefOr::Ref(reference) => reference.description = text,
        RefOr::T(
            Schema::Object(Object { description, .. })
            | Schema::OneOf(OneOf { description, .. })
            | Schema::AllOf(AllOf { description, .. })
            | Schema::AnyOf(AnyOf { description, .. }),
        ) => *description = Some(text),
        RefOr::T(Schema::Array(array)) => array.description = Some(text),
        // Whatever else may come has no place for it.
        RefOr::T(_) => {}
    }
    schema
}
