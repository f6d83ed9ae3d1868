//! The thread that encodes and saves snapshots, so that neither stalls a request.

use super::startup::Wake;
use crate::kv::Store;
use crate::protocol::{GroupId, Image, Index, Save};
use crate::snapshot::Images;
use crate::storage::Disk;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;

/// How the thread gives way where processors are few: 10 of 19 steps, about a tenth of a share.
const NICENESS: i32 = 10;

/// A snapshot that is durable.
pub struct Saved {
    pub group: GroupId,
    pub index: Index,
    pub image: Image,
}

enum Order {
    Save(GroupId, Save<Store>),
    /// Older ones than this are not needed any more.
    Retire(GroupId, Index),
}

/// Our end of the thread.
pub struct Saver {
    orders: Sender<Order>,
    saved: Receiver<io::Result<Saved>>,
}

impl Saver {
    /// Starts the thread. `wake`: called when there is news.
    pub fn start(images: Images<Disk>, wake: Wake) -> io::Result<Saver> {
        let (orders, receive_orders) = mpsc::channel();
        let (send_saved, saved) = mpsc::channel();
        let body = move || carry_out(&images, &receive_orders, &send_saved, &wake);
        thread::Builder::new().name("snapshots".into()).spawn(body)?;
        Ok(Saver { orders, saved })
    }

    /// Has a snapshot made durable.
    pub fn save(&self, group: GroupId, save: Save<Store>) {
        // If the thread is gone, `saved` says so.
        let _ = self.orders.send(Order::Save(group, save));
    }

    /// Has the images removed that are older than `needed`.
    pub fn retire(&self, group: GroupId, needed: Index) {
        let _ = self.orders.send(Order::Retire(group, needed));
    }

    /// A snapshot that has become durable. Fails for good after the first failure.
    pub fn saved(&self) -> io::Result<Option<Saved>> {
        match self.saved.try_recv() {
            Ok(saved) => saved.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                Err(io::Error::other("the thread that saves snapshots died"))
            }
        }
    }
}

/// The thread. It ends with the first failure, or with its master.
fn carry_out(
    images: &Images<Disk>,
    orders: &Receiver<Order>,
    saved: &Sender<io::Result<Saved>>,
    wake: &Wake,
) {
    // On Linux that of the calling thread alone. If it is refused, snapshots are in the way: no more.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    for order in orders {
        let result = match order {
            Order::Retire(group, needed) => images.retire(group, needed).map(|()| None),
            Order::Save(group, Save { index, content }) => {
                let image = content.image();
                images
                    .save(group, index, image.bytes())
                    .map(|()| Some(Saved { group, index, image }))
            }
        };
        let failed = result.is_err();
        if let Some(news) = result.transpose() {
            let _ = saved.send(news);
            wake();
        }
        if failed {
            break;
        }
    }
}
