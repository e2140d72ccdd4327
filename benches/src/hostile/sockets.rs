//! Connections that are kept and not used: whoever holds one opens another as soon as it is cut off.

use std::{cell::RefCell, collections::BTreeMap, net::Ipv4Addr, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{server::Server, shop::Shop, wire::post};

/// So many ports has one address towards another.
const OF_ONE_ADDRESS: usize = 5_000;
const BYTE_EVERY: Duration = Duration::from_secs(1);

pub struct Siege {
    pub name: &'static str,
    pub connections: usize,
    /// What is sent at once.
    beginning: Vec<u8>,
    /// What is sent again and again, a byte a second. Nothing: the connection is idle.
    rest: &'static [u8],
}

pub fn sieges(shop: &Shop) -> [Siege; 3] {
    let headers = b"POST /graphql HTTP/1.1\r\nhost: orderpay\r\n".to_vec();
    let mut body = post(&shop.shoppers.token("shopper-1999"), &[b' '; 60_000]);
    body.truncate(body.len() - 60_000);
    [
        Siege {
            name: "1,000 connections whose headers come a byte a second",
            connections: 1_000,
            beginning: headers,
            rest: b"a: b\r\n",
        },
        Siege {
            name: "500 connections whose bodies come a byte a second",
            connections: 500,
            beginning: body,
            rest: b" ",
        },
        Siege { name: "10,000 connections on which nothing comes", connections: 10_000, beginning: vec![], rest: b"" },
    ]
}

/// What became of the connections: how many were cut off and with what words, and how many could not be opened.
pub type Ends = Rc<RefCell<BTreeMap<String, usize>>>;

impl Siege {
    /// For so long, which includes the time in which they are opened. Connections are dropped at the end.
    pub async fn lay(&self, server: &Server, lasts: Duration) -> BTreeMap<String, usize> {
        let (ends, mut all) = (Ends::default(), JoinSet::new());
        for number in 0..self.connections {
            let from = Ipv4Addr::new(127, 0, 1, (number / OF_ONE_ADDRESS) as u8 + 1);
            let (ends, address) = (Rc::clone(&ends), server.address);
            let (beginning, rest) = (self.beginning.clone(), self.rest);
            all.spawn_local(async move {
                loop {
                    let end = match open(from, address).await {
                        Ok(stream) => hold(stream, &beginning, rest).await,
                        Err(error) => {
                            sleep(BYTE_EVERY).await;
                            format!("not opened: {}", error.kind())
                        }
                    };
                    *ends.borrow_mut().entry(end).or_default() += 1;
                }
            });
            // So that they don't all fall together.
            if number % 50 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        let _ = timeout(lasts, std::future::pending::<()>()).await;
        all.shutdown().await;
        ends.take()
    }
}

async fn open(from: Ipv4Addr, to: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Until the server ends it; gives what it said.
async fn hold(mut stream: TcpStream, beginning: &[u8], rest: &[u8]) -> String {
    let (mut reading, mut writing) = stream.split();
    let sending = async {
        if writing.write_all(beginning).await.is_err() || rest.is_empty() {
            return std::future::pending().await;
        }
        for byte in rest.iter().cycle() {
            sleep(BYTE_EVERY).await;
            if writing.write_all(&[*byte]).await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    let mut heard = [0; 512];
    tokio::select! {
        () = sending => unreachable!(),
        read = reading.read(&mut heard) => match read {
            Ok(0) | Err(_) => "closed".to_owned(),
            Ok(read) => String::from_utf8_lossy(&heard[..read]).chars().skip("HTTP/1.1 ".len()).take(3).collect(),
        }
    }
}
