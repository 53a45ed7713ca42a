//! Where an API is: a socket in the file system, or a port of this machine.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ApiAddr {
    /// A socket that only its owner can open.
    Unix(PathBuf),
    /// A port on loopback.
    Tcp(SocketAddr),
}

impl FromStr for ApiAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err("unix: needs a path".to_owned()),
                false => Ok(ApiAddr::Unix(PathBuf::from(path))),
            };
        }
        let addr = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let addr: SocketAddr = addr.parse().map_err(|_| format!("'{text}' is not unix:PATH or IP:PORT"))?;
        match addr.ip().to_canonical().is_loopback() {
            true => Ok(ApiAddr::Tcp(addr)),
            false => Err(format!(
                "{} can be reached from other machines; use a loopback address such as 127.0.0.1, or unix:PATH",
                addr.ip()
            )),
        }
    }
}

impl fmt::Display for ApiAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiAddr::Unix(path) => write!(f, "unix:{}", path.display()),
            ApiAddr::Tcp(addr) => write!(f, "http://{addr}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_on_a_socket_or_on_loopback() {
        for (text, shown) in [
            ("unix:/run/u.sock", "unix:/run/u.sock"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("127.1.2.3:1", "http://127.1.2.3:1"),
            ("[::1]:7070", "http://[::1]:7070"),
        ] {
            assert_eq!(text.parse::<ApiAddr>().map(|a| a.to_string()), Ok(shown.to_owned()));
        }
        for text in ["0.0.0.0:7070", "[::]:7070", "192.168.1.2:7070", "1.2.3.4:7070"] {
            assert!(text.parse::<ApiAddr>().unwrap_err().contains("reached from other machines"), "{text}");
        }
        for text in ["", "unix:", "localhost:7070", "127.0.0.1", "/run/u.sock"] {
            assert!(text.parse::<ApiAddr>().is_err(), "{text}");
        }
    }
}
