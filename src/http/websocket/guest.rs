//! Who is on the other side of a socket, and why they may not stay.

use std::sync::{Arc, OnceLock};

use super::{
    super::{
        Face, access,
        crowd::{Full, OneOfCrowd},
    },
    talk::Goodbye,
};
use crate::auth::{Rejected, Verified};

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
    Rejected(Rejected),
    /// As many sockets are open as the caller may have.
    Crowded,
}

impl Unwelcome {
    /// The protocol has one code for whoever comes without a token, which will not get better, and one for whoever may come again with another.
    pub fn goodbye(self) -> Goodbye {
        match self {
            Self::Rejected(rejected @ Rejected::Missing) => Goodbye::new(4401, &rejected.to_string()),
            Self::Rejected(rejected) => Goodbye::new(4403, &rejected.to_string()),
            Self::Crowded => Goodbye::new(1013, "As many WebSockets of this caller are open as may be."),
        }
    }
}

/// Who opens the conversation: the token stands in its first message, or stood in the header of the request.
pub async fn who(face: &Face, from_header: Option<Verified>, payload: &serde_json::Value) -> Result<Known, Unwelcome> {
    let named = payload.as_object().into_iter().flatten().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let verified = match (named, from_header) {
        (None, Some(verified)) => Ok(verified),
        (named, _) => access::verified(face, named.and_then(|(_, value)| value.as_str())).await,
    };
    let verified = verified.map_err(Unwelcome::Rejected)?;
    let socket = face.admission.open_socket(&verified.caller).map_err(|Full| Unwelcome::Crowded)?;
    Ok(Known { verified, _socket: socket })
}
