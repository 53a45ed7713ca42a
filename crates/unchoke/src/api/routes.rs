//! The routes. What changes something answers 200 once the change is on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use unchoke_wire::{InfoHash, WireHash, limits, magnet};

use super::ApiError;
use super::error::json;
use super::guard::{Guard, HEALTH};
use super::model::{Add, Done, Move, Page, Remove, Select};
use crate::daemon::Torrents;

/// What requests work on.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) torrents: Torrents,
    pub(crate) guard: Guard,
    /// Raised by whoever wants the daemon to end.
    pub(crate) stop: Arc<AtomicBool>,
}

type Shared = State<Arc<Api>>;
type Reply = Result<Response, ApiError>;
type Body = Result<Bytes, BytesRejection>;

/// All routes, guarded.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let torrents = get(list).post(add).layer(DefaultBodyLimit::max(limits::METAINFO_LEN_MAX));
    Router::new()
        .route(HEALTH, get(health))
        .route("/api/v1/version", get(version))
        .route("/api/v1/budget", get(budget))
        .route("/api/v1/torrents", torrents)
        .route("/api/v1/torrents/{hash}", get(info).delete(remove))
        .route("/api/v1/torrents/{hash}/pause", post(pause))
        .route("/api/v1/torrents/{hash}/resume", post(resume))
        .route("/api/v1/torrents/{hash}/select", post(select))
        .route("/api/v1/torrents/{hash}/pieces", get(pieces))
        .route("/api/v1/torrents/{hash}/recheck", post(recheck))
        .route("/api/v1/stop", post(stop))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "no such route"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
        })
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(from_fn(timed))
        // copying to another disk takes the time it takes
        .route("/api/v1/torrents/{hash}/move", post(relocate).layer(DefaultBodyLimit::max(BODY_LEN_MAX)))
        .layer(from_fn_with_state(Arc::clone(&api), guarded))
        .with_state(api)
}

/// Ends what takes too long.
async fn timed(request: Request, next: Next) -> Response {
    let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "it took too long").into_response();
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(late)
}

/// Lets through what may pass.
async fn guarded(State(api): Shared, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut reply = match api.guard.check(&parts).and_then(|()| check_len(&parts.headers)) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => refused.into_response(),
    };
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

async fn health() -> Response {
    json(StatusCode::OK, &Done { ok: true })
}

async fn version(State(api): Shared) -> Response {
    json(StatusCode::OK, &api.torrents.version())
}

async fn budget(State(api): Shared) -> Reply {
    work(move || api.torrents.budget()).await
}

async fn list(State(api): Shared, page: Result<Query<Page>, QueryRejection>) -> Reply {
    let Query(page) = page.map_err(|e| ApiError::bad(e.body_text()))?;
    work(move || api.torrents.list(&page)).await
}

async fn add(
    State(api): Shared,
    query: Result<Query<Add>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    let body = read(body)?;
    if !is_of_type(&headers, "application/x-bittorrent")? {
        let add: Add = parse(&headers, &body)?;
        return work(move || api.torrents.add_named(&add)).await;
    }
    let Query(add) = query.map_err(|e| ApiError::bad(e.body_text()))?;
    work(move || api.torrents.add_bytes(&body, &add)).await
}

async fn info(State(api): Shared, Path(hash): Path<String>) -> Reply {
    let hash = torrent(&hash)?;
    work(move || api.torrents.info(hash)).await
}

async fn pause(State(api): Shared, Path(hash): Path<String>) -> Reply {
    let hash = torrent(&hash)?;
    work(move || api.torrents.pause(hash, true)).await
}

async fn resume(State(api): Shared, Path(hash): Path<String>) -> Reply {
    let hash = torrent(&hash)?;
    work(move || api.torrents.pause(hash, false)).await
}

async fn select(State(api): Shared, Path(hash): Path<String>, headers: HeaderMap, body: Body) -> Reply {
    let hash = torrent(&hash)?;
    let body = read(body)?;
    let Select { select } = parse(&headers, &body)?;
    work(move || api.torrents.select(hash, &select)).await
}

async fn relocate(State(api): Shared, Path(hash): Path<String>, headers: HeaderMap, body: Body) -> Reply {
    let hash = torrent(&hash)?;
    let body = read(body)?;
    let Move { dir } = parse(&headers, &body)?;
    work(move || api.torrents.relocate(hash, &dir)).await
}

async fn recheck(State(api): Shared, Path(hash): Path<String>) -> Reply {
    let hash = torrent(&hash)?;
    work(move || api.torrents.recheck(hash)).await
}

async fn pieces(State(api): Shared, Path(hash): Path<String>) -> Reply {
    let hash = torrent(&hash)?;
    work(move || api.torrents.pieces(hash)).await
}

async fn remove(
    State(api): Shared,
    Path(hash): Path<String>,
    query: Result<Query<Remove>, QueryRejection>,
) -> Reply {
    let hash = torrent(&hash)?;
    let Query(Remove { delete_data }) = query.map_err(|e| ApiError::bad(e.body_text()))?;
    work(move || api.torrents.remove(hash, delete_data)).await
}

async fn stop(State(api): Shared) -> Response {
    api.stop.store(true, Ordering::Relaxed);
    json(StatusCode::OK, &Done { ok: true })
}

/// Runs what may wait for the disk on a thread of its own.
async fn work<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Reply {
    let done = tokio::task::spawn_blocking(move || work().map(|value| json(StatusCode::OK, &value)));
    let lost = |_| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "a thread of the daemon failed");
    done.await.map_err(lost)?
}

/// The hash in a path.
fn torrent(text: &str) -> Result<WireHash, ApiError> {
    magnet::parse_hex_hash(text).map(|hash: InfoHash| hash.wire()).ok_or_else(ApiError::no_torrent)
}

fn read(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
        }
        _ => ApiError::bad("the body cannot be read"),
    })
}

/// A body that says it is larger than any may be is refused before it is waited for.
fn check_len(headers: &HeaderMap) -> Result<(), ApiError> {
    let len = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    match len.is_none_or(|len: usize| len <= limits::METAINFO_LEN_MAX) {
        true => Ok(()),
        false => Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
    }
}

/// Whether a body is of a type. Packed ones are none that is taken.
fn is_of_type(headers: &HeaderMap, wanted: &str) -> Result<bool, ApiError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body may not be packed"));
    }
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    Ok(essence.eq_ignore_ascii_case(wanted))
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    if !is_of_type(headers, "application/json")? {
        let why =
            "the content type must be application/json, or application/x-bittorrent for a .torrent file";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    serde_json::from_slice(body).map_err(|e| ApiError::bad(format!("the body is not what is asked for: {e}")))
}

/// The longest body, but for torrents.
const BODY_LEN_MAX: usize = 1 << 20;
/// The longest a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
