//! Batches what many objects of one answer need into one statement each.
//!
//! Made anew for each request. It looks at no owner: what is loaded belongs to orders that were found for the caller.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_graphql::{
    Context,
    dataloader::{DataLoader, HashMapCache, Loader},
    futures_util::{
        future::BoxFuture,
        task::{FutureObj, Spawn, SpawnError},
    },
    runtime::Timer,
};
use entity::{
    attempt,
    id::{AttemptId, OrderId, PaymentId},
    lock, order, snapshot, transaction,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    app::App,
    error::Error,
    service::{
        attempt as attempts, lock as locks, order as orders,
        payment::{self, Booked, Ledger},
        transaction as transactions,
    },
};

/// Loads for one request.
pub struct Batch(pub Arc<App>);

/// The loader of the request that is answered.
pub fn loader<'a>(ctx: &Context<'a>) -> &'a DataLoader<Batch, HashMapCache> {
    ctx.data_unchecked()
}

/// Ends a batch when everybody who is about to ask has asked, instead of after a millisecond.
pub struct NextTurn;

impl Timer for NextTurn {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::task::yield_now())
    }
}

/// Loads batches for as long as somebody waits for their request: dropped, it ends those that are loading.
#[derive(Default)]
pub struct WhileAskedFor(CancellationToken);

impl WhileAskedFor {
    /// Its end, when this is dropped.
    pub fn until_dropped(&self) -> DropGuard {
        self.0.clone().drop_guard()
    }
}

impl Spawn for WhileAskedFor {
    fn spawn_obj(&self, batch: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(batch));
        Ok(())
    }
}

/// Asks for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderOf(pub OrderId);

/// Asks for an order's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerOf(pub OrderId);

/// Asks for an order's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptsOf(pub OrderId);

/// Asks for an order's snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotOf(pub OrderId);

/// Asks for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptOf(pub AttemptId);

/// Asks for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PaymentOf(pub PaymentId);

/// Asks for the lock that is held on a payment now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockOf(pub PaymentId);

/// Asks for a payment's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionsOf(pub PaymentId);

impl Loader<OrderOf> for Batch {
    type Value = Arc<order::Model>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[OrderOf]) -> Result<HashMap<OrderOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = orders::by_ids(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(found.into_iter().map(|order| (OrderOf(order.id), Arc::new(order))).collect())
    }
}

impl Loader<LedgerOf> for Batch {
    type Value = Arc<Ledger>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[LedgerOf]) -> Result<HashMap<LedgerOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut found = payment::ledgers(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(keys.iter().map(|key| (*key, Arc::new(found.remove(&key.0).unwrap_or_default()))).collect())
    }
}

impl Loader<AttemptsOf> for Batch {
    type Value = Arc<Vec<attempt::Model>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[AttemptsOf]) -> Result<HashMap<AttemptsOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut of_order: HashMap<OrderId, Vec<attempt::Model>> = HashMap::new();
        for attempt in attempts::of_orders(self.0.db.read(), &ids).await.map_err(shared)? {
            of_order.entry(attempt.order_id).or_default().push(attempt);
        }
        Ok(keys.iter().map(|key| (*key, Arc::new(of_order.remove(&key.0).unwrap_or_default()))).collect())
    }
}

impl Loader<SnapshotOf> for Batch {
    type Value = Arc<snapshot::Model>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[SnapshotOf]) -> Result<HashMap<SnapshotOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = orders::snapshots(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(found.into_iter().map(|snapshot| (SnapshotOf(snapshot.order_id), Arc::new(snapshot))).collect())
    }
}

impl Loader<AttemptOf> for Batch {
    type Value = attempt::Model;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[AttemptOf]) -> Result<HashMap<AttemptOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = attempts::by_ids(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(found.into_iter().map(|attempt| (AttemptOf(attempt.id), attempt)).collect())
    }
}

impl Loader<PaymentOf> for Batch {
    type Value = Arc<Booked>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[PaymentOf]) -> Result<HashMap<PaymentOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = payment::booked(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(found.into_iter().map(|booked| (PaymentOf(booked.payment.id), Arc::new(booked))).collect())
    }
}

impl Loader<LockOf> for Batch {
    type Value = lock::Model;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[LockOf]) -> Result<HashMap<LockOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let held = locks::held(self.0.db.read(), &ids).await.map_err(shared)?;
        Ok(held.into_iter().map(|lock| (LockOf(lock.payment_id), lock)).collect())
    }
}

impl Loader<TransactionsOf> for Batch {
    type Value = Arc<Vec<transaction::Model>>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[TransactionsOf]) -> Result<HashMap<TransactionsOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mut of_payment: HashMap<PaymentId, Vec<transaction::Model>> = HashMap::new();
        for transaction in transactions::of_payments(self.0.db.read(), &ids).await.map_err(shared)? {
            of_payment.entry(transaction.payment_id).or_default().push(transaction);
        }
        Ok(keys.iter().map(|key| (*key, Arc::new(of_payment.remove(&key.0).unwrap_or_default()))).collect())
    }
}

/// A batch fails for all who asked.
fn shared(error: sea_orm::DbErr) -> Arc<Error> {
    Arc::new(error.into())
}
