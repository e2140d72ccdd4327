//! A gate between a server and its provider: what the server asks goes through; while it is shut, what the provider answers waits. It can be opened
//! for what comes from then on, while what waits goes on waiting.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Open,
    Shut,
    /// Only what waits already waits on.
    OpenForOthers,
}

pub struct Gate {
    /// Where the provider seems to be.
    pub url: String,
    stand: watch::Sender<Stand>,
    waiting: watch::Receiver<usize>,
}

impl Gate {
    /// An open gate to a provider.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let provider = url.strip_prefix("http://").expect("an address").to_owned();
        let (stand, stands) = watch::channel(Stand::Open);
        let (waits, waiting) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let Ok(provider) = TcpStream::connect(&provider).await else { continue };
                let (mut asked, answered) = server.into_split();
                let (answers, mut asks) = provider.into_split();
                tokio::spawn(async move { copy(&mut asked, &mut asks).await });
                tokio::spawn(pass(answers, answered, stands.clone(), waits.clone()));
            }
        });
        Self { url: format!("http://{address}"), stand, waiting }
    }

    pub fn shuts(&self) {
        self.stand.send_replace(Stand::Shut);
    }

    pub fn opens(&self) {
        self.stand.send_replace(Stand::Open);
    }

    /// What waits goes on waiting, until the gate is opened; whatever else comes goes through.
    pub fn lets_others_pass(&self) {
        self.stand.send_replace(Stand::OpenForOthers);
    }

    /// Waits until an answer has come that waits here.
    pub async fn holds_an_answer(&self) {
        self.waiting.clone().wait_for(|waiting| *waiting > 0).await.expect("the gate stands");
    }
}

/// Hands answers on, each once the gate is open.
async fn pass(
    mut answers: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    mut stands: watch::Receiver<Stand>,
    waits: watch::Sender<usize>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = answers.read(&mut buffer).await {
        if *stands.borrow() == Stand::Shut {
            waits.send_modify(|waiting| *waiting += 1);
            if stands.wait_for(|stand| *stand == Stand::Open).await.is_err() {
                return;
            }
            waits.send_modify(|waiting| *waiting -= 1);
        }
        if server.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
