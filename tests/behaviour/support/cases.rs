//! What waits for a person, and what a person decides about it, in the API's words.

use orderpay::auth::CallerKind;
use serde_json::{Value, json};

use super::{actor::Actor, shop::Shop};

/// What is looked at of a case.
const CASE: &str = "id state reason question payment { id status } attempt { id status } expected { amount currency }
    reported { amount currency } checks nextCheckAt resolution evidence resolvedBy createdAt resolvedAt";

impl Actor {
    /// A page of cases: `part` are arguments such as `first: 2, state: OPEN`.
    pub async fn lists_cases(&self, part: &str) -> Value {
        let document = format!(
            "{{ reconciliationCases({part}) {{ nodes {{ {CASE} }} edges {{ cursor node {{ id }} }}
                pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        self.sees(&document, json!({})).await["reconciliationCases"].take()
    }

    /// The payload of `resolveReconciliationCase`.
    pub async fn decides(&self, case: &Value, resolution: &str, evidence: &str) -> Value {
        let input = json!({ "caseId": case["id"], "resolution": resolution, "evidence": evidence });
        self.does("resolveReconciliationCase", input, &format!("case {{ {CASE} }}")).await
    }
}

impl Shop {
    /// Somebody who decides cases.
    pub fn accountant(&self) -> Actor {
        self.accountant_named("carla")
    }

    pub fn accountant_named(&self, name: &str) -> Actor {
        Actor::new(self, CallerKind::Service, name, "orders:read payments:reconcile payments:audit")
    }

    /// The case that was opened last, as it is now.
    pub async fn newest_case(&self) -> Value {
        let page = self.accountant().lists_cases("first: 1").await;
        assert_ne!(page["nodes"][0], Value::Null, "there is no case");
        page["nodes"][0].clone()
    }

    /// A case as it is now.
    pub async fn case_again(&self, case: &Value) -> Value {
        let page = self.accountant().lists_cases("first: 100").await;
        let found = page["nodes"].as_array().expect("cases").iter().find(|node| node["id"] == case["id"]);
        found.unwrap_or_else(|| panic!("{case} is not listed")).clone()
    }
}
