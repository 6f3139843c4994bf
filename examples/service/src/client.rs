//! The clients of the shop: visit the shop, check the answers, and print a story.
//!
//! In: the address of the shop, the lines of the log, and the goodbyes to the warehouse. Out: a story on standard
//! output. Neighbours: `main.rs`, which starts the visit; `http.rs`, the connection of a client.

use std::error::Error;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::http::Connection;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) async fn visit(
    shop: SocketAddr,
    mut lines: UnboundedReceiver<String>,
    mut goodbyes: UnboundedReceiver<usize>,
) -> Result<()> {
    let mut alice = Connection::open("Alice", shop).await?;
    let mut bob = Connection::open("Bob", shop).await?;

    println!("Each socket connects to the warehouse, at its first question. The first connection is refused:");
    prices(&mut alice, &mut bob, &mut lines).await?;

    println!("\nAn order goes on after the answer. The line of the log is complete after the last task:");
    order(&mut bob, &mut lines).await?;

    println!("\nEach socket counts its bytes, received and sent:");
    bytes(&mut alice).await?;
    bytes(&mut bob).await?;

    println!("\nAlice and Bob leave. The background sweep ends their connections to the warehouse:");
    drop((alice, bob));
    goodbye(&mut goodbyes).await?;

    println!("\nThe report of all fields is a page, and JSON:");
    report(&mut Connection::open("Carol", shop).await?).await
}

/// Two clients ask for a price. Alice meets an error, and asks again.
async fn prices(alice: &mut Connection, bob: &mut Connection, lines: &mut UnboundedReceiver<String>) -> Result<()> {
    let error = alice.ask("GET /price/apple").await?;
    assert_eq!(error.status, 503);
    assert_eq!(lines.recv().await.as_deref(), Some("GET /price/apple, the warehouse is closed"));

    for client in [alice, bob] {
        let price = client.ask("GET /price/apple").await?;
        assert_eq!((price.status, price.body.as_str()), (200, "apple: 3 euros, 120 in stock"));
        assert_eq!(lines.recv().await.as_deref(), Some("GET /price/apple"));
        println!("    {}", price.body);
    }
    Ok(())
}

async fn order(bob: &mut Connection, lines: &mut UnboundedReceiver<String>) -> Result<()> {
    let answer = bob.ask("POST /order/pear").await?;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ordered"));
    let line = lines.recv().await.ok_or("the log has ended")?;
    // The second connection of all, since both questions of a price share a connection.
    assert_eq!(line, "POST /order/pear, answered, reserved by connection 2");
    println!("    the log: {line}");
    Ok(())
}

/// The service and the client have counted the same bytes.
async fn bytes(client: &mut Connection) -> Result<()> {
    let received_before = client.received;
    let sockets = client.ask("GET /sockets").await?;
    let expected = format!("{} {} {received_before}", client.address()?, client.sent);
    assert!(sockets.body.lines().any(|line| line == expected), "{expected} is not in\n{}", sockets.body);
    println!("    {expected}");
    Ok(())
}

/// The destructors of the fields say goodbye, in any order.
async fn goodbye(goodbyes: &mut UnboundedReceiver<usize>) -> Result<()> {
    let mut numbers = [0; 2];
    for number in &mut numbers {
        *number = goodbyes.recv().await.ok_or("the warehouse has ended")?;
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    println!("    the warehouse: goodbye to the connections {numbers:?}");
    Ok(())
}

/// The report as a page, and as JSON.
async fn report(carol: &mut Connection) -> Result<()> {
    let page = carol.ask("GET /debug/shadow").await?;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.body.contains("OnceCell&lt;Warehouse&gt;"), "{}", page.body);

    let json = carol.ask("GET /debug/shadow.json").await?;
    assert_eq!((json.status, json.content_type.as_str()), (200, "application/json"));
    let rows: Vec<Value> = serde_json::from_str(&json.body)?;
    for (field, attached) in [("client", 3), ("warehouse_cell", 2), ("line", 8)] {
        let row = rows.iter().find(|row| row["field"] == field).ok_or("a field is missing")?;
        assert_eq!(row["attached"], attached, "{row}");
        println!("    {} of {} has been attached {attached} times", row["field"], row["host"]);
    }
    Ok(())
}
