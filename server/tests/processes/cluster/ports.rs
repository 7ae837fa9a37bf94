//! Free local ports that stay ours while their process is down.
//!
//! Ports below the ephemeral range, so that no outgoing connection can take one between a kill and a restart. A port is
//! reserved for the life of this test process by an abstract Unix socket of its name: two test processes on one machine
//! never choose the same, nothing is written to disk, and the kernel gives the name back when the process ends.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

const FIRST_PORT: u16 = 21_000;
const LAST_PORT: u16 = 31_999;

static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// `127.0.0.1:port` with a port that nobody listens on and that no other test process will choose.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The port of [`free_address`].
pub fn free_port() -> u16 {
    let mut reserved = RESERVED.lock().expect("invariant: no panic while the list of ports is held");
    for port in FIRST_PORT..=LAST_PORT {
        let name = SocketAddr::from_abstract_name(format!("tinykv-test-port-{port}"))
            .expect("invariant: a short abstract name is valid");
        let Ok(lock) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            reserved.push(lock);
            return port;
        }
    }
    panic!("no free port between {FIRST_PORT} and {LAST_PORT}");
}
