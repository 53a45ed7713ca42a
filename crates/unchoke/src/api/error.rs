//! What the API says when it cannot do it: a status and one line.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use unchoke_runtime::SessionError;
use unchoke_runtime::storage::{ErrorKind, StateError};
use unchoke_wire::WireHash;

use super::model::Failure;
use crate::errors::{one_line, without_number};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) failure: Failure,
}

impl ApiError {
    /// A status and what is wrong, in one line.
    pub(crate) fn new(status: StatusCode, error: impl AsRef<str>) -> Self {
        ApiError { status, failure: Failure { error: one_line(error.as_ref()), hash: None } }
    }

    /// The request itself is wrong.
    pub(crate) fn bad(error: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such torrent.
    pub(crate) fn no_torrent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no such torrent")
    }

    /// The torrent is there already.
    pub(crate) fn exists(hash: WireHash) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, format!("the torrent {hash} is there already"));
        error.failure.hash = Some(hash.to_string());
        error
    }

    /// The status that fits what the session says.
    pub(crate) fn of(error: &SessionError) -> Self {
        let status = match error {
            SessionError::Duplicate(hash) => return Self::exists(*hash),
            SessionError::Gone => return Self::no_torrent(),
            SessionError::NoInfoHash
            | SessionError::Metainfo(_)
            | SessionError::Selection { .. }
            | SessionError::MissingFolder(_) => StatusCode::BAD_REQUEST,
            SessionError::NotSaved(why) if why.is_disk_full => StatusCode::INSUFFICIENT_STORAGE,
            SessionError::State(StateError::Storage(e)) if e.kind.is_full() => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            SessionError::Storage(e) if e.kind == ErrorKind::Exists => StatusCode::CONFLICT,
            SessionError::Occupied | SessionError::NoMetadata => StatusCode::CONFLICT,
            SessionError::Fetch { .. } => StatusCode::BAD_GATEWAY,
            SessionError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            SessionError::Storage(e) if e.kind.is_full() => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, without_number(&error.to_string()))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &self.failure);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A reply of one JSON value.
pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("strings, numbers and lists of them are JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
