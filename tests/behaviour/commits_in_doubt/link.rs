//! The link between a server and PostgreSQL, which is cut while a commit is on its way.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// As PostgreSQL's protocol ends the query, which is not encrypted here.
const COMMIT: &[u8] = b"COMMIT\0";

/// What gets lost: to the server the two look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It never arrives: nothing is committed.
    Commit,
    /// It arrives and is done, and nobody is told.
    Acknowledgement,
}

/// What is going to be cut: so many commits pass before.
#[derive(Clone, Copy, Debug)]
struct Cut {
    after: usize,
    lost: Lost,
}

pub struct Link {
    /// Where PostgreSQL seems to be.
    pub address: SocketAddr,
    cut: Arc<Mutex<Option<Cut>>>,
}

impl Link {
    pub async fn to(postgres: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let cut = Arc::new(Mutex::new(None));
        let next = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                tokio::spawn(carry(server, postgres, Arc::clone(&next)));
            }
        });
        Self { address, cut }
    }

    /// From now on so many commits pass; with the next one the connection breaks off.
    pub fn is_cut_after(&self, commits: usize, lost: Lost) {
        *self.cut.lock().unwrap() = Some(Cut { after: commits, lost });
    }

    /// Whether it was cut. It will not be any more.
    pub fn was_cut(&self) -> bool {
        self.cut.lock().unwrap().take().is_none()
    }
}

/// Carries one connection to its end. One that broke off is reset.
async fn carry(mut server: TcpStream, postgres: SocketAddr, cut: Arc<Mutex<Option<Cut>>>) {
    let _ = server.set_nodelay(true);
    let Ok(mut postgres) = TcpStream::connect(postgres).await else { return };
    let _ = postgres.set_nodelay(true);
    if pass(&mut server, &mut postgres, &cut).await.is_err() {
        let _ = server.set_zero_linger();
        let _ = postgres.set_zero_linger();
    }
}

/// Passes on what is said on both sides. An error is a connection that breaks off.
async fn pass(server: &mut TcpStream, postgres: &mut TcpStream, cut: &Mutex<Option<Cut>>) -> io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            read = server.read(&mut asked) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                let lost = if asked[..length].ends_with(COMMIT) { comes_to(cut) } else { None };
                if lost == Some(Lost::Commit) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                postgres.write_all(&asked[..length]).await?;
                if lost == Some(Lost::Acknowledgement) {
                    // Once it is acknowledged here, it is done.
                    postgres.read_u8().await?;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            read = postgres.read(&mut answered) => {
                let length = read?;
                if length == 0 {
                    return Ok(());
                }
                server.write_all(&answered[..length]).await?;
            }
        }
    }
}

/// What becomes of this commit.
fn comes_to(cut: &Mutex<Option<Cut>>) -> Option<Lost> {
    let mut cut = cut.lock().unwrap();
    match *cut {
        Some(Cut { after: 0, lost }) => {
            *cut = None;
            Some(lost)
        }
        Some(Cut { after, lost }) => {
            *cut = Some(Cut { after: after - 1, lost });
            None
        }
        None => None,
    }
}
