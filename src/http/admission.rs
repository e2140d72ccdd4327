//! Who is let in: so many requests at once in all, so many of one caller, and so much work of one caller in a while.
//!
//! Nobody waits here: who can't be let in is told so at once, and when to come again. What matters more has more room: news of money (webhooks)
//! before what changes something, and that before what only looks. Health routes don't come through here.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    crowd::{Crowd, Full, OneOfCrowd},
    meter::Meter,
    refusal,
};
use crate::{
    auth::{Caller, CallerKind},
    config::{Allowance, Traffic},
};

/// For how long the points of a caller add up.
const IN_ADVANCE: Duration = Duration::from_secs(10);
/// How many places mutations leave to webhooks.
const KEPT_FOR_WEBHOOKS: usize = 8;

/// What is asked for, by how much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Webhook,
    Mutation,
    Query,
}

impl Class {
    /// How many of the places may be taken, by whomever, for one more of this class to be let in.
    fn room(self, places: usize) -> usize {
        match self {
            Self::Webhook => places,
            Self::Mutation => places - KEPT_FOR_WEBHOOKS.min(places / 8),
            // More of them at once are done no sooner: they wait for the same connections to the database, and for one another.
            Self::Query => places / 2,
        }
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// All places are taken.
    Overloaded,
    /// The caller has as many requests running as one may have.
    TooManyAtOnce,
    /// The caller has asked for too much; after this time there is enough again.
    TooMuch(Duration),
}

impl Refused {
    /// The answer to a request.
    pub fn answer(self) -> Response {
        let status =
            if self == Self::Overloaded { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
        let after = if let Self::TooMuch(after) = self { after } else { Duration::ZERO };
        come_again(refusal(status, self.code(), self.message()), after)
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Overloaded => "OVERLOADED",
            Self::TooManyAtOnce | Self::TooMuch(_) => "TOO_MANY_REQUESTS",
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Overloaded => {
                "The server has more to do than it can. Nothing was done; send the request again in a moment."
            }
            Self::TooManyAtOnce => {
                "Too many requests of this caller are running. Nothing was done; send the request again in a moment."
            }
            Self::TooMuch(_) => {
                "This caller asks for more than the server gives in this time. Nothing was done; Retry-After tells when to send the request again."
            }
        }
    }
}

/// Says when to come again: in whole seconds, and never at once.
pub fn come_again(mut answer: Response, after: Duration) -> Response {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    answer
}

/// The guard at the door. Its clones are the same one.
#[derive(Clone)]
pub struct Admission(Arc<Inner>);

struct Inner {
    places: usize,
    taken: Arc<AtomicUsize>,
    shoppers: Share,
    services: Share,
    /// Callers are told apart by a number that nobody outside can make come out alike.
    numbers: RandomState,
}

/// What each caller of a kind may do.
struct Share {
    requests: Crowd,
    sockets: Crowd,
    meter: Option<Meter>,
}

impl Share {
    fn new(allowance: Allowance) -> Self {
        Self {
            requests: Crowd::new(allowance.requests),
            sockets: Crowd::new(allowance.sockets),
            meter: Meter::new(allowance.rate, Duration::from_secs(1), IN_ADVANCE),
        }
    }
}

/// A place inside, until it is dropped.
#[must_use = "the place is free again once this is dropped"]
pub struct Permit {
    _place: Place,
    _own: Option<OneOfCrowd>,
}

impl Admission {
    pub fn new(traffic: &Traffic) -> Self {
        Self(Arc::new(Inner {
            places: traffic.max_concurrent_requests,
            taken: Arc::default(),
            shoppers: Share::new(traffic.shopper),
            services: Share::new(traffic.service),
            numbers: RandomState::new(),
        }))
    }

    /// Lets one request of a caller in, for as long as the permit is held. `cost` is in points.
    pub fn enter(&self, caller: &Caller, class: Class, cost: usize) -> Result<Permit, Refused> {
        let place = self.place(class)?;
        let own = self.share(caller).requests.enter(self.number(caller)).map_err(|Full| Refused::TooManyAtOnce)?;
        // Last: what is refused costs nothing.
        self.spend(caller, cost)?;
        Ok(Permit { _place: place, _own: own })
    }

    /// Lets one of a provider's webhooks in.
    pub fn enter_webhook(&self) -> Result<Permit, Refused> {
        Ok(Permit { _place: self.place(Class::Webhook)?, _own: None })
    }

    /// Lets a caller keep one more WebSocket open.
    pub fn open_socket(&self, caller: &Caller) -> Result<Option<OneOfCrowd>, Full> {
        self.share(caller).sockets.enter(self.number(caller))
    }

    /// Takes what something costs from a caller's account.
    pub fn spend(&self, caller: &Caller, cost: usize) -> Result<(), Refused> {
        let Some(meter) = &self.share(caller).meter else { return Ok(()) };
        let points = u32::try_from(cost).unwrap_or(u32::MAX);
        meter.spend(self.number(caller), points, Instant::now()).map_err(Refused::TooMuch)
    }

    fn share(&self, caller: &Caller) -> &Share {
        match caller.kind {
            CallerKind::User | CallerKind::Anonymous => &self.0.shoppers,
            CallerKind::Service => &self.0.services,
        }
    }

    fn number(&self, caller: &Caller) -> u64 {
        self.0.numbers.hash_one((caller.kind, &caller.id))
    }

    /// Whether one more of this class would be refused now, whoever it is from.
    pub fn is_full(&self, class: Class) -> bool {
        self.0.taken.load(Ordering::Relaxed) >= class.room(self.0.places)
    }

    fn place(&self, class: Class) -> Result<Place, Refused> {
        let room = class.room(self.0.places);
        let one_more = |taken: usize| (taken < room).then_some(taken + 1);
        match self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Place(Arc::clone(&self.0.taken))),
            Err(_) => Err(Refused::Overloaded),
        }
    }
}

/// One of all the places.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(places: usize, requests: u32, rate: u32) -> Admission {
        let share = || Share::new(Allowance { requests, rate, sockets: 1 });
        let (shoppers, services) = (share(), Share::new(Allowance { requests: 0, rate: 0, sockets: 0 }));
        Admission(Arc::new(Inner { places, taken: Arc::default(), shoppers, services, numbers: RandomState::new() }))
    }

    fn caller(kind: CallerKind, id: &str) -> Caller {
        Caller { kind, id: id.into(), scopes: [].into() }
    }

    /// How many of a class are let in, and their permits.
    fn fill(admission: &Admission, class: Class) -> (usize, Vec<Permit>) {
        let shop = caller(CallerKind::Service, "shop");
        let permits: Vec<Permit> = std::iter::from_fn(|| admission.enter(&shop, class, 1).ok()).collect();
        (permits.len(), permits)
    }

    #[test]
    fn what_matters_more_has_more_room() {
        for (places, [queries, mutations, webhooks]) in
            [(128, [64, 56, 8]), (16, [8, 6, 2]), (8, [4, 3, 1]), (4, [2, 2, 0])]
        {
            let admission = admission(places, 0, 0);
            let (looked, _looking) = fill(&admission, Class::Query);
            let (changed, _changing) = fill(&admission, Class::Mutation);
            let (told, _telling) = fill(&admission, Class::Webhook);
            assert_eq!([looked, changed, told], [queries, mutations, webhooks], "{places}");
            assert_eq!(admission.enter_webhook().err(), Some(Refused::Overloaded));
        }
    }

    #[test]
    fn a_place_is_free_again_once_its_permit_is_dropped() {
        let admission = admission(4, 1, 0);
        let ada = caller(CallerKind::User, "ada");
        for _ in 0..10 {
            let permit = admission.enter(&ada, Class::Query, 1).ok();
            assert_eq!(admission.enter(&ada, Class::Query, 1).err(), Some(Refused::TooManyAtOnce));
            drop(permit);
        }
        assert_eq!(admission.0.taken.load(Ordering::Relaxed), 0);
        assert!(admission.0.shoppers.requests.is_empty());
    }

    #[test]
    fn one_caller_does_not_stand_in_the_way_of_another() {
        let admission = admission(8, 1, 1);
        let ada = caller(CallerKind::User, "ada");
        let _running = admission.enter(&ada, Class::Query, 10).ok();
        let others =
            [caller(CallerKind::Anonymous, "ada"), caller(CallerKind::User, "bob"), caller(CallerKind::Service, "ada")];
        for other in others {
            assert!(admission.enter(&other, Class::Query, 10).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn who_is_refused_pays_nothing_and_holds_nothing() {
        let admission = admission(4, 1, 1);
        let ada = caller(CallerKind::User, "ada");
        let running = admission.enter(&ada, Class::Query, 9).ok();
        assert_eq!(admission.enter(&ada, Class::Query, 1).err(), Some(Refused::TooManyAtOnce));
        drop(running);
        assert!(matches!(admission.enter(&ada, Class::Query, 2).err(), Some(Refused::TooMuch(_))));
        assert_eq!(admission.0.taken.load(Ordering::Relaxed), 0);
        assert!(admission.enter(&ada, Class::Query, 1).is_ok());
    }

    #[test]
    fn a_moment_is_told_in_whole_seconds_and_never_as_none() {
        let told = |millis| {
            let answer = Refused::TooMuch(Duration::from_millis(millis)).answer();
            answer.headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
        };
        assert_eq!([told(0), told(1), told(1000), told(1001)], ["1", "1", "1", "2"]);
    }
}
