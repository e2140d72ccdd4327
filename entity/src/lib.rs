//! The nouns of orderpay: the tables, and the values and rules that they are made of.
//!
//! Nothing here reads a clock, a file or a network, and nothing here knows GraphQL or HTTP: every rule of the domain that
//! can be said without them is said here, once, with its test beside it. SeaORM shows only as derives.
//!
//! | module | what it decides |
//! |---|---|
//! | [`id`] | how an id looks and which kind it is |
//! | [`money`] | amounts, currencies, and that the two never mix |
//! | [`metadata`] | free-form pairs that a caller may leave with us |
//! | [`fault`] | what is wrong with which field of an input |
//! | [`card`] | whether a text holds a card number, which none may |
//! | [`cart`] | what a cart may be, what it costs, and its digest |
//! | [`owner`] | whose an order is, and how many orders they have |
//! | [`order`] | an order and its life |
//! | [`snapshot`] | the cart as it was when its order was paid |
//! | [`attempt`] | an attempt to pay and its life, news by news |
//! | [`payment`] | one payment method's share of an order |
//! | [`method`] | the payment method's token, apart from the payment |
//! | [`transaction`] | what was asked of a provider for a payment, and what it said |
//! | [`share`] | which earlier transactions a new one acts on, and with how much |
//! | [`capability`] | what a provider can do |
//! | [`summary`] | what a payment's transactions add up to, and what may happen next |
//! | [`audit`] | the trail that each change of a transaction leaves |
//! | `canonical` | the one spelling of what a digest is made of |
//! | [`lock`] | who works on a payment, and until when |
//! | [`operation`] | a mutation under an idempotency key |
//! | [`event`] | a provider's news, kept word for word |
//! | [`schedule`] | when a provider is asked again |
//! | [`reconciliation`] | what a machine could not decide, and what a person may |
//! | [`anonymous_token`] | which of an anonymous user's tokens are good |
//! | [`outbox`] | committed changes, to be told to whoever listens |

pub mod anonymous_token;
pub mod attempt;
pub mod audit;
mod canonical;
pub mod capability;
pub mod card;
pub mod cart;
pub mod event;
pub mod fault;
pub mod id;
pub mod lock;
pub mod metadata;
pub mod method;
pub mod money;
pub mod operation;
pub mod order;
pub mod outbox;
pub mod owner;
pub mod payment;
pub mod reconciliation;
pub mod schedule;
pub mod share;
pub mod snapshot;
pub mod summary;
pub mod transaction;
