//! The API key check of both doors.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::engine::{
    caller::Caller,
    error::{ChatError, ErrorKind},
};

/// The accepted API keys. Cheap to clone; clones share them. `Debug` shows only their number.
#[derive(Clone)]
pub struct Auth(Arc<ArcSwap<Keys>>);

struct Keys {
    /// Each key by its SHA-256, and its caller.
    callers: Vec<([u8; 32], Caller)>,
    required: bool,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keys { callers, required } = &**self.0.load();
        write!(f, "Auth({} keys, required: {required})", callers.len())
    }
}

impl Auth {
    /// A check against `keys`. Without `required`, requests need no key.
    #[must_use]
    pub fn new(keys: &[SecretString], required: bool) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Keys::new(keys, required))))
    }

    /// Replaces the keys in all clones at once. Requests already admitted continue; long-lived ones are checked by
    /// [`Self::check_again`].
    pub fn replace(&self, keys: &[SecretString], required: bool) {
        self.0.store(Arc::new(Keys::new(keys, required)));
    }

    /// Whether a key is required.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.0.load().required
    }

    /// Looks for a key in `Authorization: Bearer`, `?api_key=`, `X-API-Key` and `api-key`, in this order; the first one
    /// that is not empty decides. A known key identifies its caller even if no key is required.
    ///
    /// # Errors
    /// `unauthenticated` when a key is required and it is missing or wrong.
    pub fn check(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Option<Caller>, ChatError> {
        let key = find_key(headers, query);
        let keys = self.0.load();
        let caller = key.as_deref().and_then(|key| keys.caller(key));
        match (caller, key, keys.required) {
            (Some(caller), _, _) => Ok(Some(caller)),
            (None, _, false) => Ok(None),
            (None, Some(_), true) => Err(ChatError::new(
                ErrorKind::Unauthenticated,
                "Incorrect API key provided.",
            )),
            (None, None, true) => Err(ChatError::new(
                ErrorKind::Unauthenticated,
                "You didn't provide an API key. Provide it in an Authorization header using Bearer auth \
                 (Authorization: Bearer YOUR_KEY).",
            )),
        }
    }

    /// Checks whether a caller admitted by [`Self::check`] may still make requests.
    ///
    /// # Errors
    /// `unauthenticated` when the caller's key was removed, or there was none and one is required now.
    pub fn check_again(&self, caller: Option<&Caller>) -> Result<(), ChatError> {
        let keys = self.0.load();
        if !keys.required || caller.is_some_and(|caller| keys.has(caller)) {
            return Ok(());
        }
        let message = "The API key with which this began is not accepted any more.";
        Err(ChatError::new(ErrorKind::Unauthenticated, message))
    }
}

impl Keys {
    fn new(keys: &[SecretString], required: bool) -> Self {
        let callers = keys.iter().map(|key| {
            let digest = digest(key.expose_secret());
            (digest, caller_of(&digest))
        });
        Self {
            callers: callers.collect(),
            required,
        }
    }

    /// The caller of a key. Every key is compared, so that the time taken does not reveal a match.
    fn caller(&self, key: &str) -> Option<Caller> {
        let offered = digest(key);
        let mut found = u32::MAX;
        for (index, (digest, _)) in (0..).zip(&self.callers) {
            found.conditional_assign(&index, digest.ct_eq(&offered));
        }
        let (_, caller) = self.callers.get(usize::try_from(found).ok()?)?;
        Some(caller.clone())
    }

    /// Whether one of the keys is still the caller's.
    fn has(&self, caller: &Caller) -> bool {
        self.callers.iter().any(|(_, known)| known.id() == caller.id())
    }
}

/// The caller of an unnamed key: its id is the key's SHA-256, its label the first eight hexadecimal digits.
fn caller_of(digest: &[u8; 32]) -> Caller {
    let id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let label = id.chars().take(8).collect();
    Caller::new(id, None, label)
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Whether the headers contain a key, valid or not.
#[must_use]
pub fn offers_key(headers: &HeaderMap) -> bool {
    find_key(headers, None).is_some()
}

fn find_key(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = |name: &str| {
        headers
            .get(name)?
            .to_str()
            .ok()
            .map(|value| value.trim().to_owned())
    };
    let bearer = || {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, key) = value.trim().split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| key.trim().to_owned())
    };
    let in_query = || {
        let pairs = url::form_urlencoded::parse(query?.as_bytes());
        pairs
            .filter(|(name, _)| name == "api_key")
            .map(|(_, key)| key.into_owned())
            .find(|key| !key.is_empty())
    };
    [bearer(), in_query(), header("x-api-key"), header("api-key")]
        .into_iter()
        .flatten()
        .find(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        Auth::new(&["one".into(), "two".into()], true)
    }

    fn check(headers: &[(&'static str, &str)], query: Option<&str>) -> Result<Option<Caller>, ChatError> {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        auth().check(&headers.collect(), query)
    }

    #[test]
    fn a_key_is_found_in_all_four_places() {
        for headers in [
            ("authorization", "bearer  two "),
            ("x-api-key", "one"),
            ("api-key", "two"),
        ] {
            assert!(matches!(check(&[headers], None), Ok(Some(_))), "{headers:?}");
        }
        assert!(matches!(check(&[], Some("a=b&api_key=o%6ee")), Ok(Some(_))));
    }

    #[test]
    fn the_first_key_that_is_not_empty_decides() {
        let wrong_first = [("authorization", "Bearer wrong"), ("x-api-key", "one")];
        assert!(check(&wrong_first, None).is_err());
        let empty_first = [("authorization", "Bearer "), ("x-api-key", "one")];
        assert!(check(&empty_first, Some("api_key=")).is_ok());
        assert!(check(&[("x-api-key", "one")], Some("api_key=wrong")).is_err());
        assert!(check(&[("authorization", "Basic x"), ("api-key", "one")], None).is_ok());
    }

    #[test]
    fn no_key_is_refused_unless_none_is_required() {
        assert_eq!(check(&[], None).unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert_eq!(
            Auth::new(&[], false).check(&HeaderMap::new(), None).unwrap(),
            None
        );
    }

    #[test]
    fn replaced_keys_count_in_every_clone() {
        let auth = auth();
        let clone = auth.clone();
        auth.replace(&["three".into()], true);
        let check = |key: &str| clone.check(&HeaderMap::new(), Some(&format!("api_key={key}")));
        assert!(check("three").is_ok());
        assert!(check("one").is_err());
        auth.replace(&[], false);
        assert!(!clone.is_required() && check("one").is_ok());
    }

    #[test]
    fn who_was_let_in_is_checked_again_by_what_counts_now() {
        let auth = auth();
        let check = |key: &str| auth.check(&HeaderMap::new(), Some(&format!("api_key={key}")));
        let (one, two) = (check("one").unwrap(), check("two").unwrap());
        let again = |caller: &Option<Caller>| auth.check_again(caller.as_ref());
        assert!(again(&one).is_ok() && again(&two).is_ok());
        auth.replace(&["two".into()], true);
        assert_eq!(again(&one).unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert!(again(&two).is_ok() && again(&None).is_err());
        auth.replace(&[], false);
        assert!(again(&one).is_ok() && again(&None).is_ok());
    }

    #[test]
    fn keys_never_show() {
        assert!(!format!("{:?}", auth()).contains("one"));
        let caller = check(&[("x-api-key", "one")], None).unwrap().unwrap();
        assert_eq!(format!("{caller:?}"), format!("Caller({})", caller.label()));
    }
}
