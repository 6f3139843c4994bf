//! The report of all fields of the process, as a page and as JSON.
//!
//! In: the registry's report. Out: answers to `/debug/shadow` and `/debug/shadow.json`. Neighbour: `main.rs`, which has
//! the routes. A public service protects such routes.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use axum::response::Html;
use shadow_runtime::registry;

/// The printed table, 140 columns wide.
pub(crate) async fn page() -> Html<String> {
    let table = format!("{:140}", registry().report());
    Html(format!("<!DOCTYPE html>\n<title>Shadow fields</title>\n<pre>\n{}</pre>\n", escape(&table)))
}

/// An array with an object for each field, by the feature `serde` of `shadow-runtime`.
pub(crate) async fn json() -> Result<([(HeaderName, &'static str); 1], String), StatusCode> {
    let text = serde_json::to_string(&registry().report()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, "application/json")], text))
}

/// The name of a type may contain `<`, `>` and `&`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
