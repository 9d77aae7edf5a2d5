//! 64-byte echo on tokio-uring: a task a connection, the buffer moves into each operation and back.
use tokio_uring::buf::IoBuf;
use tokio_uring::net::{TcpListener, TcpStream};

async fn echo(stream: TcpStream) {
    let mut buffer = vec![0u8; 4096];
    loop {
        let (read, back) = stream.read(buffer).await;
        buffer = back;
        let count = match read {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        let mut sent = 0;
        while sent < count {
            let (wrote, back) = stream.write(buffer.slice(sent..count)).await;
            buffer = back.into_inner();
            match wrote {
                Ok(part) => sent += part,
                Err(_) => return,
            }
        }
    }
}

fn main() -> std::io::Result<()> {
    let port = peers::port_argument();
    tokio_uring::builder()
        .entries(4096)
        .uring_builder(tokio_uring::uring_builder().setup_cqsize(32768).setup_coop_taskrun())
        .start(async move {
            let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port).into())?;
            println!("ready");
            loop {
                let (stream, _) = listener.accept().await?;
                tokio_uring::spawn(echo(stream));
            }
        })
}
