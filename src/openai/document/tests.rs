use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema, openapi};

use super::super::{
    completions::COMPLETIONS,
    fields::{CHAT, Field, Use},
    responses::RESPONSES,
    schema::{Open, Presence, Shape, key, required},
};
use super::{ChatBody, CompletionBody, ResponseBody, shape};

fn told(schema: &openapi::RefOr<openapi::Schema>) -> Value {
    serde_json::to_value(schema).unwrap()
}

#[test]
fn every_field_of_a_table_is_in_the_document_as_the_table_has_it() {
    let bodies: [(&[Field], Value); 3] = [
        (CHAT, told(&ChatBody::schema())),
        (COMPLETIONS, told(&CompletionBody::schema())),
        (RESPONSES, told(&ResponseBody::schema())),
    ];
    for (table, body) in bodies {
        let properties = body["properties"].as_object().unwrap();
        assert_eq!(properties.len(), table.len());
        for Field { key, meaning } in table {
            let property = &properties[key.name];
            let must = body["required"].as_array().unwrap().contains(&json!(key.name));
            assert_eq!(must, key.presence == Presence::Required, "{}", key.name);
            let description = property["description"].as_str().unwrap_or_default();
            match meaning {
                Use::Obeyed | Use::Parts(_) => assert_eq!(description, "", "{}", key.name),
                Use::Ignored => assert!(description.contains("without effect"), "{}", key.name),
                Use::Needs(need) => assert!(description.contains(need.what), "{}", key.name),
            }
        }
    }
}

#[test]
fn what_must_be_there_is_missed_by_the_reader() {
    use super::super::{
        fields::Fields,
        json::Body,
        request::{Reading, Unsupported, read},
        schema::missing,
    };
    let body = |fields: &Fields| Body {
        fields: fields.clone(),
        ..Body::default()
    };
    let bare = Default::default();
    let good = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let fields = good.as_object().unwrap();
    for field in CHAT
        .iter()
        .filter(|field| field.key.presence == Presence::Required)
    {
        let mut fields = fields.clone();
        assert!(read(body(&fields), Reading::new(&bare, Unsupported::Refuse)).is_ok());
        fields.remove(field.key.name).unwrap();
        let failure = read(body(&fields), Reading::new(&bare, Unsupported::Refuse)).unwrap_err();
        assert_eq!(failure.message(), missing(field.key.name).message());
    }
}

#[test]
fn each_shape_has_its_schema() {
    const WORD: Shape = Shape::Word(&["a", "b"]);
    const KIND: Shape = Shape::Tagged("kind", &[("k", &[key("x", WORD)])]);
    const KEYS: &[crate::openai::schema::Key] = &[required("in", Shape::Bool), key("or", Shape::Bool)];
    for (shape, schema) in [
        (Shape::Bool, json!({ "type": "boolean" })),
        (
            Shape::Integer(1, i128::MAX),
            json!({ "type": "integer", "minimum": 1 }),
        ),
        (
            Shape::Number(-2.0, 2.5),
            json!({ "type": "number", "minimum": -2, "maximum": 2.5 }),
        ),
        (
            Shape::Text(1, 64),
            json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
        ),
        (WORD, json!({ "type": "string", "enum": ["a", "b"] })),
        (
            Shape::List(1, 4, &WORD),
            json!({ "type": "array", "minItems": 1, "maxItems": 4, "items": { "type": "string", "enum": ["a", "b"] } }),
        ),
        (
            Shape::Object(KEYS),
            json!({
                "type": "object", "required": ["in"],
                "properties": { "in": { "type": "boolean" }, "or": { "type": ["boolean", "null"] } },
            }),
        ),
        (
            KIND,
            json!({ "oneOf": [{
                "type": "object", "required": ["kind"],
                "properties": {
                    "kind": { "type": "string", "enum": ["k"] },
                    "x": { "type": ["string", "null"], "enum": ["a", "b", null] },
                },
            }] }),
        ),
        (
            Shape::Pairs(16, 64, &Shape::Text(0, 512)),
            json!({
                "type": "object", "maxProperties": 16,
                "additionalProperties": { "type": "string", "maxLength": 512 },
                "propertyNames": { "type": "string", "maxLength": 64 },
            }),
        ),
        (
            Shape::Either(&[Shape::Bool, Shape::AnyObject]),
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "object" }] }),
        ),
        (
            Shape::Apart("Name"),
            json!({ "$ref": "#/components/schemas/Name" }),
        ),
    ] {
        assert_eq!(told(&shape::schema(&shape, Open::No)), schema);
    }
}

#[test]
fn what_is_not_obeyed_is_open_to_what_others_add() {
    const KIND: Shape = Shape::Tagged("kind", &[("k", &[required("x", Shape::Text(1, 8))])]);
    for (shape, open, schema) in [
        (
            Shape::Word(&["a", "b"]),
            Open::Words,
            json!({ "type": "string", "examples": ["a", "b"] }),
        ),
        (
            Shape::Text(1, 64),
            Open::Words,
            json!({ "type": "string", "minLength": 1, "maxLength": 64 }),
        ),
        (
            Shape::List(1, 4, &Shape::Bool),
            Open::Lengths,
            json!({ "type": "array", "minItems": 1, "items": { "type": "boolean" } }),
        ),
        (
            KIND,
            Open::Lengths,
            json!({ "anyOf": [
                {
                    "type": "object", "required": ["kind", "x"],
                    "properties": {
                        "kind": { "type": "string", "enum": ["k"] },
                        "x": { "type": "string", "minLength": 1 },
                    },
                },
                { "type": "object", "required": ["kind"], "properties": { "kind": { "type": "string" } } },
            ] }),
        ),
    ] {
        let mut told = told(&shape::schema(&shape, open));
        if let Some(required) = told.pointer_mut("/anyOf/0/required") {
            required.as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        assert_eq!(told, schema);
    }
}

#[test]
fn what_is_looked_at_apart_is_in_the_document_too() {
    let mut named = Vec::new();
    ChatBody::schemas(&mut named);
    ResponseBody::schemas(&mut named);
    let named: Vec<(String, Value)> = named
        .iter()
        .map(|(name, schema)| (name.clone(), told(schema)))
        .collect();
    let [(message_name, message), (item_name, item)] = named.as_slice() else {
        panic!("{named:?}");
    };
    assert_eq!(
        (message_name.as_str(), item_name.as_str()),
        ("ChatMessage", "ResponseInputItem")
    );
    for key in super::super::messages::MESSAGE {
        assert!(message["properties"][key.name].is_object(), "{}", key.name);
    }
    let kinds = item["anyOf"].as_array().unwrap();
    for (word, keys) in super::super::responses::ITEMS {
        let kind = kinds
            .iter()
            .find(|kind| kind["properties"]["type"]["enum"] == json!([word]));
        let properties = &kind.unwrap()["properties"];
        assert!(keys.iter().all(|key| properties[key.name].is_object()), "{word}");
    }
}
