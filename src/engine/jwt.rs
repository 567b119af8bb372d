//! When a token dies by its own word. Nothing is verified: the upstream decides, this only tells in advance.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, with or without a fraction (RFC 7519, 2: NumericDate).
    exp: f64,
}

/// The `exp` claim of a token that is a JWT; `None` for any other text.
pub(super) fn expiry(token: &str) -> Option<SystemTime> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()?;
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    let since_1970 = Duration::try_from_secs_f64(exp).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2lnbmF0dXJl", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_tokens_own_end_is_read() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds));
        assert_eq!(expiry(&token(r#"{"exp":1767225600}"#)), at(1_767_225_600.0));
        assert_eq!(
            expiry(&token(r#"{"sub":"x","exp":1767225600.5}"#)),
            at(1_767_225_600.5)
        );
    }

    #[test]
    fn what_tells_no_end_has_none() {
        for claims in [
            "{}",
            r#"{"exp":"soon"}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":1e300}"#,
            "[]",
            "no json",
        ] {
            assert_eq!(expiry(&token(claims)), None, "{claims}");
        }
        for text in ["", "plain", "a.b", "a.b.c", "a.b.c.d", "..", "e30.!!.x"] {
            assert_eq!(expiry(text), None, "{text}");
        }
    }
}
