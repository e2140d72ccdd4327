//! What is asked: a page of a user's orders, newest first, with what a front end shows of them. The same from each server, in its own words.

use serde_json::{Value, json};

/// How many orders a page has.
pub const PER_PAGE: u32 = 20;

/// What is shown of an order.
const ORDER: &str = "id number status createdAt total { amount currency } payments { id status amount { amount currency } summary { \
    amountAuthorized { amount } amountCaptured { amount } amountRefunded { amount } } }";
/// The same in the words that PostGraphile makes of the tables.
const ROW: &str = "rowId number status createdAt totalMinor currency paymentsByOrderId(orderBy: PRIMARY_KEY_ASC) { nodes { rowId status \
    amountMinor currency summary { authorized captured refunded } } }";
const PAGE_INFO: &str = "pageInfo { hasNextPage endCursor }";

/// Where a page begins.
#[derive(Clone, Debug)]
pub enum Start {
    Newest,
    /// Behind the order of this cursor.
    Behind(String),
    /// The k-th page, from 1.
    Page(u32),
}

#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub user: &'a str,
    pub start: Start,
    /// Whether it is asked, too, how many orders there are in all.
    pub total: bool,
}

impl<'a> Question<'a> {
    pub fn newest_of(user: &'a str) -> Self {
        Self { user, start: Start::Newest, total: false }
    }

    /// A body for the bare handler, which has the newest only.
    pub fn to_floor(&self) -> Vec<u8> {
        json!({ "user": self.user, "first": PER_PAGE }).to_string().into_bytes()
    }

    pub fn to_orderpay(&self) -> Vec<u8> {
        let (declared, given, variable) = match &self.start {
            Start::Newest => ("", "", None),
            Start::Behind(cursor) => (", $after: String", ", after: $after", Some(("after", json!(cursor)))),
            Start::Page(page) => (", $page: Int", ", page: $page", Some(("page", json!(page)))),
        };
        let total = self.total();
        let document = format!(
            "query Page($user: ID!, $first: Int!{declared}) {{ userOrders(userId: $user, first: $first{given}) {{ {total}edges {{ cursor node {{ \
             {ORDER} }} }} {PAGE_INFO} }} }}"
        );
        self.body(&document, variable)
    }

    pub fn to_postgraphile(&self) -> Vec<u8> {
        let (declared, given, variable) = match &self.start {
            Start::Newest => ("", "", None),
            Start::Behind(cursor) => (", $after: Cursor", ", after: $after", Some(("after", json!(cursor)))),
            Start::Page(page) => {
                (", $offset: Int", ", offset: $offset", Some(("offset", json!((page - 1) * PER_PAGE))))
            }
        };
        let total = self.total();
        let document = format!(
            "query Page($user: String!, $first: Int!{declared}) {{ allOrders(condition: {{ ownerKind: \"USER\", ownerId: $user }}, orderBy: \
             OWNER_SEQUENCE_DESC, first: $first{given}) {{ {total}edges {{ cursor node {{ {ROW} }} }} {PAGE_INFO} }} }}"
        );
        self.body(&document, variable)
    }

    fn total(&self) -> &'static str {
        if self.total { "totalCount " } else { "" }
    }

    fn body(&self, document: &str, variable: Option<(&str, Value)>) -> Vec<u8> {
        let mut variables = json!({ "user": self.user, "first": PER_PAGE });
        if let Some((name, value)) = variable {
            variables[name] = value;
        }
        json!({ "query": document, "variables": variables }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_page_is_the_same_by_number_and_by_offset() {
        let third = Question { start: Start::Page(3), ..Question::newest_of("ada") };
        assert_eq!(body(&third.to_orderpay())["variables"], json!({ "user": "ada", "first": 20, "page": 3 }));
        assert_eq!(body(&third.to_postgraphile())["variables"], json!({ "user": "ada", "first": 20, "offset": 40 }));
    }

    #[test]
    fn what_is_not_wanted_is_not_asked_for() {
        let newest = Question::newest_of("ada");
        for asked in [newest.to_orderpay(), newest.to_postgraphile()] {
            let document = body(&asked)["query"].to_string();
            assert!(
                ["totalCount", "after", "page:", "offset"].iter().all(|word| !document.contains(word)),
                "{document}"
            );
        }
    }
}
