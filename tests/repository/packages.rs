//! The published packages: their contents, and a program that is built from them as the README
//! says.
//!
//! The tests run cargo, so `cargo test` ignores them; `tests/run.sh` runs them.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};

use crate::files::{read, root};

/// The packages, and their folders in the repository.
const PACKAGES: [(&str, &str); 7] = [
    ("sessile", "."),
    ("sessile-web", "adapters/web"),
    ("sessile-tower", "adapters/tower"),
    ("sessile-jwt", "adapters/jwt"),
    ("sessile-store", "stores/core"),
    ("sessile-redis", "stores/redis"),
    ("sessile-memcached", "stores/memcached"),
];

const FILES: [&str; 3] = ["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// 32 bytes, base64.
const KEY: &str = "qLW9fC0Sq3ZtKkQ1mW0c8pGv5uYbR2nJ7hXeTdA4oL8=";

#[test]
#[ignore = "runs cargo"]
fn packages_have_readme_and_licences_and_build_the_readme_program() {
    let place = root().join("target/packages");
    let unpacked = unpack(&place);
    for (name, folder) in PACKAGES {
        for file in FILES {
            let packed = fs::read(unpacked.join(name).join(file)).unwrap();
            assert_eq!(
                packed,
                fs::read(root().join(folder).join(file)).unwrap(),
                "{name} {file}"
            );
        }
    }
    // A free port, in place of the README's.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let program = write_program(&place, &unpacked, address);
    run(cargo(&program)
        .args(["build", "--quiet", "--target-dir"])
        .arg(place.join("target")));
    check_login(&place.join("target/debug/program"), address);
}

/// Packages the crates and unpacks them into one folder each. Returns the folder above these.
fn unpack(place: &Path) -> PathBuf {
    let mut package = cargo(root());
    package
        .args([
            "package",
            "--quiet",
            "--allow-dirty",
            "--no-verify",
            "--target-dir",
        ])
        .arg(place);
    for (name, _) in PACKAGES {
        package.args(["-p", name]);
    }
    run(&mut package);
    let unpacked = place.join("unpacked");
    for (name, _) in PACKAGES {
        let folder = unpacked.join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        // Files in a package have an old time, by which cargo would not see that they changed.
        run(Command::new("tar")
            .args([
                "-xmzf",
                &format!("{}/package/{name}-{version}.crate", place.display()),
            ])
            .args(["--strip-components=1", "-C"])
            .arg(&folder));
    }
    unpacked
}

/// Creates a package whose dependencies are added by the README's lines, with the unpacked crates
/// in place of the checkout, and whose source is the README's first Rust example, on `address`.
fn write_program(place: &Path, unpacked: &Path, address: SocketAddr) -> PathBuf {
    let program = place.join("program");
    let _ = fs::remove_dir_all(&program);
    fs::create_dir_all(program.join("src")).unwrap();
    let mut manifest =
        "[package]\nname = \"program\"\nedition = \"2024\"\n[workspace]\n".to_owned();
    manifest += "[patch.crates-io]\n";
    for (name, _) in PACKAGES {
        let folder = unpacked.join(name);
        manifest += &format!("{name} = {{ path = \"{}\" }}\n", folder.display());
    }
    fs::write(program.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root().join("Cargo.lock"), program.join("Cargo.lock")).unwrap();

    let readme = read(Path::new("README.md"));
    let source = blocks(&readme, "rust").remove(0);
    assert!(source.contains("\"127.0.0.1:3000\""), "{source}");
    let source = source.replace("127.0.0.1:3000", &address.to_string());
    fs::write(program.join("src/main.rs"), source).unwrap();
    let install = blocks(&readme, "sh").remove(0);
    assert!(
        install.lines().all(|line| line.starts_with("cargo add ")),
        "{install}"
    );
    for line in install.lines() {
        let line = line.replace(
            "../sessile/adapters/tower",
            &format!("{}/sessile-tower", unpacked.display()),
        );
        run(cargo(&program).args(line.split_whitespace().skip(1)));
    }
    program
}

/// Returns the code blocks of a language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                inside = info.split(',').next() == Some(language);
                if inside {
                    found.push(String::new());
                }
            }
            Event::Text(text) if inside => found.last_mut().unwrap().push_str(&text),
            Event::End(_) => inside = false,
            _ => {}
        }
    }
    found
}

/// Starts the program, signs in and reads the page with the cookie.
fn check_login(program: &Path, address: SocketAddr) {
    let _server = Server::start(program, address);
    let request = |head: &str, body: &str| request(address, head, body);
    let rejected = request("GET / HTTP/1.1\r\n", "");
    assert!(rejected.starts_with("HTTP/1.1 401 "), "{rejected}");
    let form = "user=ada&password=correct+horse";
    let type_and_length =
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 31\r\n";
    let login = request(&format!("POST /login HTTP/1.1\r\n{type_and_length}"), form);
    assert!(login.starts_with("HTTP/1.1 303 "), "{login}");
    let (_, cookie) = login.split_once("set-cookie: ").unwrap();
    let (cookie, _) = cookie.split_once(';').unwrap();
    let page = request(&format!("GET / HTTP/1.1\r\nCookie: {cookie}\r\n"), "");
    assert!(page.ends_with("Hello, ada. This is visit 1."), "{page}");
}

/// Sends a request and returns the response.
fn request(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{head}Host: localhost\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// The program, which is ended when this is dropped.
struct Server(Child);

impl Server {
    fn start(program: &Path, address: SocketAddr) -> Self {
        let server = Self(
            Command::new(program)
                .env("SESSILE_KEYS", KEY)
                .spawn()
                .unwrap(),
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(
                Instant::now() < deadline,
                "the program does not accept connections"
            );
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a command of cargo that does without the network.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).env("CARGO_NET_OFFLINE", "true");
    command
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
