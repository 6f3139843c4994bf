//! An HTTP service with shadow fields on two types of other crates: the sockets of tokio, and the requests of axum.
//!
//! `cargo run --release -p service`
//!
//! A shop asks a warehouse for prices. The program starts the warehouse and the shop, sends requests to the shop,
//! checks the answers, and ends.
//!
//! - `socket.rs` counts the bytes of each socket.
//! - `warehouse.rs` connects each socket to the warehouse: an async initialiser, and an async destructor.
//! - `request_log.rs` writes one line for each request, after the last task that takes notes.
//! - `debug.rs` shows the report of the fields, as a page and as JSON.
//! - `shop.rs` has the handlers of the other pages.
//! - `client.rs` and `http.rs` are the clients.
//! - `other_machine.rs` plays the warehouse.
//!
//! The program exits with an error if an answer is wrong, or if a field is left at the end.
#![forbid(unsafe_code)]

mod client;
mod debug;
mod http;
mod other_machine;
mod request_log;
mod shop;
mod socket;
mod warehouse;

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Router, middleware};
use shadow_runtime::registry;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use request_log::Log;
use socket::{Socket, Sockets};
use warehouse::Address;

/// The program gives up after this time. A run takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    // A service sweeps in the background. Without the guard, a request would drop the fields of other, closed sockets.
    let sweep = registry().sweep_in_background(Duration::from_millis(50))?;

    let runtime = Runtime::new()?;
    runtime.block_on(async { timeout(PATIENCE, run()).await? })?;
    drop(runtime); // ends all tasks, so the last sockets close
    drop(sweep);

    // The fields of the last sockets.
    registry().sweep();
    println!("\nThe service has ended, and no field is left:\n\n{}", registry().report());
    assert!(registry().report().iter().all(|row| row.live() == 0));
    Ok(())
}

/// Starts the warehouse and the shop, and ends the shop after the visit of the clients.
async fn run() -> Result<(), Box<dyn Error>> {
    let warehouse = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let shop = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (warehouse_address, shop_address) = (warehouse.local_addr()?, shop.local_addr()?);
    let (log, lines) = mpsc::unbounded_channel();
    let (goodbye, goodbyes) = mpsc::unbounded_channel();
    let (end, has_ended) = oneshot::channel();

    tokio::spawn(other_machine::run(warehouse, goodbye));
    let service = router(Address(warehouse_address), Log(log)).into_make_service_with_connect_info::<Socket>();
    let server = axum::serve(Sockets(shop), service).with_graceful_shutdown(async { has_ended.await.unwrap_or(()) });
    let server = tokio::spawn(server.into_future());

    client::visit(shop_address, lines, goodbyes).await?;
    end.send(()).map_err(|()| "the server ended before the client")?;
    server.await??;
    Ok(())
}

fn router(warehouse: Address, log: Log) -> Router {
    Router::new()
        .route("/price/{item}", get(shop::price))
        .route("/order/{item}", post(shop::order))
        .route("/sockets", get(shop::sockets))
        .route("/debug/shadow", get(debug::page))
        .route("/debug/shadow.json", get(debug::json))
        .with_state(warehouse)
        .layer(middleware::from_fn_with_state(log, request_log::begin))
}
