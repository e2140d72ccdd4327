//! Whether the process lives, and whether it can work.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode};

use super::Face;

/// A database that takes longer than this to answer is none to send requests to.
const PATIENCE: Duration = Duration::from_secs(1);

/// `GET /healthz`: the process answers. It says nothing of the database, so that an outage there restarts nobody.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: the database answers and has every step of the schema, and the server is not about to end.
pub async fn ready(State(face): State<Arc<Face>>) -> (StatusCode, &'static str) {
    if face.leaving.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: this server is about to end\n");
    }
    match tokio::time::timeout(PATIENCE, face.app.db.is_ready()).await {
        Ok(true) => (StatusCode::OK, "ready\n"),
        Ok(false) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database can't be reached or is not migrated\n")
        }
    }
}
