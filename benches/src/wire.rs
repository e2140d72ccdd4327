//! HTTP/1.1 over a connection that is kept: as little of it as a load needs, so that the load takes little of the machine.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

/// Less than a server keeps a connection on which nothing comes.
const KEPT: Duration = Duration::from_secs(5);
/// Longer than the server takes for anything.
const PATIENCE: Duration = Duration::from_secs(20);
const MOST_HEADERS: usize = 64;

/// A request to `/graphql`, as it is sent.
pub fn post(token: &str, body: &[u8]) -> Vec<u8> {
    request("/graphql", &format!("authorization: Bearer {token}\r\n"), body)
}

/// A request with these headers beside the usual ones.
pub fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: orderpay\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// What is looked at of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Whether it tells when to come again.
    pub comes_again: bool,
    pub body: Vec<u8>,
    closes: bool,
}

impl Answer {
    /// Whether it is data and nothing but data.
    pub fn is_good(&self) -> bool {
        self.status == 200
            && self.body.starts_with(b"{\"data\":{")
            && memchr::memmem::find(&self.body, b"\"errors\":").is_none()
    }
}

/// One connection, which sends one request at a time.
pub struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
    used_at: Instant,
}

impl Line {
    /// From an address of this machine, so that one caller may come from elsewhere than the other.
    pub async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((IpAddr::V4(from), 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Vec::with_capacity(16 * 1024), used_at: Instant::now() })
    }

    /// Sends a request and takes in its answer, which may come before all of it is sent.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let (mut reading, mut writing) = self.stream.split();
        self.heard.clear();
        let exchange = exchange(&mut reading, &mut writing, &mut self.heard, request);
        let answer = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
        self.used_at = Instant::now();
        Ok(answer)
    }
}

async fn exchange(
    reading: &mut ReadHalf<'_>,
    writing: &mut WriteHalf<'_>,
    heard: &mut Vec<u8>,
    request: &[u8],
) -> io::Result<Answer> {
    let hearing = async {
        loop {
            if let Some(answer) = answer_in(heard)? {
                return Ok(answer);
            }
            if reading.read_buf(heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let mut hearing = std::pin::pin!(hearing);
    tokio::select! {
        biased;
        // Who answers before the end has heard enough, and what is left of the request stands in the way of the next.
        answer = &mut hearing => answer.map(|answer| Answer { closes: true, ..answer }),
        // A server that closes may have said why: that is listened to either way.
        _ = writing.write_all(request) => hearing.await,
    }
}

/// The answer, once all of it has come.
fn answer_in(heard: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(parsed) = head.parse(heard) else { return Err(io::ErrorKind::InvalidData.into()) };
    let httparse::Status::Complete(start) = parsed else { return Ok(None) };
    let mut answer = Answer { status: head.code.unwrap_or_default(), comes_again: false, body: vec![], closes: false };
    let mut length = 0;
    for header in head.headers.iter() {
        match header.name {
            name if name.eq_ignore_ascii_case("content-length") => {
                length = std::str::from_utf8(header.value).ok().and_then(|length| length.parse().ok()).unwrap_or(0);
            }
            name if name.eq_ignore_ascii_case("retry-after") => answer.comes_again = true,
            name if name.eq_ignore_ascii_case("connection") => {
                answer.closes = header.value.eq_ignore_ascii_case(b"close");
            }
            _ => {}
        }
    }
    let Some(body) = heard.get(start..start + length) else { return Ok(None) };
    answer.body = body.to_vec();
    Ok(Some(answer))
}

/// Somebody who asks on as many connections as it takes, and keeps them.
pub struct Client {
    from: Ipv4Addr,
    to: SocketAddr,
    idle: RefCell<Vec<Line>>,
}

impl Client {
    pub fn new(from: Ipv4Addr, to: SocketAddr) -> Self {
        Self { from, to, idle: RefCell::default() }
    }

    pub async fn ask(&self, request: &[u8]) -> io::Result<Answer> {
        let mut line = match self.idle_line() {
            Some(line) => line,
            None => Line::open(self.from, self.to).await?,
        };
        let answer = line.ask(request).await?;
        if !answer.closes {
            self.idle.borrow_mut().push(line);
        }
        Ok(answer)
    }

    /// The one that was used last. Those that have waited too long are let go of.
    fn idle_line(&self) -> Option<Line> {
        let mut idle = self.idle.borrow_mut();
        let line = idle.pop()?;
        if line.used_at.elapsed() < KEPT {
            return Some(line);
        }
        idle.clear();
        None
    }
}
