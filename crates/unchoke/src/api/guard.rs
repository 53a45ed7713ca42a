//! Who may use the API: whoever has the token, and never a web page on the owner's behalf.

use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};

use super::{ApiAddr, ApiError, Token};

/// What a request must bring along.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Token,
    /// Names a request may call us by, in lower case.
    hosts: Vec<String>,
}

/// The one route that is open without the token: it tells that there is somebody, and nothing else.
pub(super) const HEALTH: &str = "/api/v1/health";

impl Guard {
    /// For an API at `addr`, with its real port.
    pub(crate) fn new(token: Token, addr: &ApiAddr) -> Self {
        let hosts = match addr {
            ApiAddr::Unix(_) => vec!["localhost".to_owned()],
            ApiAddr::Tcp(addr) => vec![addr.to_string(), format!("localhost:{}", addr.port())],
        };
        Guard { token, hosts }
    }

    /// Says whether a request may pass.
    ///
    /// # Errors
    /// 421 for another host, as a rebound name would be; 403 from a web page; 401 without the token.
    pub(super) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        let headers = &request.headers;
        let refused = |status, why: &str| Err(ApiError::new(status, why));
        let named = request.uri.authority().map(|a| a.as_str());
        let is_ours = |host: &str| self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host));
        if !only(headers, HOST).is_some_and(is_ours) || !named.is_none_or(is_ours) {
            return refused(StatusCode::MISDIRECTED_REQUEST, "this is not the host that was asked for");
        }
        let is_same_origin =
            |v: &HeaderValue| v.to_str().ok().and_then(|o| o.strip_prefix("http://")).is_some_and(is_ours);
        let site = HeaderName::from_static("sec-fetch-site");
        let is_own_site = |v: &HeaderValue| v == "none" || v == "same-origin";
        if !headers.get_all(ORIGIN).iter().all(is_same_origin)
            || !headers.get_all(site).iter().all(is_own_site)
            || request.method == Method::OPTIONS
        {
            return refused(StatusCode::FORBIDDEN, "not for web pages");
        }
        let token = only(headers, AUTHORIZATION).and_then(|v| v.strip_prefix("Bearer "));
        if request.uri.path() != HEALTH && !token.is_some_and(|t| self.token.is(t)) {
            return refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong");
        }
        Ok(())
    }
}

/// The value of a header that is there once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn status(addr: &str, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let guard = Guard::new(Token::parse(TOKEN).unwrap(), &addr.parse().unwrap());
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard.check(&parts).map_or_else(|e| e.status.as_u16(), |()| 200)
    }

    /// Rows 4 to 7 of the API checks.
    #[test]
    fn only_the_owner_passes_and_no_page_on_their_behalf() {
        let bearer = format!("Bearer {TOKEN}");
        let auth = ("Authorization", bearer.as_str());
        let host = ("Host", "127.0.0.1:7070");
        let tcp = |headers: &[(&str, &str)]| status("127.0.0.1:7070", "POST", "/api/v1/stop", headers);
        assert_eq!(tcp(&[host, auth]), 200);
        assert_eq!(tcp(&[("Host", "LOCALHOST:7070"), auth]), 200);
        for other in
            ["evil.example", "127.0.0.1", "127.0.0.1:7071", "localhost", "[::1]:7070", "", "1.2.3.4:7070"]
        {
            assert_eq!(tcp(&[("Host", other), auth]), 421, "{other}");
        }
        assert_eq!(tcp(&[auth]), 421);
        assert_eq!(tcp(&[host, host, auth]), 421);
        assert_eq!(status("127.0.0.1:7070", "GET", "http://evil.example/api/v1/version", &[host, auth]), 421);
        for origin in ["null", "http://evil.example", "https://127.0.0.1:7070", "http://127.0.0.1:1"] {
            assert_eq!(tcp(&[host, auth, ("Origin", origin)]), 403, "{origin}");
        }
        assert_eq!(tcp(&[host, auth, ("Origin", "http://127.0.0.1:7070")]), 200);
        for (site, code) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
            assert_eq!(tcp(&[host, auth, ("Sec-Fetch-Site", site)]), code, "{site}");
        }
        assert_eq!(status("127.0.0.1:7070", "OPTIONS", "/api/v1/torrents", &[host, auth]), 403);
    }

    #[test]
    fn nothing_but_health_is_told_without_the_token() {
        let host = ("Host", "localhost");
        let get = |path: &str, headers: &[(&str, &str)]| status("unix:/s", "GET", path, headers);
        assert_eq!(get(HEALTH, &[host]), 200);
        assert_eq!(get("/api/v1/version", &[host]), 401);
        let wrong = TOKEN.replace('0', "1");
        for value in ["", "Bearer", "Bearer ", TOKEN, &format!("Basic {TOKEN}"), &format!("Bearer {wrong}")] {
            assert_eq!(get("/api/v1/torrents", &[host, ("Authorization", value)]), 401, "{value}");
        }
        let auth = format!("Bearer {TOKEN}");
        let twice = [host, ("Authorization", auth.as_str()), ("Authorization", auth.as_str())];
        assert_eq!(get("/api/v1/torrents", &twice), 401);
    }
}
