//! The handlers of the shop.
//!
//! In: requests. Out: texts. Neighbours: `socket.rs`, `warehouse.rs` and `request_log.rs`, whose fields the handlers
//! use.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use shadow_runtime::registry;
use tokio::net::TcpStream;

use crate::request_log::Notes;
use crate::socket::{Socket, SocketFields};
use crate::warehouse::{Address, owned_warehouse, warehouse};

/// Asks two questions at once. Both share the connection of the socket to the warehouse.
pub(crate) async fn price(
    ConnectInfo(Socket(socket)): ConnectInfo<Socket>,
    State(address): State<Address>,
    Path(item): Path<String>,
    notes: Notes,
) -> Result<String, StatusCode> {
    let ask = async |what| warehouse(&socket, address).await?.ask(format!("{what} {item}")).await;
    let (price, stock) = tokio::join!(ask("price"), ask("stock"));
    let unavailable = |error| unavailable(&notes, &error);
    Ok(format!("{item}: {} euros, {} in stock", price.map_err(unavailable)?, stock.map_err(unavailable)?))
}

/// Answers as soon as the warehouse is reachable. A task waits for the warehouse, and outlives the request.
pub(crate) async fn order(
    ConnectInfo(Socket(socket)): ConnectInfo<Socket>,
    State(address): State<Address>,
    Path(item): Path<String>,
    notes: Notes,
) -> Result<&'static str, StatusCode> {
    let warehouse = owned_warehouse(socket, address).await.map_err(|error| unavailable(&notes, &error))?;
    notes.add("answered");
    tokio::spawn(async move {
        let answer = warehouse.ask(format!("order {item}")).await;
        drop(warehouse); // and with it the task's `Arc` of the socket
        notes.add(&answer.unwrap_or_else(|error| error.to_string()));
    });
    Ok("ordered")
}

fn unavailable(notes: &Notes, error: &io::Error) -> StatusCode {
    notes.add(&error.to_string());
    StatusCode::SERVICE_UNAVAILABLE
}

/// A line for each open socket. The registry finds the sockets, so the service needs no list of its own.
pub(crate) async fn sockets() -> String {
    let line = |socket: Arc<TcpStream>| {
        let count = |bytes: &AtomicUsize| bytes.load(Ordering::Relaxed);
        Some(format!("{} {} {}\n", socket.client()?, count(socket.received()), count(socket.sent())))
    };
    registry().hosts::<TcpStream>().filter_map(line).collect()
}
