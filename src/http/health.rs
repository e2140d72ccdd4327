//! Whether the process lives, and whether it can work.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::Face;

/// `GET /healthz`: the process answers. It says nothing of the database, so that an outage there restarts nobody.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: the database answers within a second and has every step of the schema, and the server is not about to end. A server that is busy is
/// ready: it refuses what is too much.
pub async fn ready(State(face): State<Arc<Face>>) -> (StatusCode, &'static str) {
    if face.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: this server is about to end\n");
    }
    match face.app.db.is_ready().await {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database can't be reached or is not migrated\n"),
    }
}
