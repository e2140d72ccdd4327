//! The crowd: many shoppers, each of whom wants a page of orders now and then.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
};

use crate::{
    load::Told,
    shop::{SHOPPERS, Shop},
    wire::Client,
};

/// What one request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Served,
    /// By 503 or 429; whether it was told when to come again.
    Refused {
        comes_again: bool,
    },
    Failed(Failure),
}

/// Why there is no page, though nobody was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer that is neither a page nor a refusal, by its status.
    Answered(u16),
    Broken(io::ErrorKind),
    /// Nowhere to send the request to.
    NoServer,
}

/// Its clones are the same one.
#[derive(Clone)]
pub struct Crowd {
    client: Rc<Client>,
    pages: Rc<Vec<Vec<u8>>>,
    dice: Rc<Cell<u64>>,
}

impl Crowd {
    pub fn before(address: SocketAddr, shop: &Shop) -> Self {
        let pages = (0..SHOPPERS).map(|shopper| shop.page(shopper)).collect();
        Self {
            client: Rc::new(Client::new(Ipv4Addr::LOCALHOST, address)),
            pages: Rc::new(pages),
            dice: Rc::new(Cell::new(1)),
        }
    }

    /// The same people in front of another server.
    pub fn moved_to(&self, address: SocketAddr) -> Self {
        Self { client: Rc::new(Client::new(Ipv4Addr::LOCALHOST, address)), ..self.clone() }
    }

    /// One of them asks, drawn at random; the draws are the same in each run.
    pub async fn ask(&self) -> Outcome {
        self.asks(self.draw()).await
    }

    /// The same one asks again at once, up to so many times, while it is refused.
    pub async fn insist(&self, times: usize) -> Outcome {
        let shopper = self.draw();
        let mut outcome = self.asks(shopper).await;
        for _ in 0..times {
            if !matches!(outcome, Outcome::Refused { .. }) {
                break;
            }
            outcome = self.asks(shopper).await;
        }
        outcome
    }

    async fn asks(&self, shopper: usize) -> Outcome {
        match self.client.ask(&self.pages[shopper]).await {
            Ok(answer) if answer.is_good() => Outcome::Served,
            Ok(answer) if matches!(answer.status, 429 | 503) => Outcome::Refused { comes_again: answer.comes_again },
            Ok(answer) => Outcome::Failed(Failure::Answered(answer.status)),
            Err(error) => Outcome::Failed(Failure::Broken(error.kind())),
        }
    }

    fn draw(&self) -> usize {
        // Xorshift: any order will do, as long as it is none.
        let mut seed = self.dice.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.dice.set(seed);
        (seed % SHOPPERS as u64) as usize
    }
}

/// How many failed, and of what.
pub fn failures(told: &[Told<Outcome>]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in told {
        if let Outcome::Failed(failure) = one.outcome {
            *counts.entry(format!("{failure:?}")).or_default() += 1;
        }
    }
    match counts.is_empty() {
        true => "0".to_owned(),
        false => counts.iter().map(|(failure, count)| format!("{count} {failure}")).collect::<Vec<_>>().join(", "),
    }
}
