//! Who is on the other side of a socket, and why they may not stay.

use std::sync::{Arc, OnceLock};

use super::{
    super::{
        Face, access,
        address::{Place, TOO_OFTEN},
        crowd::{Full, OneOfCrowd},
    },
    talk::Goodbye,
};
use crate::{
    auth::{Denied, Rejected, Verified},
    graphql::UNAVAILABLE,
};

/// Who is on the other side, once that was looked at.
pub type Session = Arc<OnceLock<Result<Known, Unwelcome>>>;

/// Somebody who may stay.
pub struct Known {
    pub verified: Verified,
    /// Held for as long as the socket is open.
    _socket: Option<OneOfCrowd>,
}

/// Why somebody may not stay.
#[derive(Clone, Copy)]
pub enum Unwelcome {
    Denied(Denied),
    /// Others with bad tokens have come from the same place before, one after the other.
    Suspect,
    /// As many sockets are open as the caller may have.
    Crowded,
}

impl From<Denied> for Unwelcome {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl Unwelcome {
    /// The protocol has one code for whoever comes without a token, which will not get better, one for whoever may come again with another, and one
    /// for whoever says who they are too often.
    pub fn goodbye(self) -> Goodbye {
        match self {
            Self::Denied(Denied::Rejected(rejected @ Rejected::Missing)) => Goodbye::new(4401, &rejected.to_string()),
            Self::Denied(Denied::Rejected(rejected)) => Goodbye::new(4403, &rejected.to_string()),
            Self::Suspect => Goodbye::new(4429, TOO_OFTEN),
            // RFC 6455 has a code for that: try again later.
            Self::Denied(Denied::Unavailable) => Goodbye::new(1013, UNAVAILABLE),
            Self::Crowded => Goodbye::new(1013, "As many WebSockets of this caller are open as may be."),
        }
    }
}

/// What is known of somebody before they say anything.
pub struct Guest {
    /// Whose token stood in the header of the request.
    pub from_header: Option<Verified>,
    pub place: Place,
}

/// Who opens the conversation: the token stands in its first message, or stood in the header of the request. A bad one counts as one that comes with
/// any other request.
pub async fn who(face: &Face, guest: Guest, payload: &serde_json::Value) -> Result<Known, Unwelcome> {
    let verified = verified(face, guest.from_header, payload).await.map_err(|denied| match denied {
        Denied::Rejected(rejected) if access::is_suspect(rejected) && face.failures.count(guest.place).is_some() => {
            Unwelcome::Suspect
        }
        denied => denied.into(),
    })?;
    let socket = face.admission.open_socket(&verified.caller).map_err(|Full| Unwelcome::Crowded)?;
    Ok(Known { verified, _socket: socket })
}

async fn verified(face: &Face, from_header: Option<Verified>, payload: &serde_json::Value) -> Result<Verified, Denied> {
    let pairs = payload.as_object().into_iter().flatten();
    let mut named = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    match (named.next(), named.next(), from_header) {
        (Some(_), Some(_), _) => Err(Rejected::Several.into()),
        (None, _, Some(verified)) => Ok(verified),
        (named, _, _) => access::verified(face, named.and_then(|(_, value)| value.as_str())).await,
    }
}
