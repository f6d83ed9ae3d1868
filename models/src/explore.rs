//! A model in stateright's explorer, in a browser, offline.

use crate::check::Subject;
use std::net::{SocketAddr, TcpListener};

/// Whether the explorer could listen there; if not, why not, in a line.
pub fn reserve(address: SocketAddr) -> Result<SocketAddr, String> {
    // The explorer panics when it cannot listen, and a user is owed a sentence instead.
    let listener = TcpListener::bind(address)
        .map_err(|error| format!("cannot listen on {address}: {error}; name another address"))?;
    listener.local_addr().map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Serves the explorer of a model until the process is ended.
pub fn serve<M: Subject>(model: &M, address: SocketAddr) -> ! {
    model.clone().checker().serve(address);
    unreachable!("the explorer serves for ever")
}
