//! The listener: a few small pages, for few at once and not for long.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::prometheus_text;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{MetricsError, Monitor};

/// How many are served at once; more wait.
const CONNECTIONS: usize = 16;
/// For a connection from its beginning to its end: one request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest request, up to its body, which nobody reads.
const MAX_REQUEST: usize = 8_192;
const MAX_HEADERS: usize = 64;
/// Before another attempt when there is no descriptor to accept with.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

/// Listens there, or with what is listening there already.
pub(crate) async fn bind(
    address: SocketAddr,
    passed: Option<std::net::TcpListener>,
) -> Result<TcpListener, MetricsError> {
    let bound = match passed {
        Some(socket) => TcpListener::from_std(socket),
        None => TcpListener::bind(address).await,
    };
    bound.map_err(|source| MetricsError { address, source })
}

/// Serves whoever asks, for ever.
pub(crate) async fn serve(monitor: &Arc<Monitor>, listener: &TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    let monitor = monitor.clone();
                    connections.spawn(async move {
                        if let Err(error) = converse(&monitor, stream).await {
                            monitor.cut_off.inc();
                            tracing::debug!(%remote, %error, "cut off who asked for metrics");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "can't accept who asks for metrics");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

async fn converse(
    monitor: &Arc<Monitor>,
    stream: TcpStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(monitor, &request).await) });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    Ok(timeout(PATIENCE, connection).await??)
}

async fn answer(monitor: &Arc<Monitor>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let pages = ["/metrics", "/healthz", "/readyz"];
    let path = request.uri().path();
    if !pages.contains(&path) {
        return page(StatusCode::NOT_FOUND, format!("there are {}\n", pages.join(", ")));
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    monitor.scrapes.inc();
    match path {
        // Whoever asks for figures of a machine that is stuck would be stuck as well.
        "/metrics" if monitor.is_alive() => metrics(monitor).await,
        "/readyz" => match monitor.readiness() {
            Ok(()) => page(StatusCode::OK, "ready\n"),
            Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ if monitor.is_alive() => page(StatusCode::OK, "alive\n"),
        _ => page(StatusCode::SERVICE_UNAVAILABLE, "the registry doesn't answer\n"),
    }
}

async fn metrics(monitor: &Arc<Monitor>) -> Response<Full<Bytes>> {
    let monitor = monitor.clone();
    // The store is looked at, which may have to wait for the disk.
    match spawn_blocking(move || monitor.metrics()).await {
        Ok(Ok(text)) => {
            let mut found = page(StatusCode::OK, text);
            let kind = hyper::header::HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
            found.headers_mut().insert(CONTENT_TYPE, kind);
            found
        }
        failed => {
            tracing::error!(?failed, "the metrics can't be told");
            page(StatusCode::INTERNAL_SERVER_ERROR, "the metrics can't be told\n")
        }
    }
}

fn page(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(TEXT));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
