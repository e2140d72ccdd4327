//! A client of graphql-transport-ws, which takes nothing for granted: it shows each message, and how the connection ended.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{actor::Actor, shop::Shop};

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes over a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Message(Value),
    /// Closed with this code and these words.
    Closed(u16, String),
    /// The connection is gone, without a word.
    Lost,
}

/// A connection to `/graphql`.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Shop {
    /// A connection on which nothing was said yet.
    pub async fn opens_socket(&self) -> Socket {
        self.opens_socket_with(None, None).await.expect("the connection is upgraded")
    }

    /// One if there is a server.
    pub async fn tries_to_open_socket(&self) -> Option<Socket> {
        self.opens_socket_with(None, None).await.ok()
    }

    /// One with a token in its header, or one that takes in only so many bytes ahead; else how it was refused.
    pub async fn opens_socket_with(&self, token: Option<&str>, ahead: Option<u32>) -> Result<Socket, String> {
        let url = self.url("/graphql").replace("http://", "ws://");
        let mut request = url.as_str().into_client_request().expect("a request");
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        if let Some(token) = token {
            headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
        }
        let address = self.url("").trim_start_matches("http://").parse().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(ahead) = ahead {
            socket.set_recv_buffer_size(ahead).expect("a small buffer");
        }
        let connection = socket.connect(address).await.map_err(|error| error.to_string())?;
        let (stream, _) = client_async(request, connection).await.map_err(|error| error.to_string())?;
        Ok(Socket { stream })
    }
}

impl Actor {
    /// A connection of this actor, on which subscriptions may begin.
    pub async fn listens(&self) -> Socket {
        let mut socket = self.shop.opens_socket().await;
        socket.says(&self.introduction()).await;
        assert_eq!(socket.hears().await, Heard::Message(json!({ "type": "connection_ack" })));
        socket
    }

    /// What a connection begins with.
    pub fn introduction(&self) -> Value {
        json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", self.token()) } })
    }

    /// Subscribes on a connection of its own; the selection is that of the one field, such as `orderUpdated(orderId: $id)`.
    pub async fn watches(&self, field: &str, id: &str, selection: &str) -> Socket {
        let mut socket = self.listens().await;
        socket
            .subscribes("1", &format!("subscription($id: ID!) {{ {field} {{ {selection} }} }}"), json!({ "id": id }))
            .await;
        socket
    }

    /// Watches an order.
    pub async fn watches_order(&self, order: &str, selection: &str) -> Socket {
        self.watches("orderUpdated(orderId: $id)", order, selection).await
    }
}

impl Socket {
    pub async fn says(&mut self, message: &Value) {
        self.says_text(message.to_string()).await;
    }

    pub async fn says_text(&mut self, text: String) {
        // Whether it arrives is told by what comes back.
        let _ = self.stream.send(Message::text(text)).await;
    }

    pub async fn subscribes(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.says(&json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// What comes next, pings apart.
    pub async fn hears(&mut self) -> Heard {
        self.hears_within(PATIENCE).await.expect("something is heard")
    }

    /// What comes next, if it comes soon. A ping is no reason to wait longer.
    pub async fn hears_within(&mut self, patience: Duration) -> Option<Heard> {
        timeout(patience, self.hears_at_last()).await.ok()
    }

    async fn hears_at_last(&mut self) -> Heard {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Message(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => Heard::Closed(frame.code.into(), frame.reason.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(None) | Message::Binary(_) | Message::Frame(_)) | Err(_)) | None => Heard::Lost,
            };
        }
    }

    /// The code that the connection is closed with next.
    pub async fn closes(&mut self) -> u16 {
        match self.hears().await {
            Heard::Closed(code, _) => code,
            other => panic!("it was not closed: {other:?}"),
        }
    }

    /// The next event of subscription 1: the value of its one field.
    pub async fn event(&mut self) -> Value {
        let mut payload = self.payload().await;
        assert_eq!(payload.get("errors"), None, "{payload}");
        let data = payload["data"].as_object_mut().expect("data");
        data.values_mut().next().expect("a field").take()
    }

    /// The next payload of subscription 1.
    pub async fn payload(&mut self) -> Value {
        match self.hears().await {
            Heard::Message(mut message) if message["type"] == "next" && message["id"] == "1" => {
                message["payload"].take()
            }
            other => panic!("no event: {other:?}"),
        }
    }

    /// The code of the error that subscription 1 ends with next.
    pub async fn ends(&mut self) -> String {
        let payload = self.payload().await;
        assert!(payload["data"].is_null(), "{payload}");
        assert_eq!(self.hears().await, Heard::Message(json!({ "type": "complete", "id": "1" })));
        payload["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Nothing has come by now that was not heard.
    pub async fn heard_all(&mut self) {
        self.says(&json!({ "type": "ping" })).await;
        assert_eq!(self.hears().await, Heard::Message(json!({ "type": "pong" })));
    }
}
