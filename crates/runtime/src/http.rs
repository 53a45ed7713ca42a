//! HTTP GETs for trackers: resolved, gated and followed by ourselves, so that no name and no redirect leads where it
//! should not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::LOCATION;
use unchoke_engine::output::HttpRequest;
use unchoke_wire::compact::Family;
use unchoke_wire::limits::{HTTP_HEADERS_LEN_MAX, HTTP_REDIRECTS_MAX, TRACKER_REPLY_LEN_MAX};
use unchoke_wire::scope::{Scope, Teller, may_use};

use crate::error::SessionError;
use crate::http_pool::{Place, Pool, Turn};
use crate::names::Names;

/// What came back, or why nothing did.
pub(crate) type Reply = Result<Answer, String>;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) remote: Option<IpAddr>,
    /// Decoded.
    pub(crate) body: Vec<u8>,
}

/// Makes requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    tls: Arc<rustls::ClientConfig>,
    pool: Arc<Pool>,
    names: Arc<Names>,
}

impl Http {
    /// Trusts what the system trusts. On a machine without certificates only plain HTTP works.
    pub(crate) fn new() -> Result<Self, SessionError> {
        use rustls_platform_verifier::BuilderVerifierExt;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(|e| SessionError::Tls(e.to_string()))
        };
        let builder_for_none = builder()?.with_root_certificates(rustls::RootCertStore::empty());
        let tls = match builder()?.with_platform_verifier() {
            Ok(builder) => builder.with_no_client_auth(),
            Err(e) => {
                tracing::warn!(error = %e, "no certificates to trust; https trackers will not work");
                builder_for_none.with_no_client_auth()
            }
        };
        Ok(Http { tls: Arc::new(tls), pool: Arc::new(Pool::new()), names: Arc::new(Names::of_system()) })
    }

    /// The names and their addresses.
    pub(crate) fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// One GET with its redirects, within the time and size allowed.
    pub(crate) async fn get(&self, request: &HttpRequest) -> Reply {
        let follow = self.follow(&request.url, Teller::Torrent, request.family, TRACKER_REPLY_LEN_MAX);
        within(request.timeout, follow).await
    }

    /// `teller` named the first host; each of the others is named by the host before it.
    async fn follow(&self, url: &str, mut teller: Teller, family: Family, len_max: usize) -> Reply {
        let mut url = Url::parse(url).map_err(|e| format!("bad URL: {e}"))?;
        let is_users = teller == Teller::User;
        for _ in 0..=HTTP_REDIRECTS_MAX {
            let (place, scope) = self.place(&url, family, teller).await?;
            if scope == Scope::Loopback && !is_users && !is_trackers_path(&url) {
                return Err("this machine may be asked for /announce and /scrape alone".to_owned());
            }
            let host = place.2[0].ip();
            // kept until the body is read
            let (reply, _turn) = self.hop(&url, place).await?;
            let status = reply.status();
            let target = reply.headers().get(LOCATION).filter(|_| status.is_redirection());
            let Some(target) = target else {
                let remote = reply.remote_addr().map(|a| a.ip().to_canonical());
                return Ok(Answer { status: status.as_u16(), remote, body: body(reply, len_max).await? });
            };
            let target = target.to_str().map_err(|_| "redirect to a bad URL".to_owned())?;
            url = url.join(target).map_err(|_| "redirect to a bad URL".to_owned())?;
            teller = Teller::At(host);
        }
        Err(format!("more than {HTTP_REDIRECTS_MAX} redirects"))
    }

    /// Where a URL leads: at least one address, all in one scope, which `teller` may name.
    async fn place(&self, url: &Url, family: Family, teller: Teller) -> Result<(Place, Scope), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("cannot do {}", url.scheme()));
        }
        let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or("URL without a host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = lookup(host, port, family, &self.names).await?;
        if addresses.is_empty() {
            return Err(format!("{host} has no address of this family"));
        }
        addresses.retain(|a| may_use(*a, teller));
        let Some(scope) = addresses.first().map(|a| Scope::of(a.ip())) else {
            return Err(format!("{host} leads to a network that its source may not name"));
        };
        addresses.retain(|a| Scope::of(a.ip()) == scope);
        addresses.sort_unstable();
        Ok(((host.to_owned(), port, addresses), scope))
    }

    /// One request, without following.
    async fn hop(&self, url: &Url, place: Place) -> Result<(reqwest::Response, Turn), String> {
        let turn = self.pool.turn(&place.0, place.1).await;
        let client = self.pool.client(place, |builder| {
            builder
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
                .user_agent(concat!("unchoke/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|e| reason(&e))
        })?;
        let reply = client.get(url.clone()).send().await.map_err(|e| reason(&e.without_url()))?;
        let headers_len: usize =
            reply.headers().iter().map(|(name, v)| name.as_str().len() + v.len() + 4).sum();
        if headers_len > HTTP_HEADERS_LEN_MAX {
            return Err(format!("headers of more than {HTTP_HEADERS_LEN_MAX} bytes"));
        }
        Ok((reply, turn))
    }
}

/// Whether the path, in the form it is sent in, is one of a tracker's: others on this machine are other services'.
fn is_trackers_path(url: &Url) -> bool {
    url.path().starts_with("/announce") || url.path().starts_with("/scrape")
}

/// Fetches what a URL of the user's leads to, over IPv4 or else IPv6, and waits for it: `timeout` in all.
///
/// # Errors
/// [`SessionError::Fetch`] without a reply of status 200 and at most `len_max` bytes; [`SessionError::Tls`] and
/// [`SessionError::System`] when not even a request could be made.
pub fn fetch(url: &str, len_max: usize, timeout: Duration) -> Result<Vec<u8>, SessionError> {
    let http = Http::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|source| SessionError::System { action: "make a request", source })?;
    let either = async {
        match http.follow(url, Teller::User, Family::V4, len_max).await {
            Err(v4) => http.follow(url, Teller::User, Family::V6, len_max).await.map_err(|_| v4),
            reply => reply,
        }
    };
    let reply = runtime.block_on(async { within(timeout, either).await });
    // a name still being looked up has nobody left to tell
    runtime.shutdown_background();
    let failed = |why| SessionError::Fetch { url: url.to_owned(), why };
    match reply.map_err(failed)? {
        Answer { status: 200, body, .. } => Ok(body),
        Answer { status, .. } => Err(failed(format!("the server answered with status {status}"))),
    }
}

/// Waits for a reply, but not for ever.
pub(crate) async fn within(timeout: Duration, reply: impl Future<Output = Reply>) -> Reply {
    let late = |_| Err(format!("no reply within {} s", timeout.as_secs()));
    tokio::time::timeout(timeout, reply).await.unwrap_or_else(late)
}

/// The decoded body, unless it is too long.
async fn body(mut reply: reqwest::Response, len_max: usize) -> Result<Vec<u8>, String> {
    let too_long = || Err(format!("a reply of more than {len_max} bytes"));
    if reply.content_length().is_some_and(|len| len > u64::try_from(len_max).unwrap_or(u64::MAX)) {
        return too_long();
    }
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.map_err(|e| reason(&e.without_url()))? {
        if body.len() + chunk.len() > len_max {
            return too_long();
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The addresses of a host, which may be an address itself, in one family.
async fn lookup(
    host: &str,
    port: u16,
    family: Family,
    names: &Arc<Names>,
) -> Result<Vec<SocketAddr>, String> {
    let is_wanted = |ip: IpAddr| match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, port)).into_iter().filter(|_| is_wanted(ip)).collect());
    }
    let found = names.resolve(host).await.map_err(|e| format!("cannot resolve {host}: {e}"))?;
    Ok(found.into_iter().filter(|ip| is_wanted(*ip)).map(|ip| SocketAddr::new(ip, port)).collect())
}

/// The innermost cause, which is what a user can act on.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

#[cfg(test)]
mod tests;
