//! Takes connections and serves what comes over them, with bounds on both.
//!
//! A connection beyond the most is not closed but left waiting where the machine keeps it: it costs nothing there, and gets its turn as soon as
//! another one ends, while one that is closed comes back at once. Whoever says nothing for the time that headers may take is cut off, so that
//! places do get free.

use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::connection::Connection;
use crate::config::Traffic;

/// The longest head of a request, in bytes: its first line and its headers.
const MOST_HEAD_BYTES: usize = 32 * 1024;
/// What is kept of a connection's bytes at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long to wait where the machine gives no more connections: it has none, and asking at once again finds none either.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until `stop`. What is served until then comes to its end: each connection is one of the `tasks`.
pub fn serve(listener: TcpListener, routes: Router, traffic: &Traffic, stop: &CancellationToken, tasks: &TaskTracker) {
    let door = Door {
        routes,
        http: http(traffic.header_timeout),
        places: Arc::new(Semaphore::new(traffic.max_connections)),
        stop: stop.clone(),
        tasks: tasks.clone(),
    };
    tasks.spawn(async move {
        tokio::select! {
            () = door.take_connections(&listener) => {}
            () = door.stop.cancelled() => {}
        }
    });
}

fn http(header_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    http.max_header_size(MOST_HEAD_BYTES).max_buf_size(BUFFER_BYTES);
    http
}

struct Door {
    routes: Router,
    http: http1::Builder,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Door {
    async fn take_connections(&self, listener: &TcpListener) {
        let mut is_full = false;
        // Never closed: it ends with the loop.
        while let Ok(place) = self.place(&mut is_full).await {
            let (stream, peer) = accept(listener).await;
            let connection = Connection::new(stream, place);
            self.tasks.spawn(serve_one(self.http.clone(), connection, peer, self.routes.clone(), self.stop.clone()));
        }
    }

    /// A place for one more connection, once there is one.
    async fn place(&self, is_full: &mut bool) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            // Told again only once there was more than a single place free in between.
            *is_full &= self.places.available_permits() == 0;
            return Ok(place);
        }
        if !*is_full {
            tracing::warn!("as many connections are open as may be (ORDERPAY_MAX_CONNECTIONS); further ones wait");
            *is_full = true;
        }
        Arc::clone(&self.places).acquire_owned().await
    }
}

/// The next connection, whatever becomes of those before it.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // It was gone before it was taken.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_the_clients(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// Serves one connection to its end. After a stop it ends with the request that runs.
async fn serve_one(
    http: http1::Builder,
    connection: Connection,
    peer: SocketAddr,
    routes: Router,
    stop: CancellationToken,
) {
    let answer = service_fn(move |request: Request<Incoming>| answer(routes.clone(), peer, request));
    let mut served = pin!(http.serve_connection(TokioIo::new(connection), answer).with_upgrades());
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A request whose length is told by chunks may have told another length as well, which hyper has dropped by now. Whoever passed it on may have
/// gone by the other one, and what follows may be part of it: nothing that follows on this connection is read (RFC 9112, section 6.1).
async fn answer(
    mut routes: Router,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<axum::body::Body>, std::convert::Infallible> {
    let is_last = request.headers().contains_key(header::TRANSFER_ENCODING);
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut answer = routes.call(request).await?;
    if is_last {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer)
}
