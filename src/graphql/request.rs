//! A request made ready: parsed, and refused where the executor would not refuse it.

use std::collections::HashSet;

use async_graphql::{
    Request, ServerError, Value, Variables,
    parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet},
};

/// A request that can be executed.
pub struct Prepared {
    request: Request,
    kind: Option<OperationType>,
    introspects: bool,
}

impl Prepared {
    /// Parses a document and checks its variables.
    pub fn new(
        query: String,
        operation_name: Option<String>,
        variables: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, ServerError> {
        let variables = Variables::from_json(serde_json::Value::Object(variables));
        let mut request = Request::new(query).variables(variables);
        request.operation_name = operation_name;
        Self::of(request)
    }

    /// The same of a request as it came over a socket.
    pub fn of(mut request: Request) -> Result<Self, ServerError> {
        let name = request.operation_name.clone();
        let variables = request.variables.clone();
        // What the parser says quotes the document; where it stumbled is enough.
        let document = request.parsed_query().map_err(|error| ServerError {
            message: "The document is not GraphQL, from the location on.".into(),
            ..error
        })?;
        let operation = operation(document, name.as_deref());
        if let Some(missing) = operation.and_then(|operation| missing_variable(operation, &variables)) {
            return Err(ServerError::new(format!("The variable ${missing} is required."), None));
        }
        let kind = operation.map(|operation| operation.ty);
        if kind == Some(OperationType::Subscription) && !operation.is_some_and(is_one_field) {
            return Err(ServerError::new("A subscription has exactly one field, and no fragment around it.", None));
        }
        let introspects = operation
            .is_some_and(|operation| introspects(document, &operation.selection_set.node, &mut HashSet::new(), 0));
        Ok(Self { request, kind, introspects })
    }

    /// The same request for a server that does not show its schema, or the error that says so.
    pub fn without_introspection(self) -> Result<Self, ServerError> {
        if self.introspects {
            return Err(ServerError::new("Introspection is switched off on this server.", None));
        }
        Ok(Self { request: self.request.disable_introspection(), ..self })
    }

    /// Whether it changes something, so that it has to run to its end even if nobody waits for the answer.
    pub fn is_mutation(&self) -> bool {
        self.kind == Some(OperationType::Mutation)
    }

    /// Whether it waits for what is to come, so that it belongs on a socket.
    pub fn is_subscription(&self) -> bool {
        self.kind == Some(OperationType::Subscription)
    }

    /// Whether it has one answer, so that it belongs elsewhere than on a socket.
    pub fn is_answered_at_once(&self) -> bool {
        matches!(self.kind, Some(OperationType::Query | OperationType::Mutation))
    }

    pub(super) fn into_request(self) -> Request {
        self.request
    }
}

#[cfg(test)]
impl Prepared {
    /// The same request with something in its context.
    pub(super) fn with<D: std::any::Any + Send + Sync>(self, data: D) -> Self {
        Self { request: self.request.data(data), ..self }
    }
}

/// A variable that must have a value and has none. The executor would run without it.
fn missing_variable(operation: &OperationDefinition, variables: &Variables) -> Option<String> {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    let missing = definitions
        .filter(|definition| !definition.var_type.node.nullable && definition.default_value.is_none())
        .find(|definition| matches!(variables.get(&definition.name.node), None | Some(Value::Null)));
    missing.map(|definition| definition.name.node.to_string())
}

/// Whether it selects one field (GraphQL specification, section 5.2.3.1). The executor would take several, and pass over what is in a fragment.
fn is_one_field(operation: &OperationDefinition) -> bool {
    let items = &operation.selection_set.node.items;
    matches!(&items[..], [only] if matches!(only.node, Selection::Field(_)))
}

/// Fragments that lie deeper than this are refused by the executor anyway.
const MOST_DEPTH: usize = 32;

/// Whether a root selection asks for the schema. Each fragment is looked at once, however often it is spread: fragments that spread each
/// other twice would make it take for ever.
fn introspects<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    seen: &mut HashSet<&'a str>,
    depth: usize,
) -> bool {
    depth < MOST_DEPTH
        && set.items.iter().any(|item| {
            let inside = match &item.node {
                Selection::Field(field) => return matches!(field.node.name.node.as_str(), "__schema" | "__type"),
                Selection::InlineFragment(inline) => Some(&inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = document.fragments.get(name).filter(|_| seen.insert(name.as_str()));
                    fragment.map(|fragment| &fragment.node.selection_set.node)
                }
            };
            inside.is_some_and(|set| introspects(document, set, seen, depth + 1))
        })
}

fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(found, _)| found.is_some_and(|found| found == name)),
        None => operations.next(),
    };
    found.map(|(_, operation)| &operation.node)
}
