//! The verbs: one function, one use case. All queries and all transactions live here.
//!
//! A verb takes the app, the caller and values, and gives back nouns; it asks first whether the caller may. It knows nothing of GraphQL or
//! HTTP.
//!
//! | module | verbs |
//! |---|---|
//! | [`order`] | create, find, update the cart, cancel, mark paid |
//! | [`order_list`] | pages of orders, each at the same cost |
//! | [`claim`] | move an anonymous user's orders to a user |
//! | [`payment`] | payments with their ledgers |
//! | [`payment_change`] | make, change, archive a payment |
//! | [`transaction`] | authorize, capture, reverse, refund, credit |
//! | `work` | the one way that these six go |
//! | `plan` | what a transaction would come to |
//! | `intent` | write down what is about to be asked of a provider |
//! | `told` | what was heard of a transaction, and what it is worth |
//! | `answer` | record it, and let the order follow |
//! | `audit` | write a transaction, with the entry that tells of the change |
//! | `recovery` | settle what is unanswered |
//! | [`reconcile`] | find what nobody has heard the end of, and see to it |
//! | [`resolution`] | decide a case |
//! | `reversal` | give back what is not wanted any more |
//! | [`lock`] | take, hold on to and give back locks on payments, for processes outside |
//! | `lease` | the lock that the server's own work runs under |
//! | [`case`] | what a person has to decide: opened, found, closed |
//! | [`attempt`] | start an attempt to pay, find attempts |
//! | [`event`] | keep a provider's events, and hand them on once |
//! | [`settle`] | compare what a provider reports with what was asked for |
//! | `session` | what a provider's sessions come to: opened, looked up, cancelled |
//! | [`operation`] | idempotency keys |
//! | `outbox` | tell of a change in the transaction that makes it |
//! | [`change`] | watch what changes |
//! | [`change_hub`] | read the outbox, and hand changes to who watches |
//! | `change_tail` | how far it is read, though rows come out of order |
//! | `change_alarm` | wake whoever reads, at each server |
//! | [`anonymous_token`] | issue and revoke anonymous users' tokens |
//! | [`check`] | verify a whole database |

pub mod anonymous_token;
mod answer;
pub mod attempt;
mod audit;
pub mod case;
pub mod change;
mod change_alarm;
pub mod change_hub;
mod change_tail;
pub mod check;
pub mod claim;
pub mod event;
mod intent;
mod lease;
pub mod lock;
pub mod operation;
pub mod order;
pub mod order_list;
mod outbox;
pub mod payment;
pub mod payment_change;
mod plan;
pub mod reconcile;
mod recovery;
pub mod resolution;
mod reversal;
mod session;
pub mod settle;
mod told;
pub mod transaction;
mod work;
