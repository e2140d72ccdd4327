//! Who sent a webhook of the sandbox: its header's signatures, compared with the raw body's.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    provider::WebhookError,
    secret::{Secret, unhex},
};

/// How old, or how far ahead, a webhook's signature may be (rule W1), in seconds.
const TOLERANCE_SECONDS: i64 = 300;

/// Checks `t=…,v1=…`: one of the signatures (several while a secret turns) must be the HMAC-SHA256 of `t`, a point and the raw body, and
/// `t` not more than 300 s away. Compared in constant time.
pub(super) fn verify(secret: &Secret, header: &str, body: &[u8], now: i64) -> Result<(), WebhookError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let mut times = parts().filter(|(name, _)| *name == "t");
    let (Some((_, at)), None) = (times.next(), times.next()) else {
        return Err(WebhookError::Unverified);
    };
    let seconds: i64 = match at.bytes().all(|byte| byte.is_ascii_digit()) {
        true => at.parse().map_err(|_| WebhookError::Unverified)?,
        false => return Err(WebhookError::Unverified),
    };
    if seconds.abs_diff(now) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(WebhookError::Unverified);
    }
    let signed = |signature: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
        mac.update(at.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&unhex(signature)?).ok()
    };
    // A header with a thousand signatures is nobody's rotation.
    parts()
        .filter(|(name, _)| *name == "v1")
        .take(5)
        .find_map(|(_, signature)| signed(signature))
        .ok_or(WebhookError::Unverified)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sandbox::sign;

    const NOW: i64 = 1_000_000;
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    fn secret() -> Secret {
        Secret::new("whsec")
    }

    fn check(header: &str) -> Result<(), WebhookError> {
        verify(&secret(), header, BODY, NOW)
    }

    fn signature_at(at: i64) -> String {
        sign(secret().expose(), at, BODY)
    }

    // rule W1
    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        for (at, good) in [(NOW, true), (NOW - 300, true), (NOW + 300, true), (NOW - 301, false), (NOW + 301, false)] {
            assert_eq!(check(&signature_at(at)).is_ok(), good, "{at}");
        }
    }

    #[test]
    fn another_body_or_another_secret_is_refused() {
        let header = signature_at(NOW);
        assert!(verify(&secret(), &header, br#"{"id":"evt_1"} "#, NOW).is_err());
        assert!(verify(&Secret::new("other"), &header, BODY, NOW).is_err());
    }

    #[test]
    fn while_a_secret_turns_one_good_signature_is_enough() {
        let good = signature_at(NOW);
        let (time, signature) = good.split_once(',').unwrap();
        assert!(check(&format!("{time},v1=00,{signature}")).is_ok());
        assert!(check(&format!("{time},v0=00,{signature}")).is_ok());
    }

    #[test]
    fn an_odd_header_is_refused_and_does_not_panic() {
        let good = signature_at(NOW);
        let many = format!("t={NOW}{},{}", ",v1=00".repeat(1000), good.split_once(',').unwrap().1);
        let odd = [
            "".to_owned(),
            "t=".into(),
            format!("t={NOW}"),
            good.replace("t=", "t=+"),
            good.replace("v1=", "v0="),
            format!("{good},t={NOW}"),
            format!("t={NOW},v1=é0"),
            format!("t={NOW},v1=0"),
            "t=99999999999999999999,v1=00".into(),
            "t=١,v1=00".into(),
            "x".repeat(10_000),
            many,
        ];
        for header in odd {
            assert_eq!(check(&header), Err(WebhookError::Unverified), "{}", &header[..header.len().min(60)]);
        }
    }

    proptest! {
        /// What a signature is made of, in any order and number, around one that would be good but for a digit.
        #[test]
        fn any_header_but_a_good_one_is_refused(
            noise in "(t=[0-9]{0,12}|v1=[0-9a-f]{0,70}|[,= ]|v0=x){0,12}|\\PC{0,80}",
            at in 0..64_usize,
        ) {
            prop_assert!(check(&noise).is_err());
            let good = signature_at(NOW);
            let (head, digits) = good.split_at(good.len() - 64);
            let flipped: String = digits.chars().enumerate().map(|(n, digit)| match (n == at, digit) {
                (true, '0') => '1',
                (true, _) => '0',
                (false, digit) => digit,
            }).collect();
            prop_assert!(check(&[head, &flipped].concat()).is_err());
        }
    }
}
