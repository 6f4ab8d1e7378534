//! Chromium, driven through `chromedriver`. A window is a browser of its own: another device.
//!
//! What was started goes when it is dropped, also where a test fails half-way. Screenshots lie in
//! `target/tmp/shop`, for people.

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

/// A `chromedriver` that runs, and what its browsers keep on disk.
pub(crate) struct Chromium {
    driver: Child,
    _stdout: BufReader<ChildStdout>,
    port: u16,
    profiles: PathBuf,
    opened: Cell<u32>,
    runtime: Runtime,
}

/// A browser on one shop.
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

    /// A browser that has never been anywhere, on the shop's first page.
    pub(crate) fn window(&self, shop: &Shop) -> Window<'_> {
        self.window_as(shop, &[])
    }

    /// The same, with further arguments to Chromium.
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

    /// Has the driver close every browser; without, they would outlive it.
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
        // Each fails only where what it is to end has ended already.
        let _ = self.shut_down();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profiles);
    }
}

impl Window<'_> {
    /// Types an address of the shop.
    pub(crate) fn go(&self, path: &str) {
        self.done(self.client.goto(&format!("http://{}{path}", self.address)));
    }

    pub(crate) fn reload(&self) {
        self.done(self.client.refresh());
    }

    /// Presses the button or link that such a selector finds, and waits for the page it leads to.
    pub(crate) fn press(&self, selector: &str) {
        self.done(self.client.execute("window.isOld = true", vec![]));
        self.click(selector);
        until(&format!("the page that {selector} leads to"), || {
            let is_there = "return !window.isOld && document.readyState === 'complete'";
            // Between two pages there may be nothing that could answer.
            let answer = self.runtime.block_on(self.client.execute(is_there, vec![]));
            answer.is_ok_and(|is_there| is_there == true)
        });
    }

    /// Presses what leads nowhere.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.done(self.client.find(Locator::Css(selector)));
        self.done(element.click());
    }

    /// Empties a field and types into it.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let field = self.done(self.client.find(Locator::Css(selector)));
        self.done(field.clear());
        self.done(field.send_keys(text));
    }

    /// The visible text, with single spaces, of what the selector finds; none if it finds nothing.
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

    /// What the fields hold that the selector finds.
    pub(crate) fn values(&self, selector: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(found => found.value)";
        self.strings(script, selector)
    }

    fn strings(&self, script: &str, selector: &str) -> Vec<String> {
        let found = self.done(self.client.execute(script, vec![selector.into()]));
        serde_json::from_value(found).expect("they are texts")
    }

    /// Does something in a second tab of the same browser, and comes back.
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

    /// What a script of the page could read of the cookies.
    pub(crate) fn script_cookies(&self) -> String {
        let cookies = self.done(self.client.execute("return document.cookie", vec![]));
        cookies.as_str().expect("it is text").to_owned()
    }

    /// Screenshots as wide as a desk's screen and as a telephone's, each as long as the page.
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
            .expect("the browser does as it is told")
    }
}

/// `chromedriver` says on which port it listens once it does.
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
    // What is pressed must not be scrolling.
    "--force-prefers-reduced-motion",
];
