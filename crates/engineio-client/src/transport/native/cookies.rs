//! The cookies of a connector, which all its sessions share.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::HeaderValue;
use ws_proto::Time;

use super::cookie_jar::CookieJar;

/// The cookies that all sessions with the same settings share.
#[derive(Default)]
pub(super) struct Cookies(Mutex<CookieJar>);

impl Cookies {
    /// Keeps the cookies of a response.
    pub(super) fn store<'a>(&self, set_cookies: impl IntoIterator<Item = &'a HeaderValue>, now: Time) {
        let mut set_cookies = set_cookies.into_iter().peekable();
        if set_cookies.peek().is_none() {
            return;
        }
        let wall_clock = SystemTime::now();
        let mut jar = self.jar();
        for set_cookie in set_cookies {
            jar.store(set_cookie, now, wall_clock);
        }
    }

    /// Returns the value of the `Cookie` header. `None` if there is no cookie.
    pub(super) fn header(&self, now: Time) -> Option<String> {
        self.jar().header(now)
    }

    fn jar(&self) -> MutexGuard<'_, CookieJar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Cookies {
    /// Returns an empty jar. The settings are cloned when a setting of a shared connector changes. It may be the
    /// credentials of another user, to whom the cookies must not go.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Cookies {
    /// Omits the values, because they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}
