//! The rules of graphql-transport-ws for one connection: what may be said when, and with which code it ends otherwise.
//!
//! async-graphql overlooks some of them, and ends with codes of its own.

use std::collections::HashSet;

use serde::Deserialize;

/// The longest reason that fits into a close frame, in bytes.
const MOST_REASON_BYTES: usize = 120;

/// Why a connection ends, for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    pub code: u16,
    pub reason: String,
}

impl Goodbye {
    pub fn new(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(MOST_REASON_BYTES);
        Self { code, reason: reason.get(..end).unwrap_or_default().to_owned() }
    }

    fn bad_request(reason: &str) -> Self {
        Self::new(4400, reason)
    }
}

/// What has been said so far.
#[derive(Debug, Default)]
pub struct Talk {
    stage: Stage,
    /// The ids of the subscriptions that are open.
    open: HashSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Opened,
    Initialised,
    Acknowledged,
}

/// A message, without what it is about.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
}

impl Talk {
    /// Notes what the client says, or ends the conversation because it may not be said.
    pub fn hears(&mut self, text: &str) -> Result<(), Goodbye> {
        let malformed =
            || Goodbye::bad_request("A message is a JSON object with a `type` and, where it has one, an `id`.");
        let Envelope { kind, id } = serde_json::from_str(text).map_err(|_| malformed())?;
        match (kind.as_str(), id) {
            ("connection_init", _) if self.stage == Stage::Opened => self.stage = Stage::Initialised,
            ("connection_init", _) => return Err(Goodbye::new(4429, "Too many initialisation requests")),
            ("subscribe", _) if self.stage != Stage::Acknowledged => return Err(Goodbye::new(4401, "Unauthorized")),
            ("subscribe", Some(id)) if !id.is_empty() => {
                if !self.open.insert(id.clone()) {
                    return Err(Goodbye::new(4409, &format!("Subscriber for {id} already exists")));
                }
            }
            ("complete", Some(id)) => {
                self.open.remove(&id);
            }
            ("ping" | "pong", _) => {}
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Notes what is about to be said to the client; whether it is to be said at all. Whoever ended a subscription is not told so.
    pub fn says(&mut self, text: &str) -> bool {
        match serde_json::from_str(text) {
            Ok(Envelope { kind, .. }) if kind == "connection_ack" => {
                self.stage = Stage::Acknowledged;
                true
            }
            Ok(Envelope { kind, id: Some(id) }) if kind == "complete" => self.open.remove(&id),
            _ => true,
        }
    }

    /// The protocol's word for why async-graphql ends the conversation: it could not read what passed here.
    pub fn closes(code: u16, reason: &str) -> Goodbye {
        match code {
            1002 => Goodbye::bad_request(reason),
            code => Goodbye::new(code, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: &str = r#"{"type":"connection_init"}"#;
    const ACK: &str = r#"{"type":"connection_ack"}"#;
    const SUBSCRIBE: &str = r#"{"type":"subscribe","id":"1","payload":{"query":"…"}}"#;
    const COMPLETE: &str = r#"{"type":"complete","id":"1"}"#;

    /// A conversation that has come so far that it may be subscribed.
    fn acknowledged() -> Talk {
        let mut talk = Talk::default();
        talk.hears(INIT).unwrap();
        assert!(talk.says(ACK));
        talk
    }

    fn code(talk: &mut Talk, text: &str) -> Option<u16> {
        talk.hears(text).err().map(|goodbye| goodbye.code)
    }

    #[test]
    fn nobody_subscribes_before_they_are_known() {
        let mut talk = Talk::default();
        assert_eq!(code(&mut talk, SUBSCRIBE), Some(4401));
        assert_eq!(code(&mut talk, INIT), None);
        assert_eq!(code(&mut talk, SUBSCRIBE), Some(4401));
        assert!(talk.says(ACK));
        assert_eq!(code(&mut talk, SUBSCRIBE), None);
    }

    #[test]
    fn a_client_says_once_who_it_is() {
        assert_eq!(code(&mut acknowledged(), INIT), Some(4429));
    }

    #[test]
    fn an_id_is_free_again_once_its_subscription_ended() {
        let mut talk = acknowledged();
        assert_eq!([code(&mut talk, SUBSCRIBE), code(&mut talk, SUBSCRIBE)], [None, Some(4409)]);
        assert_eq!([code(&mut talk, COMPLETE), code(&mut talk, SUBSCRIBE)], [None, None]);
        assert!(talk.says(COMPLETE));
        assert_eq!(code(&mut talk, SUBSCRIBE), None);
    }

    #[test]
    fn whoever_ended_a_subscription_is_not_told_so() {
        let mut talk = acknowledged();
        talk.hears(SUBSCRIBE).unwrap();
        talk.hears(COMPLETE).unwrap();
        assert!(!talk.says(COMPLETE));
    }

    #[test]
    fn what_is_no_message_ends_the_conversation() {
        for strange in [
            "",
            "[]",
            "{}",
            r#"{"type":"start","id":"1"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","id":""}"#,
        ] {
            assert_eq!(code(&mut acknowledged(), strange), Some(4400), "{strange}");
        }
    }

    #[test]
    fn a_reason_fits_into_its_frame() {
        let goodbye = Goodbye::new(4409, &"é".repeat(200));
        assert_eq!(goodbye.reason, "é".repeat(60));
    }
}
