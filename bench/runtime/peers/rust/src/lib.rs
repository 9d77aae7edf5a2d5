//! What the peers in Rust share.
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

const LISTEN_BACKLOG: i32 = 4096;

/// Linux hands TCP_NODELAY on to accepted sockets.
pub fn listen_on(port: u16) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nodelay(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

pub fn port_argument() -> u16 {
    std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("usage: PROGRAM PORT")
}

/// Anonymous and shared memory in use, in bytes.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let kib = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).expect("a field of status");
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
    };
    1024 * (kib("RssAnon:") + kib("RssShmem:"))
}
