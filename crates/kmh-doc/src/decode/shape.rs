//! A JSON Schema, read once for each type, in a form that is quick to hold a value against.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::formats;

/// Index into [`Shapes`].
pub(super) type Id = usize;

/// What may stand at one place.
#[derive(Debug)]
pub(super) enum Shape {
    Any,
    Null,
    Bool,
    /// With the name of its format, where it is one that texts are explained by.
    Integer {
        min: i128,
        max: i128,
        format: Option<&'static str>,
    },
    Number,
    Text {
        format: Option<String>,
    },
    Word(Vec<String>),
    /// Items, and how many there are to be when that is fixed.
    List(Id, Option<usize>),
    Map(Fields),
    OneOf(Vec<Id>),
}

/// What a mapping holds.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) known: BTreeMap<String, (Id, Required)>,
    /// What other keys hold; none when there may be none.
    pub(super) others: Option<Id>,
    /// Format of the other keys.
    pub(super) keys: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    Yes,
    No,
}

/// All shapes of a type; the first is its own.
#[derive(Debug, Default)]
pub(super) struct Shapes(Vec<Shape>);

impl Shapes {
    pub(super) fn get(&self, id: Id) -> &Shape {
        self.0.get(id).unwrap_or(&Shape::Any)
    }
}

/// The shapes of a type.
pub(super) fn of<T: JsonSchema + 'static>() -> Arc<Shapes> {
    static CACHE: LazyLock<Mutex<HashMap<TypeId, Arc<Shapes>>>> = LazyLock::new(Mutex::default);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(
        cache
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(compile(schemars::schema_for!(T).as_value()))),
    )
}

fn compile(root: &Value) -> Shapes {
    let empty = Map::new();
    let definitions = root.get("$defs").and_then(Value::as_object).unwrap_or(&empty);
    let mut compiler = Compiler { definitions, named: HashMap::new(), shapes: Vec::new() };
    compiler.add(root);
    Shapes(compiler.shapes)
}

struct Compiler<'a> {
    definitions: &'a Map<String, Value>,
    named: HashMap<&'a str, Id>,
    shapes: Vec<Shape>,
}

impl<'a> Compiler<'a> {
    fn add(&mut self, schema: &'a Value) -> Id {
        if let Some(name) =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"))
        {
            if let Some(id) = self.named.get(name) {
                return *id;
            }
            let id = self.reserve();
            self.named.insert(name, id);
            if let Some(definition) = self.definitions.get(name) {
                let shape = self.shape(definition);
                self.put(id, shape);
            }
            return id;
        }
        let id = self.reserve();
        let shape = self.shape(schema);
        self.put(id, shape);
        id
    }

    fn reserve(&mut self) -> Id {
        self.shapes.push(Shape::Any);
        self.shapes.len() - 1
    }

    fn put(&mut self, id: Id, shape: Shape) {
        if let Some(slot) = self.shapes.get_mut(id) {
            *slot = shape;
        }
    }

    fn shape(&mut self, schema: &'a Value) -> Shape {
        let words = |key: &str| schema.get(key).and_then(Value::as_array);
        if let Some(word) = schema.get("const").and_then(Value::as_str) {
            return Shape::Word(vec![word.to_owned()]);
        }
        if let Some(list) = words("enum") {
            return Shape::Word(list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        }
        if let Some(list) = words("anyOf").or_else(|| words("oneOf")) {
            let constants: Option<Vec<String>> =
                list.iter().map(|one| one.get("const")?.as_str().map(str::to_owned)).collect();
            if let Some(constants) = constants {
                return Shape::Word(constants);
            }
            return Shape::OneOf(list.iter().map(|one| self.add(one)).collect());
        }
        match schema.get("type") {
            Some(Value::String(name)) => self.typed(name, schema),
            Some(Value::Array(names)) => {
                let ids = names.iter().filter_map(Value::as_str).map(|name| {
                    let shape = self.typed(name, schema);
                    self.shapes.push(shape);
                    self.shapes.len() - 1
                });
                Shape::OneOf(ids.collect())
            }
            _ => Shape::Any,
        }
    }

    fn typed(&mut self, name: &str, schema: &'a Value) -> Shape {
        match name {
            "null" => Shape::Null,
            "boolean" => Shape::Bool,
            "integer" => integer(schema),
            "number" => Shape::Number,
            "string" => {
                Shape::Text { format: schema.get("format").and_then(Value::as_str).map(str::to_owned) }
            }
            "array" => {
                let count = |key: &str| schema.get(key).and_then(Value::as_u64);
                let fixed = count("minItems").filter(|least| count("maxItems") == Some(*least));
                Shape::List(
                    self.add(schema.get("items").filter(|items| items.is_object()).unwrap_or(&Value::Null)),
                    fixed.and_then(|count| usize::try_from(count).ok()),
                )
            }
            "object" => Shape::Map(self.fields(schema)),
            _ => Shape::Any,
        }
    }

    fn fields(&mut self, schema: &'a Value) -> Fields {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut known = BTreeMap::new();
        for (name, one) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let need = if required.contains(&name.as_str()) { Required::Yes } else { Required::No };
            known.insert(name.clone(), (self.add(one), need));
        }
        let others = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(others) => Some(self.add(others)),
            None => Some(self.add(&Value::Null)),
        };
        let keys = schema.pointer("/propertyNames/format").and_then(Value::as_str).map(str::to_owned);
        Fields { known, others, keys }
    }
}

fn integer(schema: &Value) -> Shape {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
    let format = schema.get("format").and_then(Value::as_str);
    let (min, max) = match format {
        Some("uint8") => (0, i128::from(u8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
        Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    Shape::Integer {
        min: bound("minimum").unwrap_or(min),
        max: bound("maximum").unwrap_or(max),
        format: (format == Some(formats::ASN)).then_some(formats::ASN),
    }
}
