//! A request made ready: its document found, measured, and refused where the executor would not refuse it.

use std::sync::Arc;

use async_graphql::{
    Request, ServerError, Value, Variables,
    parser::types::{ExecutableDocument, OperationDefinition, OperationType, Selection},
};

use super::{
    document::{Document, Documents, Named},
    limit::{Limit, Limits},
    measure::{Tally, measure},
    view::View,
};

/// A request as it was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub document: Named,
    pub operation_name: Option<String>,
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// A request that can be executed.
pub struct Prepared {
    request: Request,
    kind: Option<OperationType>,
    cost: usize,
    document: Arc<Document>,
    is_proven: bool,
}

impl Prepared {
    /// Finds the document, checks it against the limits and against what its sender sees, and checks its variables.
    pub(super) fn new(
        asked: Asked,
        documents: &Documents,
        view: &Arc<View>,
        limits: &Limits,
        introspection: bool,
    ) -> Result<Self, ServerError> {
        let document = documents.find(&asked.document)?;
        check_depth(asked.variables.values(), limits.variables_depth)?;
        check_count(asked.variables.values())?;
        let variables = Variables::from_json(serde_json::Value::Object(asked.variables));
        let name = asked.operation_name.as_deref();
        let operation = operation(&document.parsed, name);
        let mut cost = 0;
        if let Some(operation) = operation {
            let tally = counted(&document, name, operation, &variables, view)?;
            if tally.introspects && !introspection {
                return Err(ServerError::new("Introspection is switched off on this server.", None));
            }
            if operation.ty == OperationType::Subscription && !is_one_field(operation) {
                return Err(ServerError::new("A subscription has exactly one field, and no fragment around it.", None));
            }
            tally.check(limits, operation.ty)?;
            cost = tally.cost;
            if let Some(missing) = missing_variable(operation, &variables) {
                return Err(ServerError::new(format!("The variable ${missing} is required."), None));
            }
        }
        let kind = operation.map(|operation| operation.ty);
        let is_proven = document.is_proven(&variables);
        let mut request = Request::new("").variables(variables);
        request.set_parsed_query(document.parsed.clone());
        request.operation_name = asked.operation_name;
        let request = if introspection { request } else { request.disable_introspection() };
        Ok(Self { request, kind, cost, document, is_proven })
    }

    /// Whether its document was found valid before, and would be so again with these variables.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    pub(super) fn document(&self) -> Arc<Document> {
        Arc::clone(&self.document)
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

    /// What it may cost at the most, in points.
    pub fn cost(&self) -> usize {
        self.cost
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

/// What an operation asks for; counted once for all who see the same.
fn counted(
    document: &Document,
    name: Option<&str>,
    operation: &OperationDefinition,
    variables: &Variables,
    view: &Arc<View>,
) -> Result<Tally, ServerError> {
    if let Some(tally) = document.measured(view, name) {
        return Ok(tally);
    }
    let tally = measure(&document.parsed, operation, variables, view)?;
    document.keep(view, name, tally);
    Ok(tally)
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

fn check_depth<'a>(values: impl Iterator<Item = &'a serde_json::Value>, most: usize) -> Result<(), ServerError> {
    fn is_within(value: &serde_json::Value, most: usize) -> bool {
        match value {
            serde_json::Value::Array(items) => most > 0 && items.iter().all(|item| is_within(item, most - 1)),
            serde_json::Value::Object(fields) => most > 0 && fields.values().all(|field| is_within(field, most - 1)),
            _ => true,
        }
    }
    for value in values {
        if !is_within(value, most) {
            return Err(Limit::VariablesDepth.exceeded(most, None));
        }
    }
    Ok(())
}

/// The largest cart has fewer, by far. What is made of each for the executor costs many times what reading it did.
const MOST_VALUES: usize = 20_000;

/// To be called once they are known not to lie too deep within one another.
fn check_count<'a>(values: impl Iterator<Item = &'a serde_json::Value>) -> Result<(), ServerError> {
    fn count(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
            serde_json::Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
            _ => 1,
        }
    }
    Limit::VariablesValues.check(values.map(count).sum(), MOST_VALUES)
}

/// Whether what is asked for of a document is a query.
pub(super) fn is_query(document: &ExecutableDocument, name: Option<&str>) -> bool {
    operation(document, name).is_some_and(|operation| operation.ty == OperationType::Query)
}

fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(found, _)| found.is_some_and(|found| found == name)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    found.map(|(_, operation)| &operation.node)
}
