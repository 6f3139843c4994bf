//! A client's connection by HTTP/1.1.
//!
//! In: a method and a path. Out: the answer. Neighbour: `client.rs`. The code writes requests and reads answers by
//! hand, and so knows the number of bytes.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Connection {
    name: &'static str,
    stream: BufReader<TcpStream>,
    /// Bytes so far.
    pub(crate) sent: usize,
    pub(crate) received: usize,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) async fn open(name: &'static str, server: SocketAddr) -> io::Result<Self> {
        let stream = BufReader::new(TcpStream::connect(server).await?);
        Ok(Self { name, stream, sent: 0, received: 0 })
    }

    /// The address of this end.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Sends a request without a body, such as `GET /`, reads the answer, and prints a line.
    pub(crate) async fn ask(&mut self, request: &str) -> io::Result<Answer> {
        let head = format!("{request} HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        self.sent += head.len();

        let first = self.line().await?; // HTTP/1.1 200 OK
        let status =
            first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let (content_type, length) = self.headers().await?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        self.received += length;

        println!("  {}: {request} → {status}", self.name);
        Ok(Answer { status, content_type, body: String::from_utf8(body).map_err(io::Error::other)? })
    }

    /// The two headers that the client needs: the type and the length of the content.
    async fn headers(&mut self) -> io::Result<(String, usize)> {
        let (mut content_type, mut length) = (String::new(), 0);
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("content-type", value)) => content_type = String::from(value),
                Some(("content-length", value)) => length = value.parse().map_err(io::Error::other)?,
                Some(_) => {}
                None => return Ok((content_type, length)), // the empty line after the headers
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.received += self.stream.read_line(&mut line).await?;
        Ok(line.trim_end().to_owned())
    }
}
