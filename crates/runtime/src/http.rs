//! HTTP GETs for trackers: resolved, gated and followed by ourselves, so that no name and no redirect leads where it
//! should not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::LOCATION;
use unchoke_engine::output::HttpRequest;
use unchoke_wire::compact::Family;
use unchoke_wire::limits::TRACKER_REPLY_LEN_MAX;

use crate::error::SessionError;
use crate::scope::Scope;

/// Redirects followed in a row.
const REDIRECTS_MAX: usize = 5;

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
        Ok(Http { tls: Arc::new(tls) })
    }

    /// One GET with its redirects, within the time and size allowed.
    pub(crate) async fn get(&self, request: &HttpRequest) -> Reply {
        let follow = self.follow(&request.url, request.family, TRACKER_REPLY_LEN_MAX);
        within(request.timeout, follow).await
    }

    async fn follow(&self, url: &str, family: Family, len_max: usize) -> Reply {
        let mut url = Url::parse(url).map_err(|e| format!("bad URL: {e}"))?;
        // the user named the first host, with the torrent; the others are named by hosts of this scope
        let mut teller = None;
        for _ in 0..=REDIRECTS_MAX {
            let (reply, scope) = self.hop(&url, family, teller).await?;
            let status = reply.status();
            let target = reply.headers().get(LOCATION).filter(|_| status.is_redirection());
            let Some(target) = target else {
                let remote = reply.remote_addr().map(|a| a.ip().to_canonical());
                return Ok(Answer { status: status.as_u16(), remote, body: body(reply, len_max).await? });
            };
            let target = target.to_str().map_err(|_| "redirect to a bad URL".to_owned())?;
            url = url.join(target).map_err(|_| "redirect to a bad URL".to_owned())?;
            teller = Some(scope);
        }
        Err(format!("more than {REDIRECTS_MAX} redirects"))
    }

    /// One request, without following. Also answers the scope of the host that was asked.
    async fn hop(
        &self,
        url: &Url,
        family: Family,
        teller: Option<Scope>,
    ) -> Result<(reqwest::Response, Scope), String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("cannot do {}", url.scheme()));
        }
        let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or("URL without a host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = lookup(host, port, family).await?;
        if addresses.is_empty() {
            return Err(format!("{host} has no address of this family"));
        }
        addresses.retain(|a| match teller {
            Some(teller) => Scope::may_tell(teller, a.ip()),
            None => Scope::of(a.ip()).is_some(),
        });
        let Some(scope) = addresses.first().and_then(|a| Scope::of(a.ip())) else {
            return Err(format!("{host} leads to a network that its source may not name"));
        };
        addresses.retain(|a| Scope::of(a.ip()) == Some(scope));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
            .user_agent(concat!("unchoke/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(0)
            .resolve_to_addrs(host, &addresses)
            .build()
            .map_err(|e| reason(&e))?;
        let reply = client.get(url.clone()).send().await.map_err(|e| reason(&e.without_url()))?;
        Ok((reply, scope))
    }
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
        match http.follow(url, Family::V4, len_max).await {
            Err(v4) => http.follow(url, Family::V6, len_max).await.map_err(|_| v4),
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

async fn within(timeout: Duration, reply: impl Future<Output = Reply>) -> Reply {
    let late = |_| Err(format!("no reply within {} s", timeout.as_secs()));
    tokio::time::timeout(timeout, reply).await.unwrap_or_else(late)
}

/// The decoded body, unless it is too long.
async fn body(mut reply: reqwest::Response, len_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.map_err(|e| reason(&e.without_url()))? {
        if body.len() + chunk.len() > len_max {
            return Err(format!("a reply of more than {len_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The addresses of a host, which may be an address itself, in one family.
async fn lookup(host: &str, port: u16, family: Family) -> Result<Vec<SocketAddr>, String> {
    let is_wanted = |ip: IpAddr| match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, port)).into_iter().filter(|_| is_wanted(ip)).collect());
    }
    let found =
        tokio::net::lookup_host((host, port)).await.map_err(|e| format!("cannot resolve {host}: {e}"))?;
    Ok(found.filter(|a| is_wanted(a.ip())).collect())
}

/// The innermost cause, which is what a user can act on.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
