//! Counts what a document asks for, as a caller sees the schema, before anything of it is validated or run.
//!
//! Cost is counted in points, ahead and for the worst case: an object is one, what it has a list of counts twice, and a page as often as it has
//! places; a mutation is ten. What comes along with its object anyway (leaves, money, the wrapping of a page) is free. Names that the caller does not
//! see are refused here, in the words for names that there are none of (rule A4).

use std::{collections::HashMap, convert::Infallible};

use async_graphql::{
    Pos, Positioned, ServerError, Value, Variables,
    parser::types::{
        BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
    },
};

use super::{
    limit::{Limit, Limits},
    view::{self, View},
};

/// The points of a mutation.
const MUTATION: usize = 10;
/// How often what is in a list without pages counts: an order has a payment or two.
const LIST: usize = 2;
/// What a page holds if nobody says how much, and at the most (rule L1).
const PAGE: usize = 20;
const MOST_PAGE: usize = 100;
/// With every fragment counted wherever it is spread.
const MOST_FIELDS: usize = 5_000;
/// Selections within one another, whether they are of fields or of fragments.
const MOST_NESTING: usize = 100;
/// Of what a type has lists of: two within one another would list the schema squared.
const INTROSPECTION_LISTS: usize = 1;
const INTROSPECTION_LIST_FIELDS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// What an operation asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub cost: usize,
    pub depth: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
    roots: usize,
    /// Whether the cost is another one with other variables.
    pub varies: bool,
    pub introspects: bool,
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            cost: self.cost.saturating_add(other.cost),
            depth: self.depth.max(other.depth),
            fields: self.fields.saturating_add(other.fields),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            roots: self.roots.saturating_add(other.roots),
            varies: self.varies || other.varies,
            introspects: self.introspects || other.introspects,
        }
    }

    /// Says which limit is passed, if one is.
    pub fn check(self, limits: &Limits, kind: OperationType) -> Result<(), ServerError> {
        Limit::Fields.check(self.fields, MOST_FIELDS)?;
        Limit::Depth.check(self.depth, limits.depth)?;
        Limit::Aliases.check(self.aliases, limits.aliases)?;
        Limit::Directives.check(self.directives, limits.directives)?;
        if kind == OperationType::Mutation {
            Limit::Mutations.check(self.roots, limits.mutations)?;
        }
        Limit::RootFields.check(self.roots, limits.root_fields)?;
        Limit::Cost.check(self.cost, limits.cost)
    }
}

/// Measures one operation of a document; everything in the document has to be there for the caller.
pub fn measure(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
    view: &View,
) -> Result<Tally, ServerError> {
    let mut walk = Walk { document, view, variables, operation, fragments: HashMap::new(), items: 0 };
    for (_, other) in document.operations.iter() {
        walk.operation(&other.node)?;
    }
    for (name, fragment) in &document.fragments {
        walk.fragment(name.as_str(), fragment.pos, 0)?;
    }
    walk.operation(operation)
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    view: &'a View,
    variables: &'a Variables,
    operation: &'a OperationDefinition,
    /// `None` while it is being counted.
    fragments: HashMap<&'a str, Option<Tally>>,
    /// What an introspection has come past.
    items: usize,
}

impl<'a> Walk<'a> {
    fn operation(&mut self, of: &'a OperationDefinition) -> Result<Tally, ServerError> {
        let (name, seen) = match of.ty {
            OperationType::Query => ("Query", &self.view.query),
            OperationType::Mutation => ("Mutation", &self.view.mutation),
            OperationType::Subscription => ("Subscription", &self.view.subscription),
        };
        let mut tally = self.set(&of.selection_set.node, seen.as_deref().unwrap_or(name), 0)?;
        for variable in &of.variable_definitions {
            self.type_is_there(base(&variable.node.var_type.node.base), variable.node.var_type.pos)?;
        }
        let of_variables: usize = of.variable_definitions.iter().map(|variable| variable.node.directives.len()).sum();
        tally.directives = tally.directives.saturating_add(of.directives.len() + of_variables);
        Ok(tally)
    }

    fn type_is_there(&self, name: &str, at: Pos) -> Result<(), ServerError> {
        match self.view.has_type(name) || name.starts_with("__") {
            true => Ok(()),
            false => Err(ServerError::new(format!("Unknown type \"{name}\""), Some(at))),
        }
    }

    /// What is selected of a type.
    fn set(&mut self, set: &'a SelectionSet, of: &str, inside: usize) -> Result<Tally, ServerError> {
        if inside > MOST_NESTING {
            return Err(Limit::Nesting.exceeded(MOST_NESTING, set.items.first().map(|item| item.pos)));
        }
        let mut tally = Tally::default();
        for item in &set.items {
            let one = match &item.node {
                Selection::Field(field) => self.field(field, of, inside)?,
                Selection::InlineFragment(fragment) => {
                    let fragment = &fragment.node;
                    let condition = fragment.type_condition.as_ref();
                    if let Some(condition) = condition {
                        self.type_is_there(&condition.node.on.node, condition.pos)?;
                    }
                    let of = condition.map_or(of, |condition| condition.node.on.node.as_str());
                    let inner = self.set(&fragment.selection_set.node, of, inside + 1)?;
                    inner.and(Tally::of_directives(&fragment.directives))
                }
                Selection::FragmentSpread(spread) => {
                    let inner = self.fragment(&spread.node.fragment_name.node, spread.pos, inside)?;
                    inner.and(Tally::of_directives(&spread.node.directives))
                }
            };
            tally = tally.and(one);
        }
        Ok(tally)
    }

    /// Each fragment is walked through once, however often it is spread: some spread each other twice, and so on.
    fn fragment(&mut self, name: &'a str, at: Pos, inside: usize) -> Result<Tally, ServerError> {
        match self.fragments.get(name) {
            Some(Some(tally)) => return Ok(*tally),
            Some(None) => return Err(ServerError::new("A fragment spreads itself, or others that do.", Some(at))),
            None => {}
        }
        // The validation says what is missing.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Tally::default()) };
        let (fragment, condition) = (&fragment.node, &fragment.node.type_condition);
        self.fragments.insert(name, None);
        self.type_is_there(&condition.node.on.node, condition.pos)?;
        let inner = self.set(&fragment.selection_set.node, &condition.node.on.node, inside + 1)?;
        let tally = inner.and(Tally::of_directives(&fragment.directives));
        self.fragments.insert(name, Some(tally));
        Ok(tally)
    }

    fn field(&mut self, field: &'a Positioned<Field>, of: &str, inside: usize) -> Result<Tally, ServerError> {
        let (at, field) = (field.pos, &field.node);
        let name = field.name.node.as_str();
        let own =
            Tally { fields: 1, roots: 1, depth: 1, aliases: usize::from(field.alias.is_some()), ..Tally::default() }
                .and(Tally::of_directives(&field.directives));
        if name == "__typename" || of.starts_with("__") {
            return Ok(own.and(self.of_the_schema(&field.selection_set.node, 0, inside + 1)?));
        }
        if matches!(name, "__schema" | "__type") && Some(of) == self.view.query.as_deref() {
            let inner = self.of_the_schema(&field.selection_set.node, 0, inside + 1)?;
            return Ok(own.and(inner).and(Tally { cost: MUTATION, introspects: true, ..Tally::default() }));
        }
        let Some(seen) = self.view.field(of, name) else {
            return Err(ServerError::new(format!("Unknown field \"{name}\" on type \"{of}\"."), Some(at)));
        };
        if let Some((unknown, _)) = field.arguments.iter().find(|(argument, _)| !seen.has_argument(&argument.node)) {
            let why = format!("Unknown argument \"{unknown}\" on field \"{name}\" of type \"{of}\".");
            return Err(ServerError::new(why, Some(unknown.pos)));
        }
        let inner = self.set(&field.selection_set.node, &seen.of, inside + 1)?;
        let (times, varies) = self.times(field, seen, of);
        let points = self.points(seen, of);
        // A page is one thing with many in it; what is in a list is many things.
        let cost = match seen.is_paged() {
            true => inner.cost.saturating_mul(times).saturating_add(points),
            false => inner.cost.saturating_add(points).saturating_mul(times),
        };
        let depth = inner.depth + 1;
        Ok(Tally { cost, depth, roots: 1, varies: varies || inner.varies, ..own.and(inner) })
    }

    /// What the field itself costs.
    fn points(&self, seen: &view::Field, of: &str) -> usize {
        let is = |root: &Option<String>| root.as_deref() == Some(of);
        let comes_along = seen.of == "Money" || seen.of == "PageInfo" || is_wrapping(&seen.of);
        if is(&self.view.mutation) {
            MUTATION
        } else if is(&self.view.query) || is(&self.view.subscription) {
            1
        } else {
            usize::from(seen.is_object && !comes_along)
        }
    }

    /// How often what is selected of it is answered, and whether a variable says so.
    fn times(&self, field: &Field, seen: &view::Field, of: &str) -> (usize, bool) {
        if !seen.is_paged() {
            return (if seen.is_list && !is_wrapping(of) { LIST } else { 1 }, false);
        }
        let mut varies = false;
        let mut named = |name: &str| {
            let value = field.get_argument(name)?.node.clone();
            let value = value.into_const_with(|variable| {
                varies = true;
                Ok::<_, Infallible>(self.variable(&variable).unwrap_or_default())
            });
            value.ok().as_ref().and_then(whole)
        };
        let times = named("first").or_else(|| named("last")).unwrap_or(PAGE);
        (times, varies)
    }

    fn variable(&self, name: &str) -> Option<Value> {
        let defined = self.operation.variable_definitions.iter().find(|of| of.node.name.node == name);
        let usual = defined.and_then(|of| of.node.default_value.as_ref());
        self.variables.get(name).or_else(|| usual.map(|usual| &usual.node)).cloned()
    }

    /// What is selected of the schema itself: bounded by how much there is to walk through, and by how lists lie within lists.
    fn of_the_schema(&mut self, set: &'a SelectionSet, lists: usize, inside: usize) -> Result<Tally, ServerError> {
        if inside > MOST_NESTING {
            return Err(Limit::Nesting.exceeded(MOST_NESTING, set.items.first().map(|item| item.pos)));
        }
        let mut tally = Tally::default();
        for item in &set.items {
            self.items += 1;
            Limit::Fields.check(self.items, MOST_FIELDS)?;
            let one = match &item.node {
                Selection::Field(field) => {
                    let is_list = INTROSPECTION_LIST_FIELDS.contains(&field.node.name.node.as_str());
                    let lists = lists + usize::from(is_list);
                    Limit::Introspection.check(lists, INTROSPECTION_LISTS)?;
                    let own = Tally {
                        fields: 1,
                        aliases: usize::from(field.node.alias.is_some()),
                        ..Tally::of_directives(&field.node.directives)
                    };
                    own.and(self.of_the_schema(&field.node.selection_set.node, lists, inside + 1)?)
                }
                Selection::InlineFragment(fragment) => {
                    let inner = self.of_the_schema(&fragment.node.selection_set.node, lists, inside + 1)?;
                    inner.and(Tally::of_directives(&fragment.node.directives))
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    // Whether it spreads itself was looked at before.
                    let fragment = self.document.fragments.get(name);
                    let own = Tally::of_directives(&spread.node.directives);
                    match fragment {
                        Some(fragment) => {
                            own.and(self.of_the_schema(&fragment.node.selection_set.node, lists, inside + 1)?)
                        }
                        None => own,
                    }
                }
            };
            tally = tally.and(one);
        }
        Ok(tally)
    }
}

impl Tally {
    fn of_directives(directives: &[Positioned<Directive>]) -> Self {
        Self { directives: directives.len(), ..Self::default() }
    }
}

/// Whether a type of this name is there for its page alone.
fn is_wrapping(of: &str) -> bool {
    of.ends_with("Connection") || of.ends_with("Edge")
}

/// A number of things on a page. What can't be one counts as a full page: it is refused elsewhere.
fn whole(value: &Value) -> Option<usize> {
    match value {
        Value::Null => None,
        Value::Number(number) => {
            Some(number.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(MOST_PAGE).min(MOST_PAGE))
        }
        _ => Some(MOST_PAGE),
    }
}

fn base(of: &BaseType) -> &str {
    match of {
        BaseType::Named(name) => name,
        BaseType::List(inner) => base(&inner.base),
    }
}
