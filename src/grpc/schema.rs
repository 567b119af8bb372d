//! What the door knows of the contracts that it serves: their files, what is named in them, and the paths of their methods.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use prost::{DecodeError, Message};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// A set of descriptors whose files stay the bytes that they are: decoding would lose options that nobody here knows.
#[derive(Clone, PartialEq, prost::Message)]
struct Packed {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// The contracts. Names are fully qualified, by protobuf's rules of scope, without a dot before them.
#[derive(Debug, Default)]
pub(super) struct Schema {
    files: HashMap<String, Bytes>,
    /// Everything that has a name, and the file that it stands in.
    symbols: HashMap<String, Bytes>,
    messages: HashSet<String>,
    /// By the message that is extended and the field's number.
    extensions: HashMap<(String, i32), Bytes>,
    services: BTreeSet<String>,
    methods: HashSet<String>,
}

impl Schema {
    /// What stands in some encoded sets of descriptors together. Of two files with one name the first counts.
    ///
    /// # Errors
    /// When one does not decode.
    pub(super) fn read(sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut schema = Self::default();
        for set in sets {
            for bytes in Packed::decode(*set)?.file {
                let file = FileDescriptorProto::decode(bytes.as_ref())?;
                schema.add(&file, bytes);
            }
        }
        Ok(schema)
    }

    /// A file, by the path that others import it by.
    pub(super) fn file(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// The file in which something is declared.
    pub(super) fn file_of(&self, symbol: &str) -> Option<&Bytes> {
        self.symbols.get(symbol)
    }

    /// The file that adds a field of this number to a message.
    pub(super) fn file_of_extension(&self, message: &str, number: i32) -> Option<&Bytes> {
        self.extensions.get(&(message.to_owned(), number))
    }

    /// The numbers of the fields that are added to a message elsewhere; nothing where there is no such message.
    pub(super) fn extensions_of(&self, message: &str) -> Option<Vec<i32>> {
        let known = self.extensions.keys().filter(|(extended, _)| extended == message);
        let mut numbers: Vec<i32> = known.map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        (!numbers.is_empty() || self.messages.contains(message)).then_some(numbers)
    }

    /// The services, in the order of their names.
    pub(super) fn services(&self) -> impl Iterator<Item = &String> {
        self.services.iter()
    }

    /// Whether a path is that of a method.
    pub(super) fn has_method(&self, path: &str) -> bool {
        self.methods.contains(path)
    }

    fn add(&mut self, file: &FileDescriptorProto, bytes: Bytes) {
        if self.files.contains_key(file.name()) {
            return;
        }
        let scope = file.package();
        for message in &file.message_type {
            self.add_message(scope, message, &bytes);
        }
        for values in &file.enum_type {
            self.add_enum(scope, values, &bytes);
        }
        self.add_extensions(scope, &file.extension, &bytes);
        for service in &file.service {
            let name = self.add_symbol(scope, service.name(), &bytes);
            for method in &service.method {
                self.add_symbol(&name, method.name(), &bytes);
                self.methods.insert(format!("/{name}/{}", method.name()));
            }
            self.services.insert(name);
        }
        self.files.insert(file.name().to_owned(), bytes);
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, file: &Bytes) {
        let name = self.add_symbol(scope, message.name(), file);
        for field in &message.field {
            self.add_symbol(&name, field.name(), file);
        }
        for group in &message.oneof_decl {
            self.add_symbol(&name, group.name(), file);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, file);
        }
        for values in &message.enum_type {
            self.add_enum(&name, values, file);
        }
        self.add_extensions(&name, &message.extension, file);
        self.messages.insert(name);
    }

    /// The values of an enum stand beside it, not within.
    fn add_enum(&mut self, scope: &str, values: &EnumDescriptorProto, file: &Bytes) {
        self.add_symbol(scope, values.name(), file);
        for value in &values.value {
            self.add_symbol(scope, value.name(), file);
        }
    }

    fn add_extensions(&mut self, scope: &str, extensions: &[FieldDescriptorProto], file: &Bytes) {
        for extension in extensions {
            self.add_symbol(scope, extension.name(), file);
            let message = extension.extendee().trim_start_matches('.').to_owned();
            self.extensions
                .insert((message, extension.number()), file.clone());
        }
    }

    fn add_symbol(&mut self, scope: &str, name: &str, file: &Bytes) -> String {
        let name = if scope.is_empty() {
            name.to_owned()
        } else {
            format!("{scope}.{name}")
        };
        self.symbols.insert(name.clone(), file.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use prost_types::{
        EnumValueDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
    };

    use super::*;

    fn named<T: Default>(name: &str, put: fn(&mut T) -> &mut Option<String>) -> T {
        let mut it = T::default();
        *put(&mut it) = Some(name.to_owned());
        it
    }

    fn extension(name: &str, number: i32) -> FieldDescriptorProto {
        FieldDescriptorProto {
            extendee: Some(".p.Outer".to_owned()),
            number: Some(number),
            ..named(name, |it: &mut FieldDescriptorProto| &mut it.name)
        }
    }

    /// One file that has everything that a file can have.
    fn schema() -> Schema {
        let values = EnumDescriptorProto {
            value: vec![named("ZERO", |it: &mut EnumValueDescriptorProto| &mut it.name)],
            ..named("Inner", |it: &mut EnumDescriptorProto| &mut it.name)
        };
        let message = DescriptorProto {
            enum_type: vec![values],
            nested_type: vec![named("Deep", |it: &mut DescriptorProto| &mut it.name)],
            extension: vec![extension("nested_more", 101)],
            ..named("Outer", |it: &mut DescriptorProto| &mut it.name)
        };
        let service = ServiceDescriptorProto {
            method: vec![named("Do", |it: &mut MethodDescriptorProto| &mut it.name)],
            ..named("Worker", |it: &mut ServiceDescriptorProto| &mut it.name)
        };
        let file = FileDescriptorProto {
            package: Some("p".to_owned()),
            message_type: vec![message],
            extension: vec![extension("more", 100)],
            service: vec![service],
            ..named("p.proto", |it: &mut FileDescriptorProto| &mut it.name)
        };
        let set = FileDescriptorSet { file: vec![file] };
        Schema::read(&[&set.encode_to_vec(), &set.encode_to_vec()]).unwrap()
    }

    #[test]
    fn names_follow_the_rules_of_scope() {
        let schema = schema();
        let known = [
            "p.Outer",
            "p.Outer.Deep",
            "p.Outer.Inner",
            "p.Outer.ZERO",
            "p.Outer.nested_more",
            "p.more",
            "p.Worker",
            "p.Worker.Do",
        ];
        for name in known {
            assert_eq!(schema.file_of(name), schema.file("p.proto"), "{name}");
        }
        for name in ["p.Outer.Inner.ZERO", "p.ZERO", "ZERO", "p", "", ".p.Outer"] {
            assert_eq!(schema.file_of(name), None, "{name}");
        }
        assert!(schema.has_method("/p.Worker/Do") && !schema.has_method("/p.Worker.Do"));
        assert_eq!(schema.services().collect::<Vec<_>>(), ["p.Worker"]);
    }

    #[test]
    fn extensions_are_found_by_the_message_that_they_extend() {
        let schema = schema();
        assert_eq!(schema.extensions_of("p.Outer"), Some(vec![100, 101]));
        assert_eq!(schema.extensions_of("p.Outer.Deep"), Some(Vec::new()));
        assert_eq!(schema.extensions_of("p.Outer.Inner"), None, "an enum has none");
        assert_eq!(schema.file_of_extension("p.Outer", 101), schema.file("p.proto"));
        assert_eq!(schema.file_of_extension("p.Outer", 102), None);
    }

    #[test]
    fn bytes_that_are_no_descriptors_are_refused() {
        assert!(Schema::read(&[&[0x0a, 0x7f]]).is_err());
        assert!(Schema::read(&[&[0x0a, 0x01, 0xff]]).is_err());
    }
}
