// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real programs in their ordinary use, none of which may notice anything where all is allowed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::harness::{Home, Ran, Server, eventually, example};

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn connects(port: u16) -> Option<()> {
    std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
}

fn curl(url: &str) -> Ran {
    Command::new("curl").args(["-sS", url]).output().unwrap().into()
}

#[test]
fn curl_over_both_versions_of_ip_and_again_on_one_connection() {
    let (home, server) = (Home::with("").begun(), Server::start());
    let ran = home.run(&["curl", "-sS", &server.url(), &server.url()]);
    assert_eq!((ran.out.as_str(), server.connections()), ("hello\nhello\n", 1), "{ran:?}");
    let ran = home.run(&["curl", "-sS", &server.url().replace("127.0.0.1", "localhost")]);
    assert_eq!(ran.out, "hello\n", "{ran:?}");
    let six = TcpListener::bind("[::1]:0").unwrap();
    let port = six.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = six.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nsix\n");
    });
    let ran = home.run(&["curl", "-sS", &format!("http://[::1]:{port}/")]);
    assert_eq!(ran.out, "six\n", "{ran:?}");
}

#[test]
fn the_web_server_of_python_and_a_client() {
    let home = Home::with("");
    std::fs::write(home.path().join("page"), "served\n").unwrap();
    let port = free_port().to_string();
    let mut server = home
        .supervised(&["/usr/bin/python3", "-m", "http.server", &port, "--bind", "127.0.0.1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server", || connects(port.parse().unwrap()));
    let url = format!("http://127.0.0.1:{port}/page");
    assert_eq!(curl(&url).out, "served\n");
    let client = format!("import urllib.request as r; print(r.urlopen('{url}').read())");
    assert_eq!(home.python(&client).out, "b'served\\n'\n");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    server.wait().unwrap();
}

#[test]
fn asyncio_with_a_thousand_connections_at_once() {
    let ran = Home::with("").python(
        "
import asyncio
async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()
async def talk(port, number):
    reader, writer = await asyncio.open_connection('127.0.0.1', port)
    writer.write(b'%d\\n' % number)
    answer = int(await reader.readline())
    writer.close()
    return answer
async def main():
    server = await asyncio.start_server(echo, '127.0.0.1', 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    answers = await asyncio.gather(*(talk(port, number) for number in range(1000)))
    print(answers == list(range(1000)))
asyncio.run(main())
",
    );
    assert_eq!(ran.out, "True\n", "{ran:?}");
}

#[test]
fn tokio_with_a_thousand_connections_at_once() {
    let ran = Home::with("").run(&[&example("thousand_connections")]);
    assert_eq!(ran.out, "1000\n", "{ran:?}");
}

/// Where root runs it, apt fetches as another user. Nothing of this machine's apt is touched.
#[test]
fn apt_updates_from_a_local_repository_and_fetches_a_package() {
    let (home, repository) = (Home::with(""), tempfile::tempdir_in("/tmp").unwrap());
    let at = |name: &str| repository.path().join(name);
    std::fs::set_permissions(repository.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    std::fs::write(at("hello.deb"), "hello\n").unwrap();
    let packages = format!(
        "Package: hello\nVersion: 1\nArchitecture: all\nFilename: ./hello.deb\nSize: 6\nSHA256: {digest}\n"
    );
    std::fs::write(at("Packages"), packages).unwrap();
    let mut server = Command::new("/usr/bin/python3");
    let port = free_port();
    server.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"]);
    let server = server.current_dir(repository.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = server.spawn().unwrap();
    eventually("the repository", || connects(port));
    let own = home.path().join("apt");
    for directory in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(own.join(directory)).unwrap();
    }
    std::fs::write(own.join("status"), "").unwrap();
    let source = format!("deb [trusted=yes] http://127.0.0.1:{port} ./\n");
    std::fs::write(own.join("sources.list"), source).unwrap();
    let option = |name: &str, file: &str| format!("-oDir::{name}={}", own.join(file).display());
    let options = [
        option("Etc::sourcelist", "sources.list"),
        option("Etc::sourceparts", "none"),
        option("State::lists", "lists"),
        option("State::status", "status"),
        option("Cache", "cache"),
    ];
    let apt = |action: &[&str]| {
        let options = options.iter().map(String::as_str);
        let command: Vec<&str> =
            ["apt-get"].into_iter().chain(options).chain(action.iter().copied()).collect();
        home.run(&command)
    };
    let updated = apt(&["update"]);
    let fetched = apt(&["download", "hello"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(updated.code, Some(0), "{updated:?}");
    assert!(!updated.err.contains("Err:"), "{updated:?}");
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    let package = std::fs::read_dir(home.path())
        .unwrap()
        .flatten()
        .find(|file| file.file_name().to_string_lossy().starts_with("hello"));
    assert_eq!(std::fs::read_to_string(package.unwrap().path()).unwrap(), "hello\n");
}

#[test]
fn many_threads_call_at_once() {
    let ran = Home::with("").python(
        "
import socket, threading
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(4096)
done = []
def visit():
    for _ in range(20):
        with socket.create_connection(server.getsockname()):
            pass
    done.append(1)
threading.stack_size(65536)
threads = [threading.Thread(target=visit) for _ in range(100)]
for thread in threads:
    thread.start()
for _ in range(2000):
    server.accept()[0].close()
for thread in threads:
    thread.join()
print(len(done))
",
    );
    assert_eq!(ran.out, "100\n", "{ran:?}");
}

#[test]
fn nginx_with_workers_that_are_another_user() {
    let home = Home::with("");
    let (port, root) = (free_port(), home.path().display());
    std::fs::write(home.path().join("index.html"), "from nginx\n").unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(home.path(), mode).unwrap();
    let configuration = format!(
        "daemon off; worker_processes 2; pid {root}/nginx.pid; error_log {root}/error.log;
         events {{ worker_connections 64; }}
         http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {root};
           location /back {{ proxy_pass http://127.0.0.1:{port}/index.html; }} }} }}"
    );
    std::fs::write(home.path().join("nginx.conf"), configuration).unwrap();
    let file = home.path().join("nginx.conf");
    let mut nginx =
        home.supervised(&["nginx", "-e", "stderr", "-c", file.to_str().unwrap()]).spawn().unwrap();
    eventually("nginx", || connects(port));
    assert_eq!(curl(&format!("http://127.0.0.1:{port}/")).out, "from nginx\n");
    let ran = curl(&format!("http://127.0.0.1:{port}/back"));
    assert_eq!(ran.out, "from nginx\n", "{ran:?}");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(nginx.id() as i32),
        nix::sys::signal::Signal::SIGQUIT,
    )
    .unwrap();
    assert!(nginx.wait().unwrap().success());
}

#[test]
fn node_serves_and_asks() {
    let home = Home::with("");
    let program = "
const http = require('http');
const server = http.createServer((_, answer) => answer.end('from node'));
server.listen(0, '127.0.0.1', () => {
  http.get({ port: server.address().port, host: 'localhost', family: 4 }, (answer) => {
    answer.on('data', (data) => console.log(String(data)));
    answer.on('end', () => server.close());
  });
});
";
    let ran = home.run(&["node", "-e", program]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "from node\n"), "{ran:?}");
}

#[test]
fn netcat_sends_and_receives() {
    let home = Home::with("");
    let port = free_port().to_string();
    let listening = home
        .supervised(&["nc", "-l", "-N", "127.0.0.1", &port])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = None;
    eventually("the listener", || {
        let script = format!("echo from nc | nc -N 127.0.0.1 {port}");
        let ran = home.run(&["sh", "-c", &script]);
        (ran.code == Some(0)).then(|| said = Some(ran))
    });
    let output = listening.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"from nc\n", "{said:?}");
}

/// Its server forks, its client's data go by `write()` and never wait for anybody.
#[test]
fn iperf_measures() {
    let home = Home::with("");
    let port = free_port().to_string();
    let mut server = home
        .supervised(&["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", &port])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ran = eventually("the server", || {
        let ran = home.run(&["iperf3", "-c", "127.0.0.1", "-p", &port, "-t", "1"]);
        (ran.code == Some(0)).then_some(ran)
    });
    assert!(ran.out.contains("receiver"), "{ran:?}");
    assert!(server.wait().unwrap().success());
}

#[test]
fn who_is_accepted_is_decided_where_that_is_watched() {
    let home = Home::with(
        "kernel = \"off\"\n[watch]\naccept = \"tcp\"\nlisten = \"tcp\"\n[fallback]\naccept = \"deny\"\n",
    );
    let program = "
import socket
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen()
def knock():
    client = socket.socket()
    client.bind(('127.0.0.1', 0))
    client.connect(server.getsockname())
    return client
client = knock()
try:
    server.accept()
except ConnectionAbortedError:
    print('aborted')
try:
    print(client.recv(1))
except ConnectionResetError:
    print('reset')
";
    let ran = home.python(program);
    assert_eq!(ran.out, "aborted\nreset\n", "{ran:?}");
    home.done(&["allow", "/usr/bin/python3", "tcp", "accept"]);
    let program = program.replace(
        "    server.accept()\n",
        "    print(server.accept()[1] == client.getsockname())\n",
    );
    let program = program.replace("client.recv(1)", "client.getpeername() == server.getsockname()");
    let ran = home.python(&program);
    assert_eq!(ran.out, "True\nTrue\n", "{ran:?}");
}
