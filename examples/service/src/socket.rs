//! The sockets of the service: each socket is an `Arc<TcpStream>`, with fields for the client and for the bytes.
//!
//! In: a listener of tokio. Out: sockets that axum reads and writes. Neighbour: `warehouse.rs` adds a further field to
//! the same sockets, and neither file knows the fields of the other file.
//!
//! tokio defines `TcpStream`, so no service can add members. All clones of an `Arc` share the fields. The last clone
//! closes the socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use shadow_runtime::shadow;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

shadow! {
    /// The fields of each socket.
    pub(crate) trait SocketFields for Arc<TcpStream> {
        /// The address of the client.
        attach client: SocketAddr;
        /// The number of bytes from the client.
        get_or_attach received: AtomicUsize;
        /// The number of bytes to the client.
        get_or_attach sent: AtomicUsize;
    }
}

/// A socket. The newtype is necessary, since the traits of axum and tokio are foreign, too.
#[derive(Clone)]
pub(crate) struct Socket(pub(crate) Arc<TcpStream>);

/// Accepts sockets for axum.
pub(crate) struct Sockets(pub(crate) TcpListener);

impl Listener for Sockets {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let socket = Arc::new(stream);
        socket.attach_client(address).expect("a new socket has no fields");
        (Socket(socket), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Each handler can ask axum for the socket of the request.
impl Connected<IncomingStream<'_, Sockets>> for Socket {
    fn connect_info(incoming: IncomingStream<'_, Sockets>) -> Self {
        incoming.io().clone()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = &self.0;
        let read = || socket.try_read(buffer.initialize_unfilled());
        let count = ready!(retry(|| socket.poll_read_ready(context), read))?;
        buffer.advance(count);
        socket.received().fetch_add(count, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = &self.0;
        let count = ready!(retry(|| socket.poll_write_ready(context), || socket.try_write(bytes)))?;
        socket.sent().fetch_add(count, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    /// A socket has no buffer.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The last `Arc` closes the socket.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Calls `attempt` as soon as the socket is ready. If the socket is not ready after all, waits again.
fn retry(
    mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(poll_ready())?;
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}
