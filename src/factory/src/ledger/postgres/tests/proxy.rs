//! A proxy between a ledger and its server, which does harm when it is told to.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use super::*;

/// What a proxy does to the next messages that hold a word, and to how many.
#[derive(Clone, Copy)]
pub(super) enum Harm {
    /// Swallows the answer and cuts the connection.
    Swallow(&'static [u8], u32),
    /// Does so with the words of a pooler that lost its server.
    Refuse(&'static [u8], u32),
    /// Passes them on with the word turned into another.
    Garble(&'static [u8], u32),
}

/// Passes bytes on between a client and a server, until it is told to do harm.
pub(super) struct Proxy {
    /// Of the bench's ledger, by way of this.
    pub(super) url: String,
    armed: Arc<Mutex<Option<Harm>>>,
    pub(super) meanwhile: Meanwhile,
}

/// What is done once an answer was swallowed, before anybody learns that it is lost.
pub(super) type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl Proxy {
    pub(super) fn before(bench: &Bench) -> Self {
        let Database { server, name } = database(bench);
        let port = server.port();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("postgresql://owner@127.0.0.1:{}/{name}", listener.local_addr().unwrap().port());
        let proxy = Self { url, armed: Arc::default(), meanwhile: Arc::default() };
        let (armed, meanwhile) = (Arc::clone(&proxy.armed), Arc::clone(&proxy.meanwhile));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let cut = Arc::<Mutex<Option<_>>>::default();
                let asks = (client.try_clone().unwrap(), server.try_clone().unwrap(), cut.clone());
                let (armed, meanwhile) = (Arc::clone(&armed), Arc::clone(&meanwhile));
                thread::spawn(move || ask(asks, &armed));
                thread::spawn(move || {
                    answer((&server, &client), &cut, &meanwhile);
                    let _ = client.shutdown(Shutdown::Both);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        });
        proxy
    }

    pub(super) fn swallow_next_commit(&self) {
        self.arm(Harm::Swallow(COMMIT, 1));
    }

    pub(super) fn arm(&self, harm: Harm) {
        *self.armed.lock().unwrap() = Some(harm);
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed.lock().unwrap().is_some()
    }
}

const COMMIT: &[u8] = b"COMMIT\0";
pub(super) const BEGIN: &[u8] = b"BEGIN ";
/// What a server says when no transaction is open on a connection.
const IDLE: &[u8] = b"Z\0\0\0\x05I";

/// What a pooler says: an error with its gravity, its code and its message, and not the field in which a server says again
/// how grave it is.
const REFUSAL: &[u8] = b"E\0\0\0\x23SFATAL\0C08P01\0Mserver crashed\0\0";

/// The word whose answer is swallowed, and the connection cut with it, and what is said instead.
type Cut = Mutex<Option<(&'static [u8], &'static [u8])>>;

fn ask((mut client, mut server, cut): (TcpStream, TcpStream, Arc<Cut>), armed: &Mutex<Option<Harm>>) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let mut armed = armed.lock().unwrap();
        if let Some(Harm::Swallow(word, times) | Harm::Refuse(word, times) | Harm::Garble(word, times)) =
            *armed
            && let Some(place) = bytes[..count].windows(word.len()).position(|window| window == word)
        {
            let left = times.checked_sub(1).filter(|left| *left > 0);
            *armed = match *armed {
                Some(Harm::Garble(..)) => {
                    bytes[place] = b'_';
                    left.map(|left| Harm::Garble(word, left))
                }
                Some(Harm::Refuse(..)) => {
                    *cut.lock().unwrap() = Some((word, REFUSAL));
                    left.map(|left| Harm::Refuse(word, left))
                }
                _ => {
                    *cut.lock().unwrap() = Some((word, b""));
                    left.map(|left| Harm::Swallow(word, left))
                }
            };
        }
        drop(armed);
        if server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn answer((mut server, mut client): (&TcpStream, &TcpStream), cut: &Cut, meanwhile: &Meanwhile) {
    let (mut bytes, mut swallowed) = (vec![0; 65_536], Vec::new());
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        let cut = *cut.lock().unwrap();
        match cut {
            None if client.write_all(&bytes[..count]).is_ok() => {}
            None | Some((BEGIN, _)) => return,
            // A server that cannot answer what came before a COMMIT takes all of it back: it is to have its say.
            Some((_, instead)) => {
                swallowed.extend_from_slice(&bytes[..count]);
                if swallowed.windows(IDLE.len()).any(|window| window == IDLE) {
                    if let Some(work) = meanwhile.lock().unwrap().take() {
                        work();
                    }
                    let _ = client.write_all(instead);
                    return;
                }
            }
        }
    }
}
