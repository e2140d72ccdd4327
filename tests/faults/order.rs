//! One order that clients work on, and the dice that say what they wish for it.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    stage::guard,
    support::{Payment, dice::Dice},
};

/// What each order costs, in euros.
pub const TOTAL: &str = "29.90";
/// So often something is done with an order before another takes its place.
const ACTS: usize = 8;
const MOST_PAYMENTS: usize = 3;
/// What a payment is for: the whole of an order, or a part of it.
const SHARES: [&str; 5] = [TOTAL, TOTAL, TOTAL, "14.90", "15.00"];
/// What is moved at once: all of it, or a little.
const AMOUNTS: [&str; 8] = [TOTAL, TOTAL, "14.90", "15.00", "5.00", "5.00", "2.50", "1.00"];

/// Cards, and how often each is used: most of them make something go wrong.
const CARDS: [(u64, &str); 12] = [
    (36, "tok_ok"),
    (16, "tok_answer_lost"),
    (10, "tok_request_lost"),
    (8, "tok_error_500"),
    (2, "tok_slow"),
    (7, "tok_async"),
    (7, "tok_no_webhook"),
    (4, "tok_duplicate_webhook"),
    (4, "tok_reordered_webhooks"),
    (3, "tok_declined_soft"),
    (2, "tok_declined_hard"),
    (1, "tok_wrong_amount"),
];

/// What a shopper pays with on the provider's page.
const METHODS: [(u64, &str); 8] = [
    (60, "tok_ok"),
    (10, "tok_async"),
    (8, "tok_duplicate_webhook"),
    (8, "tok_reordered_webhooks"),
    (8, "tok_no_webhook"),
    (2, "tok_declined_soft"),
    (2, "tok_declined_hard"),
    (2, "tok_wrong_amount"),
];

/// What a client wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Pay,
    /// One of the six mutations that move money.
    Move(&'static str),
    /// The same at several servers at the same time.
    Race(&'static str),
    /// Under a lock of the client's own.
    Locked(&'static str),
    /// The provider's page.
    Visit,
    /// An earlier request once more, under its key.
    Again,
    MarkPaid,
    Cancel,
}

const WISHES: [(u64, Wish); 16] = [
    (12, Wish::Pay),
    (8, Wish::Move("authorizePayment")),
    (8, Wish::Move("authorizeAndCapturePayment")),
    (14, Wish::Move("capturePayment")),
    (4, Wish::Move("reverseAuthorization")),
    (8, Wish::Move("refundPayment")),
    (2, Wish::Move("creditPayment")),
    (13, Wish::Race("authorizePayment")),
    (13, Wish::Race("authorizeAndCapturePayment")),
    (2, Wish::Race("capturePayment")),
    (2, Wish::Race("refundPayment")),
    (3, Wish::Locked("capturePayment")),
    (9, Wish::Visit),
    (5, Wish::Again),
    (3, Wish::MarkPaid),
    (2, Wish::Cancel),
];

/// A payment of an order's, as its clients know it.
#[derive(Clone)]
pub struct Share {
    pub payment: Payment,
    /// What it is for, in euros.
    pub amount: &'static str,
    is_charged: bool,
}

pub struct Order {
    pub id: String,
    payments: Mutex<Vec<Share>>,
    /// The keys of what was sent for it.
    pub keys: Mutex<Vec<String>>,
    /// The attempts whose shoppers paid, and whom the provider may have told nobody of.
    pub visited: Mutex<Vec<String>>,
    acts: AtomicUsize,
}

impl Order {
    pub fn new(id: String) -> Self {
        Self {
            id,
            payments: Mutex::default(),
            keys: Mutex::default(),
            visited: Mutex::default(),
            acts: AtomicUsize::new(0),
        }
    }

    /// What is wished for it next.
    pub fn wish(&self, dice: &mut Dice) -> Wish {
        match (dice.weighs(&WISHES), guard(&self.payments).len()) {
            (Wish::Visit, _) => Wish::Visit,
            (_, 0) => Wish::Pay,
            (Wish::Pay, MOST_PAYMENTS..) => Wish::Again,
            (wish, _) => wish,
        }
    }

    /// Notes that something was done; true for the one who did the last that was to be done.
    pub fn is_done(&self) -> bool {
        self.acts.fetch_add(1, Ordering::Relaxed) + 1 == ACTS
    }

    pub fn comes_to_have(&self, payment: Payment, amount: &'static str) {
        guard(&self.payments).push(Share { payment, amount, is_charged: false });
    }

    /// Money was held or taken for this payment.
    pub fn is_charged(&self, payment: &Payment) {
        let mut all = guard(&self.payments);
        all.iter_mut().filter(|share| share.payment == *payment).for_each(|share| share.is_charged = true);
    }

    /// A payment that this can be done for, as far as is known; what can't be done for any yet becomes an authorization.
    pub fn payment(&self, dice: &mut Dice, mutation: &'static str) -> Option<(Share, &'static str)> {
        let all = guard(&self.payments).clone();
        let (charged, fresh): (Vec<Share>, Vec<Share>) = all.into_iter().partition(|share| share.is_charged);
        let needs_money = ["capturePayment", "reverseAuthorization", "refundPayment"].contains(&mutation);
        match (needs_money, charged.as_slice(), fresh.as_slice()) {
            (_, [], []) => None,
            (true, [], fresh) => Some((dice.pick(fresh), "authorizePayment")),
            (true, charged, _) | (false, charged, []) => Some((dice.pick(charged), mutation)),
            (false, _, fresh) => Some((dice.pick(fresh), mutation)),
        }
    }

    pub fn key(&self, dice: &mut Dice) -> Option<String> {
        let all = guard(&self.keys).clone();
        (!all.is_empty()).then(|| dice.pick(&all))
    }
}

impl Dice {
    /// One of these, each as often as the number beside it says.
    fn weighs<T: Copy>(&mut self, all: &[(u64, T)]) -> T {
        let each: Vec<T> = all.iter().flat_map(|(weight, one)| (0..*weight).map(|_| *one)).collect();
        self.pick(&each)
    }

    pub fn share(&mut self) -> &'static str {
        self.pick(&SHARES)
    }

    pub fn amount(&mut self) -> &'static str {
        self.pick(&AMOUNTS)
    }

    pub fn card(&mut self) -> &'static str {
        self.weighs(&CARDS)
    }

    pub fn method(&mut self) -> &'static str {
        self.weighs(&METHODS)
    }

    /// Whether something happens that does so many times in a hundred.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
