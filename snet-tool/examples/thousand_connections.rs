// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tokio server and its clients with a thousand connections at once, over several threads. Says how many of the clients
//! got back what they had sent. Tests run it supervised.

use std::error::Error;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const CONNECTIONS: u32 = 1000;

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let number = stream.read_u32().await?;
    stream.write_u32(number).await
}

/// Sends when all are connected.
async fn talk(port: u16, number: u32, all: Arc<Barrier>) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    all.wait().await;
    stream.write_u32(number).await?;
    Ok(stream.read_u32().await? == number)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(2 * CONNECTIONS)?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let all = Arc::new(Barrier::new(CONNECTIONS as usize));
    let mut clients: JoinSet<_> =
        (0..CONNECTIONS).map(|number| talk(port, number, Arc::clone(&all))).collect();
    let mut right = 0;
    while let Some(ended) = clients.join_next().await {
        right += u32::from(ended??);
    }
    println!("{right}");
    Ok(())
}
