//! Each limit at its boundary, whichever way somebody tries to get around it (test G4).

use proptest::prelude::*;

use super::*;

/// What a request costs, or the limit that it passes, with what is allowed.
async fn passes(schema: &Schema, query: &str) -> Result<usize, (String, u64)> {
    let error = match schema.prepare(&checkout(), asked(query)).await {
        Ok(prepared) => return Ok(prepared.cost()),
        Err(error) => serde_json::to_value(error).unwrap(),
    };
    let extensions = &error["extensions"];
    assert_eq!(extensions["code"], "LIMIT_EXCEEDED", "{error}");
    Err((extensions["limit"].as_str().unwrap().to_owned(), extensions["most"].as_u64().unwrap()))
}

fn times(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(" ")
}

/// So much of it is the most that passes.
async fn is_the_most(limit: &str, most: usize, query: impl Fn(usize) -> String) {
    let schema = open_schema().await;
    for fewer in [most - 1, most] {
        assert!(passes(&schema, &query(fewer)).await.is_ok(), "{limit}: {}", query(fewer));
    }
    let refused = passes(&schema, &query(most + 1)).await;
    assert_eq!(refused, Err((limit.to_owned(), u64::try_from(most).unwrap())), "{}", query(most + 1));
}

#[tokio::test]
async fn characters() {
    is_the_most("CHARACTERS", 15_000, |count| format!("{{viewer{{id}}}}#{}", "é".repeat(count - 13))).await;
}

#[tokio::test]
async fn tokens() {
    is_the_most("TOKENS", 1_000, |count| format!("{{viewer{{{}}}}}", "id ".repeat(count - 5))).await;
}

#[tokio::test]
async fn aliases() {
    is_the_most("ALIASES", 15, |count| format!("{{ viewer {{ {} }} }}", times(count, |at| format!("a{at}: id")))).await;
}

#[tokio::test]
async fn aliases_through_fragments() {
    let query = |count: usize| {
        let inside = times(5, |at| format!("a{at}: id"));
        let more = times(count - 10, |at| format!("b{at}: id"));
        format!(
            "{{ viewer {{ ...f ... on Viewer @include(if: false) {{ ...f }} ... {{ {more} }} }} }} fragment f on Viewer {{ {inside} }}"
        )
    };
    is_the_most("ALIASES", 15, query).await;
}

#[tokio::test]
async fn aliases_of_what_is_left_out() {
    let query =
        |count: usize| format!("{{ viewer {{ id {} }} }}", times(count, |at| format!("a{at}: id @skip(if: true)")));
    let schema = open_schema().await;
    assert_eq!(passes(&schema, &query(16)).await, Err(("ALIASES".into(), 15)));
}

#[tokio::test]
async fn directives() {
    let query = |count: usize| {
        let fields = times(count - 2, |at| format!("viewer {{ id @skip(if: {}) }}", at > 0));
        format!("{{ ... @include(if: true) {{ ...f @skip(if: false) }} }} fragment f on Query {{ {fields} }}")
    };
    is_the_most("DIRECTIVES", 10, query).await;
}

#[tokio::test]
async fn fields_at_the_root() {
    let query = |count: usize| {
        let fields = times(count - 4, |at| format!("a{at}: viewer {{ id }}"));
        format!("{{ {fields} ...f ...f }} fragment f on Query {{ viewer {{ id }} viewer {{ kind }} }}")
    };
    is_the_most("ROOT_FIELDS", 10, query).await;
}

#[tokio::test]
async fn mutations() {
    let schema = open_schema().await;
    let one = "cancelOrder(input: { orderId: \"x\" }) { __typename }";
    assert_eq!(passes(&schema, &format!("mutation {{ {one} }}")).await, Ok(10));
    for two in [
        format!("mutation {{ {one} b: {one} }}"),
        format!("mutation {{ ...f ...f }} fragment f on Mutation {{ {one} }}"),
        format!("mutation {{ {one} ... @include(if: false) {{ {one} }} }}"),
    ] {
        assert_eq!(passes(&schema, &two).await, Err(("MUTATIONS".into(), 1)), "{two}");
    }
}

/// So many fields within one another: an order, its payments, the order of each, and so on.
fn deep(depth: usize) -> String {
    let mut inside = "id".to_owned();
    for at in (0..depth - 2).rev() {
        let next = if at % 2 == 0 { "paymentAttempts(first: 1)" } else { "order" };
        inside = format!("{} {{ {inside} }}", next.replace("(first: 1)", ""));
    }
    format!("order(id: \"x\") {{ {inside} }}")
}

#[tokio::test]
async fn depth() {
    is_the_most("DEPTH", 10, |depth| format!("{{ {} }}", deep(depth))).await;
    is_the_most("DEPTH", 10, |depth| format!("{{ ...f }} fragment f on Query {{ ... {{ {} }} }}", deep(depth))).await;
}

#[tokio::test]
async fn cost_is_what_a_page_may_hold() {
    let schema = open_schema().await;
    let page = |part: &str| {
        format!(
            "{{ orders{part} {{ totalCount nodes {{ id total {{ amount }} payments {{ summary {{ fullyCaptured }} }} }} }} }}"
        )
    };
    // An order is one, and its payments are two with a summary each.
    for (part, cost) in [("", 101), ("(first: 1)", 6), ("(last: 100)", 501), ("(first: 10)", 51)] {
        assert_eq!(passes(&schema, &page(part)).await, Ok(cost), "{part}");
    }
    let two = |first: usize| {
        let page = page(&format!("(first: {first})"));
        format!("{{ a: {} {} }}", &page[1..page.len() - 1], &page[1..page.len() - 1])
    };
    assert_eq!(passes(&schema, &two(99)).await, Ok(992));
    assert_eq!(passes(&schema, &two(100)).await, Err(("COST".into(), 1000)));
}

#[tokio::test]
async fn a_page_by_a_variable_costs_what_the_variable_says() {
    let schema = open_schema().await;
    let query = "query($first: Int = 3) { orders(first: $first) { nodes { id } } }";
    for (variables, cost) in
        [(r#"{}"#, 4), (r#"{ "first": 50 }"#, 51), (r#"{ "first": 1 }"#, 2), (r#"{ "first": -7 }"#, 101)]
    {
        let asked = Asked { variables: serde_json::from_str(variables).unwrap(), ..asked(query) };
        assert_eq!(schema.prepare(&checkout(), asked).await.unwrap().cost(), cost, "{variables}");
    }
}

#[tokio::test]
async fn fragments_that_spread_each_other_twice_are_counted_and_not_walked() {
    let schema = open_schema().await;
    let fragment = |n: usize| format!("fragment f{n} on Query {{ ...f{} ...f{} }}", n + 1, n + 1);
    for inside in ["viewer { id }", "__schema { __typename }", "__typename"] {
        let query = format!("{{ ...f0 }} {} fragment f40 on Query {{ {inside} }}", times(40, fragment));
        assert_eq!(passes(&schema, &query).await, Err(("FIELDS".into(), 5_000)), "{inside}");
    }
    let of_types = |n: usize| format!("fragment f{n} on __Type {{ ...f{} ...f{} }}", n + 1, n + 1);
    let query =
        format!("{{ __schema {{ types {{ ...f0 }} }} }} {} fragment f40 on __Type {{ name }}", times(40, of_types));
    assert_eq!(passes(&schema, &query).await, Err(("FIELDS".into(), 5_000)));
}

#[tokio::test]
async fn fragments_that_spread_themselves_are_refused() {
    let schema = open_schema().await;
    for query in [
        "{ ...a } fragment a on Query { ...a }",
        "{ ...a } fragment a on Query { ... { ...b } } fragment b on Query { viewer { id } ...a }",
        "{ viewer { id } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }",
        "{ __schema { ...a } } fragment a on __Schema { ...a }",
        "{ __schema { types { ...a } } } fragment a on __Type { ofType { ...b } } fragment b on __Type { ofType { ...a } }",
    ] {
        assert!(schema.prepare(&checkout(), asked(query)).await.is_err(), "{query}");
    }
}

#[tokio::test]
async fn an_introspection_does_not_list_the_schema_squared() {
    let schema = open_schema().await;
    let query = "{ __schema { types { fields { type { fields { name } } } } } }";
    assert_eq!(passes(&schema, query).await, Err(("INTROSPECTION".into(), 1)));
    let whole = "{ __schema { queryType { name } types { ...t } directives { name args { ...i } } } }
        fragment t on __Type { kind name description fields(includeDeprecated: true) { name args { ...i } type { ...r } }
          inputFields { ...i } interfaces { ...r } enumValues(includeDeprecated: true) { name } possibleTypes { ...r } }
        fragment i on __InputValue { name type { ...r } defaultValue }
        fragment r on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
          kind name ofType { kind name ofType { kind name } } } } } } } }";
    assert_eq!(passes(&schema, whole).await, Ok(10));
}

#[tokio::test]
async fn nesting_without_fields_ends_too() {
    let schema = open_schema().await;
    let chain = |n: usize| format!("fragment f{n} on Query {{ ...f{} }}", n + 1);
    let query = format!("{{ ...f0 }} {} fragment f110 on Query {{ viewer {{ id }} }}", times(110, chain));
    assert_eq!(passes(&schema, &query).await, Err(("NESTING".into(), 100)));
}

#[tokio::test]
async fn variables_within_one_another() {
    let schema = open_schema().await;
    let passes = async |depth: usize| {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let variables = [("x".to_owned(), serde_json::from_str(&nested).unwrap())].into_iter().collect();
        schema.prepare(&checkout(), Asked { variables, ..asked("{ viewer { id } }") }).await.is_ok()
    };
    assert_eq!([passes(31).await, passes(32).await, passes(33).await], [true, true, false]);
}

proptest! {
    /// Whatever is sent: it is prepared or refused in a few words, and nothing panics.
    #[test]
    fn any_document_is_prepared_or_refused(
        text in "\\PC{0,200}",
        grammar in "(query|mutation|fragment f on Query|\\{|\\}|\\(|\\)|viewer|orders|id|nodes|first:|\\$x|: Int|\\.\\.\\.|f|on|Order|@skip\\(if: true\\)|[0-9]{1,20}|-1|\"\"\"|\"|\\\\|#|,| |\n){0,60}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let schema = shared_schema().await;
            for text in [&text, &grammar] {
                if let Err(error) = schema.prepare(&checkout(), asked(text)).await {
                    prop_assert!(error.message.len() < 500);
                }
            }
            Ok(())
        })?;
    }
}

/// One schema for all the texts: nothing of it is of one runtime, as long as nothing is executed.
async fn shared_schema() -> Schema {
    static SCHEMA: tokio::sync::OnceCell<Schema> = tokio::sync::OnceCell::const_new();
    SCHEMA.get_or_init(open_schema).await.clone()
}
