//! A TCP proxy between two processes: the network between them, whose weather a test makes.
//!
//! Knows nothing of what it carries. A connection that lost bytes is never whole again: it is reset when the weather turns.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// How long to wait before the same port is tried again: somebody else may have it for a moment.
const PAUSE: Duration = Duration::from_millis(10);

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// It arrives.
    Clear,
    /// Each piece arrives so much later.
    Slow(Duration),
    /// Nothing arrives either way, nobody is told, and connections stay open: a black hole.
    Swallowing,
    /// What is asked arrives; what is answered is swallowed.
    AnswersLost,
    /// What is asked arrives; the connection is reset in place of the answer.
    AnswersCut,
    /// Every connection is reset, and new ones are refused.
    Cut,
}

/// A place to connect to that leads somewhere else. Dropped, it resets its connections and listens no more.
pub struct Proxy {
    /// Where it listens, for as long as it is there.
    pub address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy)]
struct State {
    weather: Weather,
    /// `None`: there is nobody.
    leads_to: Option<SocketAddr>,
}

impl State {
    fn is_cut(&self) -> bool {
        self.weather == Weather::Cut || self.leads_to.is_none()
    }
}

impl Proxy {
    /// In clear weather.
    pub async fn to(address: SocketAddr) -> Self {
        Self::leading(Some(address)).await
    }

    /// In clear weather, and as if nobody were there yet.
    pub async fn to_nobody() -> Self {
        Self::leading(None).await
    }

    async fn leading(leads_to: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (state, is) = watch::channel(State { weather: Weather::Clear, leads_to });
        tokio::spawn(serve(listener, address, is));
        Self { address, state }
    }

    /// From now on the weather is like this, for open connections too.
    pub fn turns(&self, weather: Weather) {
        self.state.send_modify(|state| state.weather = weather);
    }

    /// New connections lead to another place.
    pub fn leads_to(&self, address: SocketAddr) {
        self.state.send_modify(|state| state.leads_to = Some(address));
    }

    /// Whoever was there is gone: nobody listens.
    pub fn leads_nowhere(&self) {
        self.state.send_modify(|state| state.leads_to = None);
    }
}

/// The address in a URL such as `http://127.0.0.1:80`.
pub fn address_of(url: &str) -> SocketAddr {
    url.strip_prefix("http://").and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("an address: {url}"))
}

/// Takes connections, until the proxy is dropped.
async fn serve(mut listener: TcpListener, address: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        let now = *state.borrow_and_update();
        let Some(to) = now.leads_to.filter(|_| !now.is_cut()) else {
            // With nobody at the port, connections are refused.
            drop(listener);
            if state.wait_for(|state| !state.is_cut()).await.is_err() {
                return;
            }
            listener = listen_again(address).await;
            continue;
        };
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(carry(client, to, state.clone()));
                }
            }
            turned = state.changed() => {
                if turned.is_err() {
                    return;
                }
            }
        }
    }
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Carries one connection to its end; one that broke off is reset on both sides.
async fn carry(client: TcpStream, to: SocketAddr, state: watch::Receiver<State>) {
    let _ = client.set_nodelay(true);
    let Ok(server) = TcpStream::connect(to).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = server.set_nodelay(true);
    let ((asks, answered), (answers, asked)) = (client.into_split(), server.into_split());
    let (mut asked, mut answered) = (asked, answered);
    let carried = tokio::try_join!(
        pass(asks, &mut asked, Direction::Asks, state.clone()),
        pass(answers, &mut answered, Direction::Answers, state),
    );
    if carried.is_err() {
        for half in [asked, answered] {
            let _ = half.as_ref().set_zero_linger();
            // Dropped, it would say a polite goodbye first.
            half.forget();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Asks,
    Answers,
}

/// Passes on what comes from one side, until that side ends. An error is a connection that breaks off.
async fn pass(
    mut from: OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    direction: Direction,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = state.wait_for(State::is_cut) => return Err(broken()),
        };
        let now = state.borrow().weather;
        match now {
            Weather::Clear => {}
            Weather::Slow(time) => tokio::select! {
                () = tokio::time::sleep(time) => {}
                _ = state.wait_for(State::is_cut) => return Err(broken()),
            },
            Weather::AnswersLost | Weather::AnswersCut if direction == Direction::Asks => {}
            Weather::Swallowing | Weather::AnswersLost => {
                let _ = state.wait_for(|state| state.weather != now || state.is_cut()).await;
                return Err(broken());
            }
            Weather::AnswersCut | Weather::Cut => return Err(broken()),
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
