//! What the tests make bad weather with: a network that fails, and a PostgreSQL that is killed.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    cluster::Cluster,
    database::Look,
    eventually,
    proxy::{Proxy, Weather, address_of},
    runtime,
};

/// Longer than anything takes that arrives.
const LONG: Duration = Duration::from_secs(10);
/// So long nothing is heard where nothing arrives.
const SILENCE: Duration = Duration::from_millis(100);

/// Answers each byte with the same one.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut asked, mut answers) = caller.split();
                tokio::io::copy(&mut asked, &mut answers).await
            });
        }
    });
    address
}

/// What comes back: `Some` byte, `None` where the connection ended, or `Err` where nothing is heard.
async fn says(connection: &mut TcpStream, byte: u8, patience: Duration) -> Result<Option<u8>, &'static str> {
    if connection.write_all(&[byte]).await.is_err() {
        return Ok(None);
    }
    match timeout(patience, connection.read_u8()).await {
        Ok(answer) => Ok(answer.ok()),
        Err(_) => Err("silence"),
    }
}

#[test]
fn a_proxy_passes_swallows_and_cuts_as_it_is_told_to() {
    runtime().block_on(async {
        let proxy = Proxy::to(echo().await).await;
        let call = async || TcpStream::connect(proxy.address).await;
        let mut first = call().await.unwrap();
        assert_eq!(says(&mut first, 1, LONG).await, Ok(Some(1)));

        proxy.turns(Weather::Slow(Duration::from_millis(5)));
        assert_eq!(says(&mut first, 2, LONG).await, Ok(Some(2)));

        proxy.turns(Weather::Swallowing);
        assert_eq!(says(&mut first, 3, SILENCE).await, Err("silence"));
        proxy.turns(Weather::Clear);
        assert_eq!(says(&mut first, 4, LONG).await, Ok(None), "it lost a byte, and goes on as if not");

        let mut second = call().await.unwrap();
        proxy.turns(Weather::AnswersLost);
        assert_eq!(says(&mut second, 5, SILENCE).await, Err("silence"));
        let mut third = call().await.unwrap();
        proxy.turns(Weather::AnswersCut);
        assert_eq!(says(&mut third, 6, LONG).await, Ok(None));

        let mut fourth = call().await.unwrap();
        proxy.turns(Weather::Cut);
        let told = timeout(LONG, fourth.read_u8()).await.expect("it is told");
        assert_eq!(told.err().map(|error| error.kind()), Some(ErrorKind::ConnectionReset));
        let refused = eventually("nobody listens", async || call().await.err()).await;
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        proxy.turns(Weather::Clear);
        let mut fifth = eventually("it listens again", async || call().await.ok()).await;
        assert_eq!(says(&mut fifth, 7, LONG).await, Ok(Some(7)));

        let nobody = Proxy::to_nobody().await;
        nobody.leads_to(address_of(&format!("http://{}", proxy.address)));
        let mut sixth = eventually("somebody listens", async || TcpStream::connect(nobody.address).await.ok()).await;
        assert_eq!(says(&mut sixth, 8, LONG).await, Ok(Some(8)));
        nobody.leads_nowhere();
        assert_eq!(timeout(LONG, sixth.read_u8()).await.expect("it is told").ok(), None);
    });
}

#[test]
fn what_a_killed_cluster_acknowledged_is_there_again() {
    let Some(mut cluster) = Cluster::start() else { return };
    let url = cluster.url(&cluster.create());
    runtime().block_on(async {
        let look = Look::at(&url).await;
        look.run("CREATE TABLE kept (n bigint); INSERT INTO kept VALUES (42)").await;
    });

    cluster.kill();
    cluster.restart();
    let killed = runtime().block_on(async { Look::at(&url).await.number("SELECT n FROM kept").await });
    cluster.stop();
    cluster.restart();
    let by_tcp = Cluster::url_at(cluster.address, url.split(['/', '?']).nth(3).expect("a name"));
    let stopped = runtime().block_on(async { Look::at(&by_tcp).await.number("SELECT n FROM kept").await });

    assert_eq!([killed, stopped], [42, 42]);
    assert!(cluster.log().contains("not properly shut down"), "it was never killed: {}", cluster.log());
}
