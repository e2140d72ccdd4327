//! Answers a selection in one walk where all that it names is at hand, instead of with a future for each leaf.
//!
//! The types stay what async-graphql derives: names, descriptions and introspection are theirs. Only how a value is answered differs, and only where
//! it can be: a field that is not at hand sends the whole object to the stock executor, so that a field that was forgotten here is slow and not wrong.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use async_graphql::{
    ContainerType, ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::{Field, FragmentDefinition, Selection, SelectionSet},
    registry::Registry,
    resolver_utils::resolve_container,
};

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
}

/// Answers a field of an object by its name.
type Answer<'f> = dyn FnMut(&str, Selected<'_>) -> Option<Value> + 'f;

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
            let (condition, set) = match &item.node {
                // @skip and @include are worked off before execution; there are no other directives here.
                Selection::Field(field) => {
                    let field = &field.node;
                    let value = match field.name.node.as_str() {
                        "__typename" => Value::from(type_name),
                        name => answer(name, self.inside(&field.selection_set.node))?,
                    };
                    merge(object, field.response_key().node.clone(), value);
                    continue;
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.fragments.get(&spread.node.fragment_name.node)?.node;
                    (Some(&fragment.type_condition), &fragment.selection_set)
                }
                Selection::InlineFragment(fragment) => {
                    (fragment.node.type_condition.as_ref(), &fragment.node.selection_set)
                }
            };
            let applies = condition.is_none_or(|condition| self.applies(condition.node.on.node.as_str(), type_name));
            if applies {
                self.inside(&set.node).collect(type_name, object, answer)?;
            }
        }
        Some(())
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

/// Put into a request, it sends everything to the stock executor: for tests that compare the two.
#[cfg(test)]
pub struct StockOnly;

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
        if ctx.data_opt::<StockOnly>().is_some() {
            return resolve_container(ctx, &self.0).await;
        }
        match self.0.answer(Selected::of(ctx)) {
            Some(value) => Ok(value),
            None => resolve_container(ctx, &self.0).await,
        }
    }
}

impl<T: AtHand> AtHand for Walked<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        self.0.answer(selected)
    }
}

impl<T: AtHand> AtHand for Option<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        match self {
            Some(value) => value.answer(selected),
            None => Some(Value::Null),
        }
    }
}

impl<T: AtHand> AtHand for Vec<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        let values: Option<Vec<Value>> = self.iter().map(|value| value.answer(selected)).collect();
        values.map(Value::List)
    }
}

impl<T: AtHand> AtHand for Arc<T> {
    fn answer(&self, selected: Selected<'_>) -> Option<Value> {
        T::answer(self, selected)
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
        }
    };
}
pub(super) use leaf;

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
        }
    };
}
pub(super) use at_hand;

leaf!(bool, |it| Value::Boolean(*it));
leaf!(i32, |it| Value::from(*it));
leaf!(String, |it| Value::String(it.clone()));
leaf!(async_graphql::ID, |it| Value::String(it.to_string()));
