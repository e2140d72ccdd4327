//! The story in a real browser: from GraphiQL to the payment page, to an order that is paid.
//!
//! Chromium is driven over WebDriver, which is plain HTTP. Where chromedriver or Chromium is not found the test says so and ends, unless
//! `ORDERPAY_TEST_BROWSER=required`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};

use crate::support::process::{Process, orderpay};

/// How long a page may take to come to what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser window, driven from outside; the browser ends with it.
struct Browser {
    http: Client,
    session: String,
    driver: Child,
}

impl Browser {
    /// `None` where there is no browser on this machine.
    async fn open(profile: &std::path::Path) -> Option<Self> {
        let chromium = ["/usr/bin/chromium", "/usr/bin/google-chrome"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())?;
        let mut driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.strip_suffix('.')?.rsplit_once("successfully on port ").map(|(_, port)| port.to_owned())
        });
        // Reads on, so that the driver never writes to a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let (http, driver_url) = (Client::new(), format!("http://127.0.0.1:{}", port.unwrap()));
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
        } } });
        let opened: Value =
            http.post(format!("{driver_url}/session")).json(&capabilities).send().await.unwrap().json().await.unwrap();
        let id = opened["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{opened}"));
        Some(Self { http, session: format!("{driver_url}/session/{id}"), driver })
    }

    async fn tell(&self, command: &str, what: Value) -> Value {
        let answer = self.http.post(format!("{}/{command}", self.session)).json(&what).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].clone()
    }

    async fn go_to(&self, url: &str) {
        self.tell("url", json!({ "url": url })).await;
    }

    async fn script(&self, script: &str) -> Value {
        self.tell("execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Waits until a script gives something true, and gives that.
    async fn wait_for(&self, what: &str, script: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.script(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if Instant::now() > deadline {
                let page = self.script("return document.documentElement.innerText").await;
                panic!("{what} does not come: {page}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn click(&self, css: &str) {
        self.wait_for(css, &format!("return !!document.querySelector({css:?})")).await;
        let found = self.tell("element", json!({ "using": "css selector", "value": css })).await;
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.tell(&format!("element/{element}/click"), json!({})).await;
    }

    /// The windows that are open, oldest first.
    async fn windows(&self) -> Vec<Value> {
        let answer = self.http.get(format!("{}/window/handles", self.session)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["value"].as_array().unwrap().clone()
    }

    async fn switch_to(&self, window: &Value) {
        self.tell("window", json!({ "handle": window })).await;
    }

    /// What the page complained about: errors of scripts, and what its policy forbade.
    async fn complaints(&self) -> Vec<String> {
        let log = self.tell("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        let messages = entries.map(|entry| entry["message"].to_string());
        // A request that was refused is the page's business, not its fault.
        messages.filter(|message| !message.contains("/graphql - Failed to load resource")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; without that it would outlive its driver.
        let _ = self.quit();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Closes the session without an async runtime, which may be gone by the time this is needed.
    fn quit(&self) -> std::io::Result<()> {
        let (host, path) = self.session.trim_start_matches("http://").split_once('/').unwrap_or_default();
        let mut driver = TcpStream::connect(host)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        write!(driver, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        // It answers once the browser is gone.
        driver.read(&mut [0; 1024]).map(|_| ())
    }
}

/// GraphiQL as a developer uses it.
struct Page<'a>(&'a Browser);

impl Page<'_> {
    async fn play(&self, caller: &str) {
        self.0.click(&format!("#caller option[value={caller:?}]")).await;
    }

    /// Opens the tab of an example, runs it, and gives the answer once it holds this text.
    async fn run(&self, tab: &str, until: &str) -> Value {
        let opened = format!(
            "const tab = [...document.querySelectorAll('.graphiql-tab-button')].find(tab => tab.textContent.trim() === {tab:?});
             if (tab) tab.click();
             return !!tab"
        );
        self.0.wait_for(tab, &opened).await;
        let shown = format!(
            "return document.querySelector('.graphiql-query-editor .CodeMirror')?.CodeMirror.getValue().includes({tab:?})"
        );
        self.0.wait_for("the example's text", &shown).await;
        let answer = format!(
            "const text = document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue();
             return text?.includes({until:?}) || text?.includes({NOT_YET:?}) ? text : null"
        );
        loop {
            self.0.click(".graphiql-execute-button").await;
            let text = self.0.wait_for(&format!("an answer to {tab} with {until}"), &answer).await;
            let text = text.as_str().unwrap();
            if !text.contains(NOT_YET) {
                return serde_json::from_str(text).unwrap();
            }
            // Nothing ran: this page's operation is read a moment after its tab is opened.
            self.0.script("document.querySelector('.graphiql-response .CodeMirror').CodeMirror.setValue('')").await;
        }
    }
}

impl Page<'_> {
    /// Waits until the answer that is shown holds this text, without asking anew.
    async fn shows(&self, until: &str) -> Value {
        let answer = format!(
            "const text = document.querySelector('.graphiql-response .CodeMirror')?.CodeMirror.getValue();
             return text?.includes({until:?}) ? text : null"
        );
        let text = self.0.wait_for(&format!("an answer with {until}"), &answer).await;
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    }
}

/// What GraphiQL is told if it is faster than itself: it sends the name of the tab before.
const NOT_YET: &str = "Unknown operation named";

#[tokio::test]
async fn the_story_is_played_from_graphiql_to_an_order_that_is_paid() {
    let dir = tempfile::tempdir().unwrap();
    let Some(browser) = Browser::open(&dir.path().join("profile")).await else {
        let required = std::env::var_os("ORDERPAY_TEST_BROWSER").is_some_and(|setting| setting == "required");
        assert!(!required, "no browser was found");
        return;
    };
    let mut command = orderpay(&["--listen", "127.0.0.1:0"]);
    command.current_dir(dir.path());
    let server = Process::of(command);
    let page = Page(&browser);

    browser.go_to(&format!("{}/", server.url)).await;
    page.play("checkout (service)").await;
    let made = page.run("CreateOrder", "ord_").await;
    assert_eq!(made["data"]["createOrder"]["order"]["status"], "AWAITING_PAYMENT");

    page.play("Ada (user)").await;
    let attempted = page.run("AttemptToPay", "redirectUrl").await;
    assert_eq!(attempted["data"]["attemptToPayForOrder"]["attempt"]["status"], "PENDING");
    let watched = page.run("OrderUpdated", "amountDue").await;
    assert_eq!(watched["data"]["orderUpdated"]["status"], "AWAITING_PAYMENT");
    browser.click("#pay-link").await;
    let windows = browser.windows().await;
    browser.switch_to(windows.last().unwrap()).await;
    browser.click("button[value=pay]").await;
    browser.wait_for("the way back", "return location.search.startsWith('?returned')").await;

    browser.switch_to(windows.first().unwrap()).await;
    let watched = page.shows("PAID").await;
    assert_eq!(watched["data"]["orderUpdated"]["amountDue"]["amount"], "0.00");
    let now = page.run("OrderNow", "amountDue").await;
    assert_eq!(now["data"]["order"]["status"], "PAID");
    assert_eq!(now["data"]["order"]["amountDue"]["amount"], "0.00");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
