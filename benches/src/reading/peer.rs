//! Who is asked for pages over HTTP, and for which.

use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use crate::{
    load::{self, Told},
    wire::Client,
};

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
    /// A server at an address, with the requests that it gets in turns.
    pub fn new(name: &'static str, process: u32, address: SocketAddr, requests: Vec<Vec<u8>>) -> Self {
        let client = Rc::new(Client::new(Ipv4Addr::LOCALHOST, address));
        Self { name, process, client, requests: Rc::new(requests), dice: Rc::default() }
    }

    /// The same one, asked for something else.
    pub fn with(&self, requests: Vec<Vec<u8>>) -> Self {
        Self { requests: Rc::new(requests), dice: Rc::default(), ..self.clone() }
    }

    /// Asks one of its requests; whether it was answered.
    async fn ask(&self) -> bool {
        // A step that has no divisor in common with their number comes by all of them, and by none twice in a row.
        let number = self.dice.replace(self.dice.get() + 619) % self.requests.len();
        self.client.ask(&self.requests[number]).await.is_ok_and(|answer| answer.is_good())
    }

    /// The answer to a request.
    pub async fn answer(&self, number: usize) -> Vec<u8> {
        let answer = self.client.ask(&self.requests[number]).await.expect("an answer");
        assert!(answer.is_good(), "{} answers {}", self.name, String::from_utf8_lossy(&answer.body));
        answer.body
    }

    /// By so many clients, each of whom waits for its answer. All are answered.
    pub async fn closed(&self, clients: usize, lasts: Duration) -> Vec<Told<bool>> {
        let asking = self.clone();
        let told = load::closed(clients, lasts, move |_, _| {
            let peer = asking.clone();
            async move { peer.ask().await }
        });
        let told = told.await;
        let bad = told.iter().filter(|one| !one.outcome).count();
        assert_eq!(bad, 0, "of {} requests, so many were not answered by {}", told.len(), self.name);
        told
    }

    /// So many times a second, whether or not others are answered: where they aren't, a server may refuse.
    pub async fn open(&self, rate: f64, lasts: Duration) -> Vec<Told<bool>> {
        let asking = self.clone();
        let told = load::open(rate, lasts, move |_| {
            let peer = asking.clone();
            async move { peer.ask().await }
        });
        told.await
    }
}
