use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema, openapi};

use super::super::{
    completions::COMPLETIONS,
    fields::{CHAT, Field, Use},
    responses::RESPONSES,
    schema::{Presence, Shape, key, nullable, required},
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
                Use::Obeyed => assert_eq!(description, "", "{}", key.name),
                Use::Ignored => assert!(description.contains("without effect"), "{}", key.name),
                Use::Needs(need) => assert!(description.contains(need.what), "{}", key.name),
            }
        }
    }
}

#[test]
fn what_must_be_there_is_missed_by_the_reader() {
    use super::super::{
        request::{Reading, Unsupported, read},
        schema::missing,
    };
    let bare = Default::default();
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    let fields = body.as_object().unwrap();
    for field in CHAT
        .iter()
        .filter(|field| field.key.presence == Presence::Required)
    {
        let mut fields = fields.clone();
        assert!(read(fields.clone(), Reading::new(&bare, Unsupported::Refuse)).is_ok());
        fields.remove(field.key.name).unwrap();
        let failure = read(fields, Reading::new(&bare, Unsupported::Refuse)).unwrap_err();
        assert_eq!(failure.message(), missing(field.key.name).message());
    }
}

#[test]
fn each_shape_has_its_schema() {
    const WORD: Shape = Shape::Word(&["a", "b"]);
    const KIND: Shape = Shape::Tagged("kind", &[("k", &[nullable("x", WORD)])]);
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
                "properties": { "in": { "type": "boolean" }, "or": { "type": "boolean" } },
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
        assert_eq!(told(&shape::schema(&shape)), schema);
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
