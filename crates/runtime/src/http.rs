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
use unchoke_wire::scope::{Scope, Teller, may_use};

use crate::error::SessionError;
use crate::http_pool::{Names, Pool};
use crate::resolver::resolve;

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
        Ok(Http { tls: Arc::new(tls), pool: Arc::default(), names: Arc::default() })
    }

    /// The names resolved lately.
    pub(crate) fn names(&self) -> &Names {
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
        for _ in 0..=REDIRECTS_MAX {
            let (reply, host) = self.hop(&url, family, teller).await?;
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
        Err(format!("more than {REDIRECTS_MAX} redirects"))
    }

    /// One request, without following. Also answers an address of the host that was asked; all have its scope.
    async fn hop(
        &self,
        url: &Url,
        family: Family,
        teller: Teller,
    ) -> Result<(reqwest::Response, IpAddr), String> {
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
        let Some(first) = addresses.first().map(SocketAddr::ip) else {
            return Err(format!("{host} leads to a network that its source may not name"));
        };
        addresses.retain(|a| Scope::of(a.ip()) == Scope::of(first));
        addresses.sort_unstable();
        let _turn = self.pool.turn(host, port).await;
        let client = self.pool.client((host.to_owned(), port, addresses), |builder| {
            builder
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
                .user_agent(concat!("unchoke/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|e| reason(&e))
        })?;
        let reply = client.get(url.clone()).send().await.map_err(|e| reason(&e.without_url()))?;
        Ok((reply, first))
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
async fn lookup(host: &str, port: u16, family: Family, names: &Names) -> Result<Vec<SocketAddr>, String> {
    let is_wanted = |ip: IpAddr| match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, port)).into_iter().filter(|_| is_wanted(ip)).collect());
    }
    let found = match names.get(host) {
        Some(found) => found,
        None => resolve(host, names).await.map_err(|e| format!("cannot resolve {host}: {e}"))?,
    };
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
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;
    use unchoke_engine::id::RequestId;

    /// Answers every request by what `answer` makes of its path.
    fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                // who has hung up does not want the rest
                let _ = stream.write_all(&answer(head.split(' ').nth(1).unwrap_or_default()));
            }
        });
        addr
    }

    fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn redirect(to: &str) -> Vec<u8> {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .into_bytes()
    }

    fn get(url: &str, family: Family) -> Reply {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let timeout = Duration::from_secs(60);
        let request = HttpRequest { request: RequestId(1), url: url.to_owned(), family, timeout };
        runtime.block_on(Http::new().unwrap().get(&request))
    }

    #[test]
    fn redirects_are_followed_a_few_times_and_stay_in_their_scope() {
        let addr = serve(|path| match path {
            "/a?x=%00%ff" => redirect("/b"),
            "/b" => ok("", b"hello"),
            "/loop" => redirect("/loop"),
            "/inside" => redirect("http://10.1.2.3/"),
            _ => redirect("file:///etc/passwd"),
        });
        let answer = get(&format!("http://{addr}/a?x=%00%ff"), Family::V4).unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.remote), (200, &b"hello"[..], Some(addr.ip())));
        let failed = |path: &str| get(&format!("http://{addr}/{path}"), Family::V4).unwrap_err();
        assert!(failed("loop").contains("redirects"));
        assert!(failed("inside").contains("may not name"));
        assert!(failed("file").contains("cannot do file"));
        assert!(get(&format!("http://{addr}/b"), Family::V6).unwrap_err().contains("no address"));
    }

    #[test]
    fn a_host_that_is_asked_again_is_asked_over_the_same_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..20 {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let http = Http::new().unwrap();
        for n in 0..20 {
            let url = format!("http://{addr}/announce?n={n}");
            let timeout = Duration::from_secs(60);
            let request = HttpRequest { request: RequestId(n), url, family: Family::V4, timeout };
            assert_eq!(runtime.block_on(http.get(&request)).unwrap().body, b"ok");
        }
        server.join().unwrap();
    }

    #[test]
    fn a_body_is_bounded_after_it_is_unpacked() {
        let exact = vec![b'x'; TRACKER_REPLY_LEN_MAX];
        let over = vec![b'x'; TRACKER_REPLY_LEN_MAX + 1];
        let addr = serve(move |path| match path {
            "/exact" => ok("", &exact),
            "/over" => ok("", &over),
            _ => ok("Content-Encoding: gzip\r\n", &stored_gzip(&over)),
        });
        assert_eq!(
            get(&format!("http://{addr}/exact"), Family::V4).unwrap().body.len(),
            TRACKER_REPLY_LEN_MAX
        );
        assert!(get(&format!("http://{addr}/over"), Family::V4).unwrap_err().contains("more than"));
        assert!(get(&format!("http://{addr}/gzip"), Family::V4).unwrap_err().contains("more than"));
    }

    /// Row 56 of the metainfo suite.
    #[test]
    fn a_tracker_on_the_link_is_refused_before_it_is_asked() {
        let refused = |url: &str| get(url, Family::V4).unwrap_err();
        assert!(refused("http://169.254.169.254/x?info_hash=").contains("may not name"));
        assert!(refused("http://0.0.0.0:80/announce").contains("may not name"));
        assert!(refused("http://239.192.152.143:6771/announce").contains("may not name"));
    }

    /// A gzip stream of stored blocks; its checksum is wrong, and never reached.
    fn stored_gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        let blocks: Vec<&[u8]> = bytes.chunks(65_535).collect();
        for (n, block) in blocks.iter().enumerate() {
            let len = u16::try_from(block.len()).unwrap();
            out.push(u8::from(n + 1 == blocks.len()));
            out.extend(len.to_le_bytes());
            out.extend((!len).to_le_bytes());
            out.extend_from_slice(block);
        }
        out.extend([0; 8]);
        out
    }
}
