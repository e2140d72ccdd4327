//! What can be watched.
//!
//! An event carries nothing but that something changed; what is shown is read for the caller when it is told, under the same rules as a query.

use std::{borrow::Cow, future::Future, time::Duration};

use async_graphql::{
    Context, ContextSelectionSet, ID, OutputType, Positioned, ServerError, ServerResult, Subscription, Value,
    futures_util::{Stream, stream::unfold},
    parser::types::Field,
    registry::Registry,
};
use entity::id::{AttemptId, OrderId, PaymentId};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{
    attempt::PaymentAttempt,
    context::{app, caller},
    failure::Failure,
    input,
    order::Order,
    payment::Payment,
    visible,
    walk::Walked,
};
use crate::{
    app::App,
    auth::Caller,
    error::{Error, Problem},
    service::{
        attempt::{self, Named},
        change::{self, Ended, Subject, UNREADABLE_AFTER, Watch},
        order, payment,
    },
};

/// Before what could not be read is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// The root of all subscriptions.
pub struct Subscription;

/// The root of all subscriptions, over WebSocket at this address. The first event shows the thing as it is now, so that nothing is missed between a
/// query and a subscription. Then there is one for each committed change, from whichever server, in the order in which one order's changes were
/// committed. Each shows the thing as it is when the event is told: of changes close together the first event may show the last.
#[Subscription(visible = "visible::to_order_viewers")]
impl Subscription {
    /// An order, now and after each change of it, of its payments, their transactions, or its payment attempts.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn order_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order's id (ord_…).")] order_id: ID,
    ) -> Result<impl Stream<Item = Told<OrderId>>, Failure> {
        watch(ctx, input::id("orderId", &order_id)?).await
    }

    /// A payment attempt, now and after each change of it.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn payment_attempt_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The attempt's id (att_…).")] attempt_id: ID,
    ) -> Result<impl Stream<Item = Told<AttemptId>>, Failure> {
        watch(ctx, input::id("attemptId", &attempt_id)?).await
    }

    /// A payment, now and after each change of it or of its transactions. Its lock comes and goes untold.
    #[graphql(visible = "visible::to_order_viewers")]
    async fn payment_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The payment's id (pay_…).")] payment_id: ID,
    ) -> Result<impl Stream<Item = Told<PaymentId>>, Failure> {
        watch(ctx, input::id("paymentId", &payment_id)?).await
    }
}

/// How many events may be read at once.
pub struct Turns(pub Semaphore);

/// What can be watched, by its id.
trait Watched: Copy + Send + Sync + 'static {
    type Shown: OutputType;
    /// What is said where it is missing or somebody else's.
    const MISSING: Problem;

    fn subject(self) -> Subject;

    fn find(self, app: &App, caller: &Caller) -> impl Future<Output = Result<Option<Self::Shown>, Error>> + Send;
}

impl Watched for OrderId {
    type Shown = Walked<Order>;
    const MISSING: Problem = Problem::OrderNotFound;

    fn subject(self) -> Subject {
        Subject::Order(self)
    }

    async fn find(self, app: &App, caller: &Caller) -> Result<Option<Self::Shown>, Error> {
        Ok(order::find(app, caller, self).await?.map(|row| Walked(Order::new(&row))))
    }
}

impl Watched for PaymentId {
    type Shown = Walked<Payment>;
    const MISSING: Problem = Problem::PaymentNotFound;

    fn subject(self) -> Subject {
        Subject::Payment(self)
    }

    async fn find(self, app: &App, caller: &Caller) -> Result<Option<Self::Shown>, Error> {
        Ok(payment::find(app, caller, self).await?.map(|booked| Walked(Payment::from(booked))))
    }
}

impl Watched for AttemptId {
    type Shown = Walked<PaymentAttempt>;
    const MISSING: Problem = Problem::AttemptNotFound;

    fn subject(self) -> Subject {
        Subject::Attempt(self)
    }

    async fn find(self, app: &App, caller: &Caller) -> Result<Option<Self::Shown>, Error> {
        let found = attempt::find(app, caller, Named::Id(self)).await?;
        Ok(found.map(|row| Walked(PaymentAttempt(row))))
    }
}

/// An event for now, and one for each change.
async fn watch<S: Watched>(ctx: &Context<'_>, id: S) -> Result<impl Stream<Item = Told<S>> + use<S>, Failure> {
    let watch = change::watch(app(ctx), caller(ctx), id.subject()).await?.ok_or(S::MISSING)?;
    let events = unfold(Some((watch, true)), move |state: Option<(Watch, bool)>| async move {
        let (mut watch, is_first) = state?;
        match if is_first { Ok(()) } else { watch.next().await } {
            Ok(()) => Some((Told(Ok(id)), Some((watch, false)))),
            Err(ended) => Some((Told(Err(ended)), None)),
        }
    });
    Ok(events)
}

/// That something is to be shown as it is now, or that nothing will be any more.
struct Told<S>(Result<S, Ended>);

impl<S: Watched> OutputType for Told<S> {
    fn type_name() -> Cow<'static, str> {
        S::Shown::type_name()
    }

    fn qualified_type_name() -> String {
        S::Shown::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        S::Shown::create_type_info(registry)
    }

    /// Reads it for the caller and shows it. What fails by our fault, as a lost connection to the database, is tried again.
    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let begun = Instant::now();
        loop {
            let shown = self.show(ctx, field, UNREADABLE_AFTER.saturating_sub(begun.elapsed())).await;
            let is_faulty = match &shown {
                Err(error) => is_fault(error),
                Ok(_) => ctx.query_env.errors.lock().is_ok_and(|errors| errors.iter().any(is_fault)),
            };
            if self.0.is_err() || !is_faulty || begun.elapsed() >= UNREADABLE_AFTER {
                return shown;
            }
            if let Ok(mut errors) = ctx.query_env.errors.lock() {
                errors.clear();
            }
            sleep(PAUSE).await;
        }
    }
}

impl<S: Watched> Told<S> {
    /// Shows it once; `patience` is how long it may wait for its turn.
    async fn show(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
        patience: Duration,
    ) -> ServerResult<Value> {
        let failed = |failure: Failure| {
            let error: async_graphql::Error = failure.into();
            ctx.set_error_path(error.into_server_error(field.pos))
        };
        let id = self.0.map_err(|ended| failed(ended.into()))?;
        // Nobody closes it.
        let turn = timeout(patience, ctx.data_unchecked::<Turns>().0.acquire()).await;
        let _turn = turn.map_err(|_| failed(Error::Busy("no turn to read an event came in time".into()).into()))?;
        let found = Box::pin(id.find(app(ctx), caller(ctx))).await.map_err(|error| failed(error.into()))?;
        let found = found.ok_or_else(|| failed(S::MISSING.into()))?;
        found.resolve(ctx, field).await
    }
}

/// Whether it is ours, so that another try may do better.
fn is_fault(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    code.is_some_and(|code| ["INTERNAL", "UNAVAILABLE"].map(Value::from).contains(code))
}
