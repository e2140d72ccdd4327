//! A tap on the line between a server and PostgreSQL, which passes on all that is said and counts how often it was the server's turn to speak again.
//!
//! It has threads of its own: the server that it is to listen to is waited for while it starts.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// What was heard on all connections.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// How often PostgreSQL said that it is ready for the next.
    pub ready: usize,
    /// How often the server spoke after PostgreSQL had: fewer, where it sends much before it listens.
    pub turns: usize,
    /// How often other servers were told that something changed.
    pub notified: usize,
}

impl Sub for Heard {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            ready: self.ready - earlier.ready,
            turns: self.turns - earlier.turns,
            notified: self.notified - earlier.notified,
        }
    }
}

#[derive(Default)]
struct Counts {
    ready: AtomicUsize,
    turns: AtomicUsize,
    notified: AtomicUsize,
    is_over: AtomicBool,
}

/// Takes no new connections once it is dropped; those that are there end with the server.
pub struct Tap {
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

impl Tap {
    pub fn open(postgres: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let tap = Self { address: listener.local_addr().expect("its address"), counts: Arc::default() };
        let counts = Arc::clone(&tap.counts);
        thread::spawn(move || {
            while let Ok((server, _)) = listener.accept() {
                if counts.is_over.load(Relaxed) || pass_on(&server, postgres, &counts).is_err() {
                    break;
                }
            }
        });
        tap
    }

    pub fn heard(&self) -> Heard {
        let Counts { ready, turns, notified, .. } = &*self.counts;
        Heard { ready: ready.load(Relaxed), turns: turns.load(Relaxed), notified: notified.load(Relaxed) }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.counts.is_over.store(true, Relaxed);
        // Whoever waits for a connection gets one.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(server: &TcpStream, postgres: SocketAddr, counts: &Arc<Counts>) -> io::Result<()> {
    let postgres = TcpStream::connect(postgres)?;
    server.set_nodelay(true)?;
    postgres.set_nodelay(true)?;
    let listened = Arc::new(AtomicBool::new(true));
    let (from, to) = (server.try_clone()?, postgres.try_clone()?);
    let (counting, spoken) = (Arc::clone(counts), Arc::clone(&listened));
    thread::spawn(move || {
        each_part(from, &to, |_| {
            let is_turn = spoken.swap(false, Relaxed);
            counting.turns.fetch_add(usize::from(is_turn), Relaxed);
        })
    });
    let (from, to, counting) = (postgres, server.try_clone()?, Arc::clone(counts));
    let mut said = vec![];
    thread::spawn(move || {
        each_part(from, &to, |part| {
            listened.store(true, Relaxed);
            said.extend_from_slice(part);
            for (kind, body) in messages(&mut said) {
                counting.ready.fetch_add(usize::from(kind == b'Z'), Relaxed);
                counting.notified.fetch_add(usize::from(kind == b'C' && body.starts_with(b"NOTIFY")), Relaxed);
            }
        })
    });
    Ok(())
}

/// Passes on what comes, part by part, each after it was listened to; then that nothing more does.
fn each_part(mut from: TcpStream, mut to: &TcpStream, mut listen: impl FnMut(&[u8])) -> io::Result<()> {
    let mut part = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut part)?;
        if length == 0 {
            return to.shutdown(Shutdown::Write);
        }
        listen(&part[..length]);
        to.write_all(&part[..length])?;
    }
}

/// Takes the messages out that are whole: a letter, the length of the rest with its own four bytes, and the rest.
fn messages(said: &mut Vec<u8>) -> Vec<(u8, Vec<u8>)> {
    let (mut messages, mut rest) = (vec![], said.as_slice());
    while let Some((&kind, after)) = rest.split_first() {
        let Some(length) = after.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else { break };
        let Some(body) = after.get(4..length) else { break };
        messages.push((kind, body.to_vec()));
        rest = &after[length..];
    }
    let taken = said.len() - rest.len();
    said.drain(..taken);
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_wherever_they_were_cut() {
        let all = b"C\0\0\0\x0bNOTIFY\0Z\0\0\0\x05I".to_vec();
        let expected = vec![(b'C', b"NOTIFY\0".to_vec()), (b'Z', b"I".to_vec())];
        for cut in 0..=all.len() {
            let mut said = all[..cut].to_vec();
            let mut heard = messages(&mut said);
            said.extend_from_slice(&all[cut..]);
            heard.extend(messages(&mut said));
            assert_eq!((heard, said.len()), (expected.clone(), 0), "cut at {cut}");
        }
    }
}
