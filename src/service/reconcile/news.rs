//! News that was kept because nobody knew what it is about (rule W2).

use chrono::TimeDelta;
use entity::event::{Column, Entity, Model, State};
use sea_orm::{
    ColumnTrait, EntityTrait, Order, QueryFilter, QueryOrder,
    sea_query::{Expr, NullOrdering},
};

use super::{claim_due, is_due};
use crate::{app::App, error::Error, service::event as events};

/// When news that was kept is tried again, once its session or transaction may be known; after the last try it is left for a person to find.
const TRIES: [TimeDelta; 5] =
    [TimeDelta::seconds(5), TimeDelta::seconds(30), TimeDelta::minutes(5), TimeDelta::hours(1), TimeDelta::hours(24)];

/// Which event: an id is a provider's own, and one of a session's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    provider: String,
    event_id: String,
    external_id: String,
}

pub(super) async fn claim(app: &App, most: u64) -> Result<Vec<Model>, Error> {
    let [first, ..] = TRIES;
    let due = Entity::find()
        .filter(Column::State.eq(State::Parked))
        // As a literal, so that it is seen to be the index's.
        .filter(Expr::cust(format!("tries < {}", TRIES.len())))
        .filter(is_due(Column::NextTryAt, Column::ReceivedAt, first, app.clock.now()))
        .order_by_with_nulls(Column::NextTryAt, Order::Asc, NullOrdering::First);
    claim_due(app, due, most, events::put_off).await
}

pub(super) fn key(event: Model) -> EventKey {
    EventKey { provider: event.provider, event_id: event.event_id, external_id: event.external_id }
}

/// Takes in news that was kept, if what it is about is known by now. News that can't be taken in harms no other, and is given up after a few tries.
pub(super) async fn settle(app: &App, key: EventKey) -> Result<(), Error> {
    let EventKey { provider, event_id, external_id } = key;
    let Some(parked) = Entity::find_by_id((provider, event_id, external_id)).one(app.db.read()).await? else {
        return Ok(());
    };
    if parked.state != State::Parked {
        return Ok(());
    }
    // What was not looked for was not looked for in vain.
    let made = match events::take_in_again(app, &parked).await {
        Ok(true) => return Ok(()),
        Ok(false) => i32::from(app.providers.named(&parked.provider).is_some()),
        Err(error) => {
            tracing::warn!(?error, "news that was kept can't be taken in");
            i32::from(!matches!(error, Error::Busy(_)))
        }
    };
    let tries = parked.tries + made;
    let pause = usize::try_from(tries).ok().and_then(|tries| TRIES.get(tries));
    let tx = app.db.begin_write().await?;
    let next_at = app.clock.now() + pause.copied().unwrap_or_default();
    events::try_again_at(&tx, &parked, tries, next_at).await?;
    tx.commit().await?;
    if pause.is_none() {
        tracing::error!(
            event_id = parked.event_id,
            provider = parked.provider,
            "news that nobody knows the subject of is given up"
        );
    }
    Ok(())
}
