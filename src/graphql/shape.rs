//! What is seen of a document once and for all, so that its answers cost less from then on.

use async_graphql::{
    Name, Value, Variables,
    parser::types::{
        BaseType, DocumentOperations, ExecutableDocument, OperationType, Selection, SelectionSet, VariableDefinition,
    },
};

/// How much of a document is looked at, fragments expanded. One that is longer gets no short cut.
const MOST_SELECTIONS: usize = 5_000;

/// The short cuts that a document may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// No response key is selected twice of one object: nothing is to be merged, so that a part may be written before the next is known.
    pub keys_are_unique: bool,
    /// One query whose variables are single scalars of the specification. Once valid it stays valid with any values of these types
    /// ([`Shape::fits`]); the executor has no other rule that looks at values.
    pub is_plain: bool,
    /// Nothing called `display` is selected anywhere: no payment that the request comes across need be read with what it shows.
    pub shows_no_display: bool,
}

impl Shape {
    pub fn of(document: &ExecutableDocument) -> Self {
        let mut left = MOST_SELECTIONS;
        let mut all = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
        let keys_are_unique = all.all(|set| keys_are_unique(document, &[set], &mut left).is_some());
        let operations = document.operations.iter().map(|(_, operation)| &operation.node.selection_set.node);
        let mut sets = operations.chain(document.fragments.values().map(|fragment| &fragment.node.selection_set.node));
        let shows_no_display = !sets.any(|set| names(set, "display"));
        Self { keys_are_unique, is_plain: is_plain(&document.operations), shows_no_display }
    }

    /// Whether the values are of their variables' types, beyond doubt.
    pub fn fits(document: &ExecutableDocument, variables: &Variables) -> bool {
        let definitions = document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
        definitions.map(|definition| &definition.node).all(|of| match variables.get(&of.name.node) {
            None => of.var_type.node.nullable || of.default_value.is_some(),
            Some(Value::Null) => of.var_type.node.nullable,
            Some(value) => is_of_type(value, of),
        })
    }
}

/// Whether a field of this name is selected here or below, fragments' own selections left out.
fn names(set: &SelectionSet, name: &str) -> bool {
    set.items.iter().any(|item| match &item.node {
        Selection::Field(field) => field.node.name.node == name || names(&field.node.selection_set.node, name),
        Selection::InlineFragment(fragment) => names(&fragment.node.selection_set.node, name),
        Selection::FragmentSpread(_) => false,
    })
}

fn is_plain(operations: &DocumentOperations) -> bool {
    let mut operations = operations.iter().map(|(_, operation)| &operation.node);
    let (Some(only), None) = (operations.next(), operations.next()) else { return false };
    let mut types = only.variable_definitions.iter().map(|definition| &definition.node);
    only.ty == OperationType::Query && types.all(|of| matches!(named(of), Some("Int" | "String" | "Boolean" | "ID")))
}

fn is_of_type(value: &Value, of: &VariableDefinition) -> bool {
    match (named(of), value) {
        (Some("Int"), Value::Number(number)) => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Some("String" | "ID"), Value::String(_)) | (Some("Boolean"), Value::Boolean(_)) => true,
        _ => false,
    }
}

/// The type of a variable that is no list.
fn named(of: &VariableDefinition) -> Option<&str> {
    match &of.var_type.node.base {
        BaseType::Named(name) => Some(name),
        BaseType::List(_) => None,
    }
}

/// Looks at all that is selected of one object in several places: `None` where a key comes twice, or there is too much to look at. What fragments
/// select counts whatever type they are for.
fn keys_are_unique(document: &ExecutableDocument, sets: &[&SelectionSet], left: &mut usize) -> Option<()> {
    let mut keys: Vec<&Name> = vec![];
    let mut open: Vec<&SelectionSet> = sets.to_vec();
    while let Some(set) = open.pop() {
        for item in &set.items {
            *left = left.checked_sub(1)?;
            match &item.node {
                Selection::Field(field) => {
                    let key = &field.node.response_key().node;
                    if keys.contains(&key) {
                        return None;
                    }
                    keys.push(key);
                    keys_are_unique(document, &[&field.node.selection_set.node], left)?;
                }
                Selection::InlineFragment(fragment) => open.push(&fragment.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let fragment = document.fragments.get(&spread.node.fragment_name.node)?;
                    open.push(&fragment.node.selection_set.node);
                }
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    fn shape(document: &str) -> Shape {
        Shape::of(&parse_query(document).unwrap())
    }

    #[test]
    fn a_key_that_comes_twice_is_seen_through_fragments() {
        let unique = |document: &str| shape(document).keys_are_unique;
        assert!(unique("{ a b { a } c: b { a } }"));
        assert!(!unique("{ a a }"));
        assert!(!unique("{ a b: a ... { b } }"));
        assert!(!unique("{ a { b } ...f } fragment f on Query { a { c } }"));
        assert!(!unique("{ a { ... on X { b } ... on Y { b } } }"));
        assert!(unique("{ a { ...f } b { ...f } } fragment f on X { c }"));
        assert!(!unique("{ ...f } fragment f on Query { a { ...f } }"));
    }

    #[test]
    fn a_display_is_seen_wherever_it_is_selected() {
        let shows = |document: &str| !shape(document).shows_no_display;
        assert!(shows("{ a { b: display } }"));
        assert!(shows("{ a { ... on X { display } } }"));
        assert!(shows("{ ...f } fragment f on Query { a { display { x } } }"));
        assert!(shows("query A { a } query B { display }"));
        assert!(!shows("{ a { display: b } }"));
    }

    #[test]
    fn one_query_with_single_scalars_is_plain() {
        let plain = |document: &str| shape(document).is_plain;
        assert!(plain("query($a: Int!, $b: String = \"x\", $c: ID, $d: Boolean) { a }"));
        assert!(plain("query Named { a }"));
        assert!(!plain("query A { a } query B { b }"));
        assert!(!plain("mutation { a }"));
        assert!(!plain("query($a: [Int!]) { a }"));
        assert!(!plain("query($a: OrderFilter) { a }"));
    }

    #[test]
    fn values_fit_where_nobody_could_object() {
        let fits = |document: &str, values: serde_json::Value| {
            Shape::fits(&parse_query(document).unwrap(), &Variables::from_json(values))
        };
        let count = "query($first: Int!) { a }";
        assert!(fits(count, json!({ "first": 20 })));
        for value in [json!(null), json!("20"), json!(2.5), json!(3_000_000_000_u64), json!([20])] {
            assert!(!fits(count, json!({ "first": value })), "{value}");
        }
        assert!(!fits(count, json!({})));
        assert!(fits("query($first: Int) { a }", json!({})));
        assert!(fits("query($first: Int! = 2) { a }", json!({})));
        assert!(!fits("query($id: ID!) { a }", json!({ "id": 7 })));
        assert!(!fits("query($on: Boolean) { a }", json!({ "on": "true" })));
    }
}
