//! Answers a selection in one walk where all that it names is at hand, instead of with a future for each leaf.
//!
//! The types stay what async-graphql derives: names, descriptions and introspection are theirs. Only how a value is answered differs, and only where
//! it can be: a field that is not at hand sends the whole object to the stock executor, so that a field that was forgotten here is slow and not wrong.
//!
//! Where a request says that its answer leaves as JSON ([`AsJson`]), the walk writes it at once, without a tree of values: the executor carries it as
//! [`Value::Binary`], and `json` copies it out.

use std::{borrow::Cow, collections::HashMap, fmt::Display, io::Write as _};

use async_graphql::{
    ContainerType, ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
    registry::Registry,
    resolver_utils::resolve_container,
};

use super::json;

/// What is selected of a value.
#[derive(Clone, Copy)]
pub struct Selected<'a> {
    set: &'a SelectionSet,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    registry: &'a Registry,
}

/// A value that may be answered without waiting.
pub trait AtHand {
    /// The answer to a selection; `None` if something that is selected is not at hand.
    fn answer(&self, selected: Selected<'_>) -> Option<Value>;

    /// The same answer, written at the end of this JSON. Each key is selected once. After `None`, what was written is worth nothing.
    fn write(&self, selected: Selected<'_>, json: &mut Vec<u8>) -> Option<()>;
}

/// Answers a field of an object by its name.
type Answer<'f> = dyn FnMut(&str, Selected<'_>) -> Option<Value> + 'f;

/// Writes a field of an object by its name.
type Write<'f> = dyn FnMut(&str, Selected<'_>, &mut Vec<u8>) -> Option<()> + 'f;

/// Put into a request: the answer leaves as JSON, through [`json`], and each key in it is selected once.
pub struct AsJson;

/// The room that is made for what is written: most pages fit.
const USUAL_ROOM: usize = 8 * 1024;

impl<'a> Selected<'a> {
    fn of(ctx: &ContextSelectionSet<'a>) -> Self {
        Self { set: &ctx.item.node, fragments: &ctx.query_env.fragments, registry: &ctx.schema_env.registry }
    }

    /// The fields that are selected of an object of this type, in the order they are asked for.
    pub fn object(self, type_name: &str, field: &mut Answer<'_>) -> Option<Value> {
        let mut object = IndexMap::with_capacity(self.set.items.len());
        self.collect(type_name, &mut object, field)?;
        Some(Value::Object(object))
    }

    fn collect(self, type_name: &str, object: &mut IndexMap<Name, Value>, answer: &mut Answer<'_>) -> Option<()> {
        for item in &self.set.items {
            // @skip and @include are worked off before execution; there are no other directives here.
            if let Selection::Field(field) = &item.node {
                let field = &field.node;
                let value = match field.name.node.as_str() {
                    "__typename" => Value::from(type_name),
                    name => answer(name, self.inside(&field.selection_set.node))?,
                };
                merge(object, field.response_key().node.clone(), value);
            } else if let Some(set) = self.fragment(&item.node, type_name)? {
                self.inside(set).collect(type_name, object, answer)?;
            }
        }
        Some(())
    }

    /// Writes the fields that are selected of an object of this type, in the order they are asked for.
    pub fn write_object(self, type_name: &str, json: &mut Vec<u8>, field: &mut Write<'_>) -> Option<()> {
        json.push(b'{');
        let begin = json.len();
        self.write_fields(type_name, begin, json, field)?;
        json.push(b'}');
        Some(())
    }

    fn write_fields(self, type_name: &str, begin: usize, json: &mut Vec<u8>, write: &mut Write<'_>) -> Option<()> {
        for item in &self.set.items {
            if let Selection::Field(field) = &item.node {
                let field = &field.node;
                if json.len() > begin {
                    json.push(b',');
                }
                json::key(field.response_key().node.as_str(), json);
                match field.name.node.as_str() {
                    "__typename" => json::text(type_name, json),
                    name => write(name, self.inside(&field.selection_set.node), json)?,
                }
            } else if let Some(set) = self.fragment(&item.node, type_name)? {
                self.inside(set).write_fields(type_name, begin, json, write)?;
            }
        }
        Some(())
    }

    /// What a fragment selects of an object of this type. `None` where there is no such fragment.
    fn fragment(self, selection: &'a Selection, type_name: &str) -> Option<Option<&'a SelectionSet>> {
        let (condition, set) = match selection {
            Selection::FragmentSpread(spread) => {
                let fragment = &self.fragments.get(&spread.node.fragment_name.node)?.node;
                (Some(&fragment.type_condition), &fragment.selection_set)
            }
            Selection::InlineFragment(fragment) => {
                (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
            }
            Selection::Field(_) => return Some(None),
        };
        let applies = condition.is_none_or(|condition| self.applies(condition.node.on.node.as_str(), type_name));
        Some(applies.then_some(&set.node))
    }

    fn inside(self, set: &'a SelectionSet) -> Self {
        Self { set, ..self }
    }

    fn applies(self, condition: &str, type_name: &str) -> bool {
        let implemented = || self.registry.implements.get(type_name).is_some_and(|all| all.contains(condition));
        condition == type_name || implemented()
    }
}

/// Fields that are asked for twice under one key are one field (GraphQL specification, section 6.3.2).
fn merge(object: &mut IndexMap<Name, Value>, key: Name, value: Value) {
    match (object.get_mut(&key), value) {
        (None, value) => {
            object.insert(key, value);
        }
        (Some(Value::Object(known)), Value::Object(more)) => {
            more.into_iter().for_each(|(key, value)| merge(known, key, value));
        }
        (Some(Value::List(known)), Value::List(more)) => {
            for pair in known.iter_mut().zip(more) {
                if let (Value::Object(known), Value::Object(more)) = pair {
                    more.into_iter().for_each(|(key, value)| merge(known, key, value));
                }
            }
        }
        (Some(_), _) => {}
    }
}

/// An object that is answered by a walk where it can be, and by the stock executor where it can't.
#[derive(Clone)]
pub struct Walked<T>(pub T);

/// Put into a request, it sends everything to the stock executor, or makes the walk build values and write nothing: for tests that compare the three.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Only {
    Stock,
    Values,
}

impl<T: ContainerType + AtHand> OutputType for Walked<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
        #[cfg(test)]
        if ctx.data_opt() == Some(&Only::Stock) {
            return resolve_container(ctx, &self.0).await;
        }
        let selected = Selected::of(ctx);
        let as_json = ctx.data_opt::<AsJson>();
        #[cfg(test)]
        let as_json = as_json.filter(|_| ctx.data_opt() != Some(&Only::Values));
        let answer = match as_json {
            Some(AsJson) => {
                let mut json = Vec::with_capacity(USUAL_ROOM);
                self.0.write(selected, &mut json).map(|()| Value::Binary(json.into()))
            }
            None => self.0.answer(selected),
        };
        match answer {
            Some(answer) => Ok(answer),
            None => resolve_container(ctx, &self.0).await,
        }
    }
}

impl<T: AtHand> AtHand for Walked<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        self.0.answer(selected)
    }

    fn write(&self, selected: Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
        self.0.write(selected, json)
    }
}

impl<T: AtHand> AtHand for Option<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        match self {
            Some(value) => value.answer(selected),
            None => Some(Value::Null),
        }
    }

    fn write(&self, selected: Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
        match self {
            Some(value) => value.write(selected, json)?,
            None => json.extend(b"null"),
        }
        Some(())
    }
}

impl<T: AtHand> AtHand for Vec<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        let values: Option<Vec<Value>> = self.iter().map(|value| value.answer(selected)).collect();
        values.map(Value::List)
    }

    fn write(&self, selected: Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
        json.push(b'[');
        for (at, value) in self.iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            value.write(selected, json)?;
        }
        json.push(b']');
        Some(())
    }
}

/// A leaf whose text needs no escapes: an id, a number.
pub struct Displayed<T>(pub T);

impl<T: Display> AtHand for Displayed<T> {
    fn answer(&self, _: Selected<'_>) -> Option<Value> {
        Some(Value::String(self.0.to_string()))
    }

    fn write(&self, _: Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
        write!(json, "\"{}\"", self.0).ok()
    }
}

/// A leaf: its value, whatever is selected.
macro_rules! leaf {
    ($type:ty, |$this:ident| $value:expr) => {
        impl $crate::graphql::walk::AtHand for $type {
            fn answer(&self, _: $crate::graphql::walk::Selected<'_>) -> Option<async_graphql::Value> {
                let $this = self;
                Some($value)
            }

            fn write(&self, _: $crate::graphql::walk::Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
                let $this = self;
                $crate::graphql::json::value(&$value, json);
                Some(())
            }
        }
    };
}
pub(super) use leaf;

/// A leaf that is a text.
macro_rules! text {
    ($type:ty, |$this:ident| $text:expr) => {
        impl $crate::graphql::walk::AtHand for $type {
            fn answer(&self, _: $crate::graphql::walk::Selected<'_>) -> Option<async_graphql::Value> {
                let $this = self;
                Some(async_graphql::Value::from($text))
            }

            fn write(&self, _: $crate::graphql::walk::Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
                let $this = self;
                $crate::graphql::json::text($text, json);
                Some(())
            }
        }
    };
}
pub(super) use text;

/// A leaf that is one of the values of an enum.
macro_rules! choice {
    ($($type:ty),*) => {
        $(impl $crate::graphql::walk::AtHand for $type {
            fn answer(&self, _: $crate::graphql::walk::Selected<'_>) -> Option<async_graphql::Value> {
                Some(async_graphql::resolver_utils::enum_value(*self))
            }

            fn write(&self, _: $crate::graphql::walk::Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
                let all = <$type as async_graphql::resolver_utils::EnumType>::items();
                $crate::graphql::json::text(all.iter().find(|item| item.value == *self)?.name, json);
                Some(())
            }
        })*
    };
}
pub(super) use choice;

/// An object: each field by its name in the API. `?` in an expression says "not at hand".
macro_rules! at_hand {
    ($type:ty, $($name:literal => |$this:ident| $value:expr),* $(,)?) => {
        #[cfg(test)]
        impl $type {
            /// The fields that the walk knows.
            pub const AT_HAND: &[&str] = &[$($name),*];
        }

        impl $crate::graphql::walk::AtHand for $type {
            fn answer(&self, selected: $crate::graphql::walk::Selected<'_>) -> Option<async_graphql::Value> {
                use $crate::graphql::walk::AtHand;
                let type_name = <$type as async_graphql::OutputType>::type_name();
                selected.object(&type_name, &mut |name, inside| match name {
                    $($name => {
                        let $this = self;
                        AtHand::answer(&$value, inside)
                    })*
                    _ => None,
                })
            }

            fn write(&self, selected: $crate::graphql::walk::Selected<'_>, json: &mut Vec<u8>) -> Option<()> {
                use $crate::graphql::walk::AtHand;
                let type_name = <$type as async_graphql::OutputType>::type_name();
                selected.write_object(&type_name, json, &mut |name, inside, json| match name {
                    $($name => {
                        let $this = self;
                        AtHand::write(&$value, inside, json)
                    })*
                    _ => None,
                })
            }
        }
    };
}
pub(super) use at_hand;

leaf!(bool, |it| Value::Boolean(*it));
leaf!(i32, |it| Value::from(*it));
text!(String, |it| it.as_str());
text!(&str, |it| *it);
text!(async_graphql::ID, |it| it.as_str());
