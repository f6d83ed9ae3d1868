//! A model in stateright's explorer, in a browser, offline.

use crate::check::Subject;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Whether the explorer could listen there; if not, why not, in a line.
pub fn reserve(address: SocketAddr) -> Result<SocketAddr, String> {
    // The explorer panics when it cannot listen, and a user is owed a sentence instead.
    let listener = TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; name another address"))?;
    listener.local_addr().map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Serves the explorer of a model until the process is ended. `whole`: its states are few enough to
/// search them all at once, so that every example and counterexample is a click away.
pub fn serve<M: Subject>(model: &M, address: SocketAddr, whole: bool) -> ! {
    if whole {
        std::thread::spawn(move || search_whole(address));
    }
    model.clone().checker().serve(address);
    unreachable!("the explorer serves for ever")
}

/// Presses the page's button *run to completion*, as soon as there is a page.
fn search_whole(address: SocketAddr) {
    const WAIT: Duration = Duration::from_millis(20);
    const TRIES_MAX: u32 = 500;
    let connect = |_| TcpStream::connect(address).map_err(|_| std::thread::sleep(WAIT)).ok();
    let Some(mut page) = (0..TRIES_MAX).find_map(connect) else { return };
    let press = "POST /.runtocompletion HTTP/1.1\r\nHost: explorer\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n";
    // Whoever looks can still press it: an answer that fails is no loss.
    let pressed = page.write_all(press.as_bytes());
    let _ = pressed.and_then(|()| page.read_to_end(&mut Vec::new()));
}
