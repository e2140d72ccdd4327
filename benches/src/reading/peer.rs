//! Who is asked for a page, and how.

use std::{cell::Cell, net::Ipv4Addr, rc::Rc};

use serde_json::json;

use super::REGULARS;
use crate::{
    floor::Floor,
    server::Server,
    token::Mint,
    wire::{Client, post, request},
};

/// What a front end shows of a page of orders.
const PAGE: &str = "query Page($user: ID!, $first: Int!) { userOrders(userId: $user, first: $first) { edges { cursor node { id number status \
    createdAt total { amount currency } payments { id status amount { amount currency } summary { amountAuthorized { amount } \
    amountCaptured { amount } amountRefunded { amount } } } } } } }";
const PER_PAGE: usize = 20;

/// A server with all that may be asked of it. Its clones are the same one.
#[derive(Clone)]
pub struct Peer {
    pub name: &'static str,
    pub process: u32,
    client: Rc<Client>,
    requests: Rc<Vec<Vec<u8>>>,
    dice: Rc<Cell<usize>>,
}

impl Peer {
    /// Each shopper with a token of their own, checked as always.
    pub fn orderpay(server: &Server, shoppers: &Mint) -> Self {
        let request = |user: String| {
            let variables = json!({ "user": user, "first": PER_PAGE });
            post(&shoppers.token(&user), json!({ "query": PAGE, "variables": variables }).to_string().as_bytes())
        };
        Self::new("orderpay", server.process(), Client::new(Ipv4Addr::LOCALHOST, server.address), request)
    }

    pub fn floor(floor: &Floor) -> Self {
        let request =
            |user: String| request("/page", "", json!({ "user": user, "first": PER_PAGE }).to_string().as_bytes());
        Self::new("a bare handler", floor.process(), Client::new(Ipv4Addr::LOCALHOST, floor.address), request)
    }

    pub fn fixed(floor: &Floor) -> Self {
        let request = |_| request("/static", "", b"{}");
        Self::new("a static answer", floor.process(), Client::new(Ipv4Addr::LOCALHOST, floor.address), request)
    }

    fn new(name: &'static str, process: u32, client: Client, request: impl Fn(String) -> Vec<u8>) -> Self {
        let requests = (1..=REGULARS).map(|regular| request(format!("regular-{regular}"))).collect();
        Self { name, process, client: Rc::new(client), requests: Rc::new(requests), dice: Rc::default() }
    }

    /// Asks for the page of one of them; whether it was answered.
    pub async fn ask(&self) -> bool {
        // A step that has no divisor in common with their number comes by everybody, and by nobody twice in a row.
        let shopper = self.dice.replace(self.dice.get() + 619) % REGULARS;
        let answer = self.client.ask(&self.requests[shopper]).await;
        answer.is_ok_and(|answer| answer.status == 200 && memchr::memmem::find(&answer.body, b"\"errors\":").is_none())
    }
}
