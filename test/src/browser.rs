//! A real browser without a window, driven over WebDriver: Chromium by its chromedriver.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_servers::{Process, free_port};
use tokio::time::{sleep, timeout};

/// Far above what a slow machine takes; it only ends a wait for what will never be.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// What WebDriver calls an element by.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running browser with one page. It is killed when dropped.
#[derive(Debug)]
pub struct Browser {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    driver: String,
    session: String,
    // In this order they are dropped: the processes before their files.
    process: Process,
    _directory: TempDir,
}

/// Something on the page.
#[derive(Clone, Debug)]
pub struct Element(String);

impl Browser {
    /// Starts one whose window has this width and height.
    ///
    /// # Panics
    /// Chromium or chromedriver is not installed, or does not start.
    pub async fn start(width: u32, height: u32) -> Self {
        Self::start_with(width, height, &[]).await
    }

    /// Starts one with more arguments of Chromium.
    ///
    /// # Panics
    /// Chromium or chromedriver is not installed, or does not start.
    pub async fn start_with(width: u32, height: u32, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).env("HOME", directory.path()).env("TMPDIR", directory.path());
        // A group, for the driver starts the browser, and that its own processes.
        let process = Process::start_group(command, &directory.path().join("log"));
        let http = legacy::Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let driver = format!("http://127.0.0.1:{port}");
        let mut browser = Self { http, driver, session: String::new(), process, _directory: directory };
        let deadline = Instant::now() + TIMEOUT;
        while browser.exchange(Method::GET, "/status", None).await.is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not listen:\n{}", browser.process.output());
            sleep(POLL).await;
        }
        // Who runs the tests may be root, in a container, for whom Chromium has no sandbox.
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"];
        let mut arguments: Vec<String> = arguments.iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        arguments.push(format!("--window-size={width},{height}"));
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = browser.ask(Method::POST, "/session", Some(capabilities)).await;
        let id = session.get("sessionId").and_then(Value::as_str).expect("a session has an id");
        browser.session = format!("/session/{id}");
        browser
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// What a selector of CSS finds first.
    ///
    /// # Panics
    /// It finds nothing.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self.post("/element", json!({"using": "css selector", "value": selector})).await;
        let id = found.get(ELEMENT).and_then(Value::as_str);
        Element(id.unwrap_or_else(|| panic!("{selector}: {found}")).to_owned())
    }

    /// Clicks on it.
    pub async fn click(&self, element: &Element) {
        self.post(&format!("/element/{}/click", element.0), json!({})).await;
    }

    /// Replaces what stands in a field.
    pub async fn fill(&self, element: &Element, text: &str) {
        self.post(&format!("/element/{}/clear", element.0), json!({})).await;
        self.press(element, text).await;
    }

    /// Presses keys while it has the focus, those of WebDriver's private code points too.
    pub async fn press(&self, element: &Element, keys: &str) {
        self.post(&format!("/element/{}/value", element.0), json!({ "text": keys })).await;
    }

    /// Its text, as it is shown.
    pub async fn text(&self, element: &Element) -> String {
        let text = self.ask(Method::GET, &format!("{}/element/{}/text", self.session, element.0), None).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until its text is as wanted, and returns it.
    ///
    /// # Panics
    /// It never is.
    pub async fn await_text(&self, element: &Element, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let text = self.text(element).await;
            if is_wanted(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "the page goes on saying `{text}`");
            sleep(POLL).await;
        }
    }

    /// What a function of JavaScript, given as its body, returns.
    pub async fn script(&self, body: &str) -> Value {
        self.post("/execute/sync", json!({"script": body, "args": []})).await
    }

    /// What the page has said on its console since it was last asked, as WebDriver's entries: errors, refused resources, and
    /// what the policy forbade among them.
    pub async fn console(&self) -> Vec<Value> {
        self.log("browser").await
    }

    /// The addresses of all that was requested since it was last asked.
    pub async fn requested(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let messages =
            entries.iter().filter_map(|entry| serde_json::from_str::<Value>(entry.get("message")?.as_str()?).ok());
        let requests = messages.filter(|entry| {
            entry.pointer("/message/method").is_some_and(|method| method == "Network.requestWillBeSent")
        });
        requests.filter_map(|entry| entry.pointer("/message/params/request/url")?.as_str().map(str::to_owned)).collect()
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        self.post("/se/log", json!({ "type": kind })).await.as_array().cloned().unwrap_or_default()
    }

    /// Says as what the page is to be shown: `light` or `dark`.
    pub async fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.post("/goog/cdp/execute", json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}))
            .await;
    }

    /// Writes a picture of the whole page, however long, to a file.
    ///
    /// # Panics
    /// It cannot be written.
    pub async fn picture(&self, path: &str) {
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let shot = self.post("/goog/cdp/execute", json!({"cmd": "Page.captureScreenshot", "params": parameters})).await;
        let data = shot.get("data").and_then(Value::as_str).expect("a picture");
        fs::write(path, BASE64_STANDARD.decode(data).expect("base64")).expect("the picture can be written");
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, &format!("{}{path}", self.session), Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.exchange(method, path, body)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.process.output()))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder().method(method).uri(format!("{}{path}", self.driver));
        let request =
            request.header("content-type", "application/json").body(Full::new(body)).expect("a well-formed request");
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| error.to_string())?;
            let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            serde_json::from_slice::<Value>(&body).map_err(|error| error.to_string())
        };
        let answer = timeout(TIMEOUT, exchange).await.map_err(|_| "no answer".to_owned())??;
        let value = answer.get("value").cloned().unwrap_or_default();
        match value.get("error").filter(|error| error.is_string()) {
            Some(error) => Err(format!("{error}: {}", value.get("message").cloned().unwrap_or_default())),
            None => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.process.kill_group();
    }
}
