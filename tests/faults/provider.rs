//! The payment provider as this program asks it itself, past all weather: what it shall do wrong, and what money did there.

use std::{collections::HashMap, time::Duration};

use orderpay::sandbox::api_key;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{WEBHOOK_SECRET, database::Look};

const PATIENCE: Duration = Duration::from_secs(5);

/// One movement of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    pub kind: String,
    pub amount: i64,
}

fn authorized(request: RequestBuilder) -> RequestBuilder {
    request.bearer_auth(api_key(WEBHOOK_SECRET.as_bytes())).timeout(PATIENCE)
}

/// The provider's next call of this operation meets this fault; false where it can't be told.
pub async fn arms(client: &Client, url: &str, operation: &str, fault: &str) -> bool {
    let arm = json!({ "operation": operation, "fault": fault, "times": 1 });
    let told = authorized(client.post(format!("{url}/v1/faults"))).json(&arm).send().await;
    told.is_ok_and(|answer| answer.status().is_success())
}

/// All movements of money that there ever were, by our references.
pub async fn ledger(client: &Client, url: &str) -> HashMap<String, Vec<Movement>> {
    let told = authorized(client.get(format!("{url}/v1/ledger"))).send().await.expect("the provider answers");
    let told: Value = told.json().await.expect("its ledger");
    let mut all: HashMap<String, Vec<Movement>> = HashMap::new();
    for movement in told["movements"].as_array().expect("movements") {
        let text = |field: &str| movement[field].as_str().expect(field).to_owned();
        let amount = movement["amount"].as_i64().expect("an amount");
        all.entry(text("reference")).or_default().push(Movement { kind: text("kind"), amount });
    }
    all
}

/// What a session came to, by the reference that it was opened under; `None` where there is none.
pub async fn session(client: &Client, url: &str, reference: &str) -> Option<Value> {
    let asked = client.get(format!("{url}/v1/sessions?reference={reference}"));
    let told: Value = authorized(asked).send().await.ok()?.json().await.ok()?;
    told["id"].is_string().then_some(told)
}

/// When the provider first knew of each transaction, by our references, in milliseconds.
pub async fn knew_at(database: &str) -> HashMap<String, i64> {
    let sql = "SELECT reference || ' ' || created_at AS row FROM sandbox_transaction";
    let rows = Look::at(database).await.texts(sql, "row").await;
    let read = |row: &String| {
        let (reference, at) = row.split_once(' ').expect("two words");
        (reference.to_owned(), at.parse().expect("milliseconds"))
    };
    rows.iter().map(read).collect()
}
