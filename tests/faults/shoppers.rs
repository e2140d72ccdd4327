//! Shoppers, who pay on the provider's page and come back to the shop.

use serde_json::json;

use crate::{
    clients::{Clients, PATIENCE, TRIES},
    order::Order,
    provider,
    stage::guard,
    support::{dice::Dice, of_cents},
};

const SHOP: &str = "https://shop.example/thanks";

impl Clients {
    /// A shopper is sent to the provider's page, and presses a button there.
    pub async fn visits(&self, dice: &mut Dice, order: &Order) {
        let key = self.fresh_key();
        let input = json!({ "orderId": order.id, "returnUrl": SHOP, "idempotencyKey": key });
        let selection = "attempt { id externalId redirectUrl }";
        let mut found = None;
        for _ in 0..TRIES {
            let (answer, mut payload) = self.sends(dice, "attemptToPayForOrder", &key, &input, selection).await;
            if payload["attempt"]["redirectUrl"].is_string() {
                found = Some(payload["attempt"].take());
            }
            if found.is_some() || !answer.is_open() || self.is_over() {
                break;
            }
            tokio::time::sleep(dice.millis(10, 400)).await;
        }
        let Some(attempt) = found else { return };
        let text = |field: &str| attempt[field].as_str().expect(field);
        let button = dice.pick(&["pay", "pay", "pay", "pay", "pay", "decline", "cancel", "none"]);
        if button == "none" {
            return;
        }
        guard(&order.visited).push(text("id").to_owned());
        let form = format!("outcome={button}&method={}", dice.method());
        for _ in 0..TRIES {
            let press = self.stage.servers[0].shop.client().post(text("redirectUrl")).body(form.clone());
            let press = press.header("content-type", "application/x-www-form-urlencoded").timeout(PATIENCE);
            if press.send().await.is_ok_and(|answer| !answer.status().is_server_error()) {
                break;
            }
        }
        if dice.happens(50) {
            self.returns(dice, text("id")).await;
        }
    }

    /// The shopper's browser comes back to the shop, which asks the provider what became of the session, and tells a server.
    pub async fn returns(&self, dice: &mut Dice, attempt: &str) {
        let Some(url) = self.stage.sandbox_url() else { return };
        let client = self.stage.servers[0].shop.client();
        let Some(session) = provider::session(client, &url, attempt).await else { return };
        let (Some(received), Some(id)) = (session["amount_received"].as_i64(), session["id"].as_str()) else { return };
        let amount = of_cents(received);
        let input = json!({ "attemptExternalId": id, "status": "SUCCEEDED", "totalAmount": amount, "currency": "EUR" });
        self.does(dice, "updateAttemptToPay", input).await;
    }
}
