//! Who is on the other side of a socket, and why they may not stay.

use std::sync::{Arc, OnceLock};

use super::{
    super::{
        Face, access,
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
    /// As many sockets are open as the caller may have.
    Crowded,
}

impl From<Denied> for Unwelcome {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl Unwelcome {
    /// The protocol has one code for whoever comes without a token, which will not get better, and one for whoever may come again with another.
    pub fn goodbye(self) -> Goodbye {
        match self {
            Self::Denied(Denied::Rejected(rejected @ Rejected::Missing)) => Goodbye::new(4401, &rejected.to_string()),
            Self::Denied(Denied::Rejected(rejected)) => Goodbye::new(4403, &rejected.to_string()),
            // RFC 6455 has a code for that: try again later.
            Self::Denied(Denied::Unavailable) => Goodbye::new(1013, UNAVAILABLE),
            Self::Crowded => Goodbye::new(1013, "As many WebSockets of this caller are open as may be."),
        }
    }
}

/// Who opens the conversation: the token stands in its first message, or stood in the header of the request.
pub async fn who(face: &Face, from_header: Option<Verified>, payload: &serde_json::Value) -> Result<Known, Unwelcome> {
    let pairs = payload.as_object().into_iter().flatten();
    let mut named = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let verified = match (named.next(), named.next(), from_header) {
        (Some(_), Some(_), _) => Err(Rejected::Several.into()),
        (None, _, Some(verified)) => Ok(verified),
        (named, _, _) => access::verified(face, named.and_then(|(_, value)| value.as_str())).await,
    };
    let verified = verified?;
    let socket = face.admission.open_socket(&verified.caller).map_err(|Full| Unwelcome::Crowded)?;
    Ok(Known { verified, _socket: socket })
}
