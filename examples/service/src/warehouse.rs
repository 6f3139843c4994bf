//! The connection of a socket to the warehouse.
//!
//! In: the first request of a socket that needs the warehouse. Out: answers to questions. Neighbours: `shop.rs`, which
//! asks; `other_machine.rs`, which answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use shadow_runtime::{ArcRef, shadow};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell};

shadow! {
    trait WarehouseFields for Arc<TcpStream> {
        /// An initialiser of a field does not await. So the field holds a cell, and a task fills the cell.
        get_or_attach warehouse_cell: OnceCell<Warehouse>;
    }
}

/// The address of the warehouse.
#[derive(Clone, Copy)]
pub(crate) struct Address(pub(crate) SocketAddr);

/// A connection to the warehouse.
pub(crate) struct Warehouse {
    stream: Arc<Mutex<BufStream<TcpStream>>>,
    runtime: Handle,
}

/// The warehouse of a socket. If several tasks ask at once, one task connects, and the others wait without blocking
/// their threads. After an error, the next task connects.
pub(crate) async fn warehouse(socket: &Arc<TcpStream>, address: Address) -> io::Result<&Warehouse> {
    socket.warehouse_cell().get_or_try_init(|| Warehouse::connect(address)).await
}

/// As [`warehouse`], for a task that outlives the request. Keeps the socket open.
pub(crate) async fn owned_warehouse(
    socket: Arc<TcpStream>,
    address: Address,
) -> io::Result<ArcRef<TcpStream, Warehouse>> {
    warehouse(&socket, address).await?;
    Ok(ArcRef::new(socket, |socket| socket.warehouse_cell().get().expect("the cell is full")))
}

impl Warehouse {
    async fn connect(Address(address): Address) -> io::Result<Self> {
        let mut stream = BufStream::new(TcpStream::connect(address).await?);
        let mut greeting = String::new();
        stream.read_line(&mut greeting).await?;
        if greeting != "welcome\n" {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the warehouse is closed"));
        }
        Ok(Self { stream: Arc::new(Mutex::new(stream)), runtime: Handle::current() })
    }

    /// Sends a line, and receives a line. A broken connection stays broken: a new socket makes a new connection.
    ///
    /// The exchange is a task of its own: axum cancels the handler of a client that leaves, and a cancelled exchange
    /// would leave an answer behind.
    pub(crate) async fn ask(&self, question: String) -> io::Result<String> {
        if question.contains('\n') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the question is more than a line"));
        }
        let stream = Arc::clone(&self.stream);
        tokio::spawn(async move { exchange(&mut *stream.lock().await, &question).await }).await?
    }
}

async fn exchange(stream: &mut BufStream<TcpStream>, question: &str) -> io::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    let answer = answer.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(answer.to_owned())
}

/// Runs on the thread of the background sweep. The thread does not belong to the runtime, so the destructor needs the
/// handle.
impl Drop for Warehouse {
    fn drop(&mut self) {
        let stream = Arc::clone(&self.stream);
        self.runtime.spawn(async move {
            let mut stream = stream.lock().await;
            stream.write_all(b"bye\n").await?;
            stream.flush().await
        });
    }
}
