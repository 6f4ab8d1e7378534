//! Chromium, driven through `chromedriver`. Each window is a separate browser, like another device.
//!
//! Processes end when their handle is dropped, also if a test fails. Screenshots are stored in
//! `target/tmp/shop`.

use std::{
    cell::Cell,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use fantoccini::{Client, ClientBuilder, Locator, cookies::Cookie, error::CmdError};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::runtime::Runtime;

use super::{PATIENCE, Shop, until};

/// A running `chromedriver`, and the files of its browsers.
pub(crate) struct Chromium {
    driver: Child,
    _stdout: BufReader<ChildStdout>,
    port: u16,
    profiles: PathBuf,
    opened: Cell<u32>,
    runtime: Runtime,
}

/// A browser on a shop.
pub(crate) struct Window<'a> {
    client: Client,
    address: SocketAddr,
    runtime: &'a Runtime,
}

impl Chromium {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("there are threads");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver can be started: Debian has it in the package chromium-driver");
        let mut stdout = BufReader::new(driver.stdout.take().expect("it is piped"));
        let port = port(&mut stdout);
        let profiles = target().join(format!("chromium-{}", driver.id()));
        Self {
            driver,
            _stdout: stdout,
            port,
            profiles,
            opened: Cell::new(0),
            runtime,
        }
    }

    /// Opens a new browser on the shop's first page.
    pub(crate) fn window(&self, shop: &Shop) -> Window<'_> {
        self.window_as(shop, &[])
    }

    /// Opens a new browser with further arguments for Chromium.
    pub(crate) fn window_as(&self, shop: &Shop, arguments: &[&str]) -> Window<'_> {
        let profile = self
            .profiles
            .join(self.opened.replace(self.opened.get() + 1).to_string());
        let profile = format!("--user-data-dir={}", profile.display());
        let arguments: Vec<_> = FLAGS
            .iter()
            .chain(arguments)
            .copied()
            .chain([&*profile])
            .collect();
        let wanted = json!({ "goog:chromeOptions": { "args": arguments } });
        let wanted = wanted.as_object().cloned().unwrap_or_default();
        let driver = format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = self
            .runtime
            .block_on(builder.capabilities(wanted).connect(&driver));
        let client =
            connected.expect("Chromium can be started: Debian has it in the package chromium");
        let window = Window {
            client,
            address: shop.address,
            runtime: &self.runtime,
        };
        window.go("/");
        window
    }

    /// Closes all browsers through the driver. Otherwise they would outlive it.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = format!("host: 127.0.0.1:{}", self.port);
        write!(
            stream,
            "GET /shutdown HTTP/1.1\r\n{host}\r\nconnection: close\r\n\r\n"
        )?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Each call fails only if its target has ended already.
        let _ = self.shut_down();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profiles);
    }
}

impl Window<'_> {
    /// Navigates to the first page of another shop. Cookies belong to the host, so the browser
    /// sends them to all ports.
    pub(crate) fn move_to(&mut self, shop: &Shop) {
        self.address = shop.address;
        self.go("/");
    }

    /// Navigates to an address of the shop.
    pub(crate) fn go(&self, path: &str) {
        self.done(self.client.goto(&format!("http://{}{path}", self.address)));
    }

    pub(crate) fn reload(&self) {
        self.done(self.client.refresh());
    }

    /// Clicks the button or link of a selector, and waits for the next page.
    pub(crate) fn press(&self, selector: &str) {
        self.done(self.client.execute("window.isOld = true", vec![]));
        self.click(selector);
        until(&format!("the page that {selector} leads to"), || {
            let is_there = "return !window.isOld && document.readyState === 'complete'";
            // Between two pages the element may be absent.
            let answer = self.runtime.block_on(self.client.execute(is_there, vec![]));
            answer.is_ok_and(|is_there| is_there == true)
        });
    }

    /// Clicks an element that does not navigate.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.done(self.client.find(Locator::Css(selector)));
        self.done(element.click());
    }

    /// Replaces the text of a field.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let field = self.done(self.client.find(Locator::Css(selector)));
        self.done(field.clear());
        self.done(field.send_keys(text));
    }

    /// Returns the visible text of the element of a selector, with single spaces; `None` if there
    /// is none.
    pub(crate) fn text(&self, selector: &str) -> Option<String> {
        self.texts(selector).into_iter().next()
    }

    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(found => found.innerText)";
        let texts = self.strings(script, selector).into_iter();
        texts
            .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// Returns the values of the fields of a selector.
    pub(crate) fn values(&self, selector: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(found => found.value)";
        self.strings(script, selector)
    }

    fn strings(&self, script: &str, selector: &str) -> Vec<String> {
        let found = self.done(self.client.execute(script, vec![selector.into()]));
        serde_json::from_value(found).expect("they are texts")
    }

    /// Runs `act` in a second tab of the same browser, and returns to the first.
    pub(crate) fn in_another_tab(&self, act: impl FnOnce(&Self)) {
        let here = self.done(self.client.window());
        let tab = self.done(self.client.new_window(true));
        self.done(self.client.switch_to_window(tab.handle));
        act(self);
        self.done(self.client.close_window());
        self.done(self.client.switch_to_window(here));
    }

    pub(crate) fn cookies(&self) -> Vec<Cookie<'static>> {
        self.done(self.client.get_all_cookies())
    }

    pub(crate) fn add_cookie(&self, cookie: Cookie<'static>) {
        self.done(self.client.add_cookie(cookie));
    }

    /// Returns the cookies that a script of the page can read.
    pub(crate) fn script_cookies(&self) -> String {
        let cookies = self.done(self.client.execute("return document.cookie", vec![]));
        cookies.as_str().expect("it is text").to_owned()
    }

    /// Takes screenshots of the whole page at the widths of a desktop and of a phone.
    pub(crate) fn shoot(&self, name: &str) {
        for (kind, width) in [("wide", 1280), ("narrow", 390)] {
            self.done(self.client.set_window_size(width, 900));
            let len = "return document.documentElement.scrollHeight + outerHeight - innerHeight";
            let len = self
                .done(self.client.execute(len, vec![]))
                .as_u64()
                .unwrap_or(900);
            self.done(self.client.set_window_size(width, len.min(6000) as u32));
            let picture = self.done(self.client.screenshot());
            let folder = target().join("shop");
            fs::create_dir_all(&folder).expect("target is ours");
            fs::write(folder.join(format!("{name}-{kind}.png")), picture).expect("target is ours");
        }
    }

    fn done<T>(&self, act: impl Future<Output = Result<T, CmdError>>) -> T {
        self.runtime
            .block_on(act)
            .expect("the command of the browser succeeds")
    }
}

/// Reads the port from the output of `chromedriver`.
fn port(stdout: &mut impl BufRead) -> u16 {
    let mut lines = stdout.lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("started successfully"));
    let port = line
        .as_deref()
        .and_then(|line| line.trim_end_matches('.').rsplit(' ').next());
    port.and_then(|port| port.parse().ok())
        .expect("chromedriver starts and says its port")
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // An element that is clicked must not be scrolling.
    "--force-prefers-reduced-motion",
];
