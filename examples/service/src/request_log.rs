//! The log of requests: one line for each request, with the notes of all tasks of the request.
//!
//! In: a request. Out: a line, after the last task with notes. Neighbours: `main.rs`, with the layer around all
//! handlers; `shop.rs`, with handlers and tasks that take notes.
//!
//! The `http` crate defines the head of a request, `Parts`. axum owns the request, so the host is a copy of the head,
//! and the handler shares the copy with tasks. A sweep would write the line some time later. So the host is an
//! `Arc<Shadowed<Parts>>`: the last `Arc` drops the fields.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use shadow_runtime::{ArcRef, Shadowed, shadow};
use tokio::sync::mpsc::UnboundedSender;

shadow! {
    trait RequestFields for Shadowed<Parts> {
        /// The line about the request.
        attach line: Line;
    }
}

/// Takes complete lines.
#[derive(Clone)]
pub(crate) struct Log(pub(crate) UnboundedSender<String>);

/// A line that is not complete yet.
struct Line {
    text: Mutex<String>,
    log: Log,
}

/// The line is complete.
impl Drop for Line {
    fn drop(&mut self) {
        let text = self.text.get_mut().unwrap_or_else(PoisonError::into_inner);
        // At the end of the program, the receiver may be gone.
        let _ = self.log.0.send(std::mem::take(text));
    }
}

/// The layer around all handlers: attaches a line to the request, and calls the handler.
pub(crate) async fn begin(State(log): State<Log>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let line = Line { text: Mutex::new(format!("{} {}", parts.method, parts.uri)), log };
    let mut head = parts.clone();
    head.extensions.clear(); // the socket: a task that takes notes does not keep the socket open
    let head = Arc::new(Shadowed::new(head));
    head.attach_line(line).expect("a new head has no fields");
    parts.extensions.insert(head);
    next.run(Request::from_parts(parts, body)).await
}

/// The extractor of a handler with notes. Has no borrow, so a task can own the `Notes`.
pub(crate) struct Notes(ArcRef<Shadowed<Parts>, Line>);

impl Notes {
    pub(crate) fn add(&self, note: &str) {
        let mut text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(", ");
        text.push_str(note);
    }
}

impl<S: Sync> FromRequestParts<S> for Notes {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let head = parts.extensions.get::<Arc<Shadowed<Parts>>>().cloned();
        let line = head.and_then(|head| ArcRef::find(head, |head| head.line()));
        line.map(Self).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
