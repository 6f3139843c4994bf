//! Plays the warehouse, a server on another machine. The service knows nothing of this file.
//!
//! In: a listener. Out: answers to questions, and the number of each connection that says goodbye. Neighbour:
//! `client.rs`, which waits for the goodbyes.
//!
//! The protocol: the warehouse sends `welcome`, each question is a line, and each answer is a line. A client says `bye`
//! before the end of a connection. The warehouse refuses the first connection, so that the service meets an error.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;

pub(crate) async fn run(listener: TcpListener, goodbye: UnboundedSender<usize>) -> io::Result<()> {
    let (refused, _) = listener.accept().await?;
    drop(refused);
    for number in 1.. {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, number, goodbye.clone()));
    }
    Ok(())
}

async fn serve(stream: TcpStream, number: usize, goodbye: UnboundedSender<usize>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let reserved = format!("reserved by connection {number}");
    stream.write_all(b"welcome\n").await?;
    loop {
        let mut question = String::new();
        stream.read_line(&mut question).await?;
        let answer = match question.split_whitespace().next() {
            Some("price") => "3",
            Some("stock") => "120",
            Some("order") => &reserved,
            Some("bye") => return goodbye.send(number).map_err(io::Error::other),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}
