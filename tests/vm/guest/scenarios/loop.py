# SPDX-License-Identifier: MIT OR Apache-2.0
"""The whole loop: real programs, the module, snetd with its database, and snet-tool."""

import json
import signal
import time
from pathlib import Path

from client import CROWD, Client
from daemon import SNETD, arguments
from decider import Kernel
from scenario import scenario

# Everything is denied unless a rule says otherwise, so that an allowed call shows a rule at work.
CLOSED = {"fallback": {"default": "deny"}}
REFUSED = 7  # curl: couldn't connect


def watching(deadline="2s", **tables):
    return {**CLOSED, "watch": {"connect": "tcp,udp", "bind": "tcp,udp", "listen": "tcp"},
            "requests": {"deadline": deadline, "nonblock_deadline": deadline, "held_per_process": 1000}, **tables}


def fetch(g, address=None, port=8080, **options):
    return g.run("curl", "-sS", "--max-time", "20", g.peer.url(address or g.peer.address4, port), **options)


def counter(g, name):
    return g.stats()["kernel"]["stats"][name]


def rules(g):
    return [json.loads(line) for line in g.tool("rules", "list", "--json").out.splitlines()]


@scenario
def allowed_by_rule(g):
    """curl is refused, `snet-tool allow curl tcp connect` makes the difference, and only for curl."""
    with g.snetd(CLOSED):
        refused = fetch(g)
        g.assert_equal(refused.rc, REFUSED)
        g.tool("allow", "curl", "tcp", "connect")
        for address in (g.peer.address4, g.peer.address6):
            g.assert_equal(fetch(g, address, check=True).out, "hello from port 8080\n")
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES", "python3 has no rule")


@scenario
def denied_by_rule_with_eacces(g):
    """A deny rule refuses although the fallback is allow; the program sees EACCES."""
    with g.snetd({}):
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.tool("deny", "python3", "tcp", "connect", "--to", g.peer.address4)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(client.call("tcp", g.peer.other4, 8080), "ok", "another host")
        fetch(g, check=True)


@scenario
def no_rule_means_the_fallback(g):
    """Allow as shipped; deny when configured; one per operation."""
    with g.snetd({}):
        fetch(g, check=True)
    with g.snetd({"watch": {"connect": "tcp", "listen": "tcp"}, "fallback": {"default": "deny", "listen": "allow"}}):
        g.assert_equal(fetch(g).rc, REFUSED)
        g.assert_equal(Client(g).call("listen", "127.0.0.1", 5003), "ok")


@scenario
def hit_of_a_rules_ticket_needs_no_event(g):
    """The first call of a process is decided by snetd, the following ones by the ticket it sent along."""
    with g.snetd(CLOSED):
        g.tool("allow", "python3", "tcp", "connect")
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        events, hits = counter(g, "events"), counter(g, "ticket_allowed")
        for _ in range(5):
            g.assert_equal(client.call("tcp", g.peer.other6, 8081), "ok")
        g.assert_equal((counter(g, "events"), counter(g, "ticket_allowed")), (events, hits + 5))
        (ticket,) = [json.loads(line) for line in g.tool("tickets", "--json").out.splitlines()]
        g.assert_equal((ticket["tgid"], ticket["verdict"], ticket["hits"]), (client.pid, "allow", 5))


@scenario
def ticket_of_a_rule_for_one_host_does_not_serve_another(g):
    """A rule for one host and port gives a ticket for just that."""
    with g.snetd(CLOSED):
        g.tool("allow", "python3", "tcp", "connect", "--to", g.peer.address4, "--port", "8080")
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        for address, port in ((g.peer.other4, 8080), (g.peer.address4, 8081), (g.peer.address6, 8080)):
            g.assert_equal(client.call("tcp", address, port), "EACCES", f"{address} {port}")


@scenario
def allow_any_ticket_never_covers_what_an_earlier_deny_rule_refuses(g):
    """Soundness: the ticket of the wide allow rule leaves out what the deny rule in front of it is about."""
    with g.snetd(CLOSED):
        g.tool("allow", "any", "any", "any")
        g.tool("deny", "any", "tcp", "connect", "--to", f"{g.peer.other4}/32", "--priority", "100")
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8081), "ok", "by ticket")
        g.assert_equal(client.call("tcp", g.peer.other4, 8080), "EACCES")
        g.assert_equal(client.call("tcp", g.peer.address6, 8080), "ok")


@scenario
def ticket_lives_as_long_as_configured(g):
    """After the lifetime the next call is an event again."""
    with g.snetd({**CLOSED, "tickets": {"lifetime": "2s"}}):
        g.tool("allow", "python3", "tcp", "connect")
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        events = counter(g, "events")
        time.sleep(2.2)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(counter(g, "events"), events + 1)


@scenario
def deleted_rule_no_longer_decides(g):
    """Its tickets are revoked before the command returns: the very next call asks again. The same when disabled."""
    with g.snetd(CLOSED):
        client = Client(g)
        for verb in ("delete", "disable"):
            g.tool("allow", "python3", "tcp", "connect")
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
            number = str(max(rule["id"] for rule in rules(g)))
            g.tool("rules", verb, number)
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES", verb)
        g.tool("rules", "enable", number)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")


@scenario
def added_deny_rule_reaches_the_tickets_of_other_rules(g):
    """An existing allow ticket no longer serves what the new rule refuses; what it doesn't refuse goes on."""
    with g.snetd(CLOSED):
        g.tool("allow", "python3", "tcp", "connect")
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.tool("deny", "python3", "tcp", "connect", "--to", g.peer.address4)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(client.call("tcp", g.peer.other4, 8080), "ok")


@scenario(timeout=180)
def killed_with_50_held_threads_releases_all_at_once(g):
    """SIGKILL of snetd: every held thread gets the fallback, long before the deadline."""
    daemon = g.snetd(watching("60s"))
    daemon.start()
    daemon.process.send_signal(signal.SIGSTOP)
    crowd = g.spawn_python(CROWD, "50", g.peer.address4)
    with Kernel() as kernel:
        g.eventually(lambda: kernel.count("held") == 50, timeout=30, what="50 held threads")
        begin = time.monotonic()
        daemon.kill()
        g.assert_equal(crowd.ended(20), 0)
        g.assert_took(0, time.monotonic() - begin, 5, "seconds until all were released")
        g.assert_equal(crowd.output().strip(), "EACCES 50")


@scenario
def restarted_daemon_decides_again(g):
    """While it is dead the ticketed client goes on and others get the fallback at once; then the rules are back."""
    daemon = g.snetd(watching("20s"))
    daemon.start()
    g.tool("allow", "python3", "tcp", "connect")
    client = Client(g)
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    daemon.kill()
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "by its ticket")
    begin = time.monotonic()
    g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES")
    g.assert_took(0, time.monotonic() - begin, 4.9, "seconds until the fallback")
    daemon.start()
    g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "ok")
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    daemon.stop()


@scenario(timeout=120)
def stopped_daemon_costs_three_deadlines_and_recovers(g):
    """SIGSTOP: the fallback at each of three deadlines, then at once; SIGCONT: back to normal."""
    with g.snetd(watching("3s")) as daemon:
        g.tool("allow", "python3", "tcp", "connect", "--to", g.peer.address4)
        client = Client(g)
        daemon.process.send_signal(signal.SIGSTOP)
        took = []
        for _ in range(5):
            begin = time.monotonic()
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
            took.append(time.monotonic() - begin)
        for seconds in took[:3]:
            g.assert_took(3.0, seconds, 6.0, f"seconds held, of {took}")
        for seconds in took[3:]:
            g.assert_took(0, seconds, 2.9, f"seconds, of {took}")
        daemon.process.send_signal(signal.SIGCONT)
        g.eventually(lambda: client.call("tcp", g.peer.address4, 8080) == "ok", timeout=10)


@scenario
def second_daemon_is_refused(g):
    """A second snetd says that another one decides, and ends; the first goes on."""
    with g.snetd(CLOSED):
        socket = {"control": {"socket": str(g.tmp / "other.sock")}}
        for config in (CLOSED, {**CLOSED, **socket}):
            second = g.snetd(config)
            second.start(wait=False)
            g.assert_true(second.process.wait(20) != 0, "the second ended with an error")
            g.assert_true("snetd" in second.output() or "decider" in second.output(), second.output())
        g.tool("allow", "curl", "tcp", "connect")
        fetch(g, check=True)


@scenario
def needs_the_module_and_says_so(g):
    """Without the module snetd ends with a message that says what to do."""
    g.unload_module()
    daemon = g.snetd(CLOSED)
    daemon.start(wait=False)
    g.assert_true(daemon.process.wait(20) != 0, "ended with an error")
    g.assert_in("modprobe snet", daemon.output())


@scenario(timeout=90)
def module_reloaded_under_a_running_daemon_is_found_again(g):
    """rmmod and insmod while snetd runs: it registers again by itself, with its settings."""
    with g.snetd(CLOSED):
        g.tool("allow", "curl", "tcp", "connect")
        fetch(g, check=True)
        g.reload_module()
        g.eventually(lambda: (g.stats().get("kernel") or {"stats": {}})["stats"].get("decider"), timeout=30,
                     what="the daemon is registered again")
        fetch(g, check=True)
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES")


@scenario
def bind_and_listen_are_allowed_and_denied(g):
    """Servers: python3 may listen, nginx only once there is a rule; its error log says why."""
    config = Path(g.tmp / "nginx.conf")
    config.write_text(f"error_log {g.tmp}/nginx.log; pid {g.tmp}/nginx.pid; events {{}}\n"
                      f"http {{ access_log off; server {{ listen 127.0.0.1:8088; return 200 served; }} }}\n")
    with g.snetd(watching()):
        g.tool("allow", "python3", "tcp", "bind", "listen", "--local-port", "5000-5999")
        client = Client(g)
        g.assert_equal(client.call("listen", "127.0.0.1", 5004), "ok")
        g.assert_equal(client.call("bind", "127.0.0.1", 6004), "EACCES")
        refused = g.run("nginx", "-c", str(config))
        g.assert_true(not refused.ok, "nginx couldn't bind")
        g.assert_in("Permission denied", refused.err)
        g.tool("allow", "nginx", "tcp", "bind,listen", "--local-port", "8088")
        g.tool("allow", "curl", "tcp", "connect", "--to", "127.0.0.1")
        g.run("nginx", "-c", str(config), check=True)
        g.assert_equal(g.run("curl", "-sS", "http://127.0.0.1:8088/", check=True).out, "served")
        g.run("nginx", "-c", str(config), "-s", "stop", check=True)
        g.eventually(lambda: not Path(g.tmp / "nginx.pid").exists(), what="nginx has ended")


@scenario
def udp_connect_follows_its_own_rule(g):
    """A rule for udp is none for tcp."""
    with g.snetd(watching()):
        g.tool("allow", "python3", "udp", "connect")
        client = Client(g)
        g.assert_equal(client.call("udp", g.peer.address4, 7007), "ok")
        g.assert_equal(client.call("udp", g.peer.address6, 7007), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")


@scenario(timeout=300)
def answers_500_programs_that_connect_at_once(g):
    """500 processes (20 on a slow kernel) are held together; all are decided by their rule, none by the fallback."""
    count = 20 if g.slow_kernel else 500
    with g.snetd(watching("120s")) as daemon:
        g.tool("allow", "nc", "tcp", "connect")
        daemon.process.send_signal(signal.SIGSTOP)
        loop = f"for i in $(seq {count}); do nc -z -w 60 {g.peer.address4} 7007 & done; " \
               "failed=0; for job in $(jobs -p); do wait $job || failed=$((failed+1)); done; echo failed $failed"
        crowd = g.spawn("bash", "-c", loop)
        with Kernel() as kernel:
            g.eventually(lambda: kernel.count("held") == count, timeout=120, interval=0.5, what="all held at once")
            daemon.process.send_signal(signal.SIGCONT)
            g.assert_equal(crowd.ended(120), 0)
            g.assert_equal(crowd.output().strip(), "failed 0")
            g.assert_equal(kernel.count("verdict_allowed"), count)
            g.assert_equal(kernel.count("held"), 0)


@scenario
def corrupt_database_is_refused_and_left_as_it_was(g):
    """snetd ends with a message that names the file, which stays byte for byte."""
    database = g.tmp / "rules.db"
    with g.snetd(CLOSED, database=database):
        g.tool("allow", "curl", "tcp", "connect")
    good = database.read_bytes()
    for what, bad in (("garbage", b"this is not a database\n" * 100), ("damaged pages", good[:4096] + b"\xa5" * 8192),
                      ("cut off", good[:len(good) // 2 // 512 * 512 + 100])):
        database.write_bytes(bad)
        daemon = g.snetd(CLOSED, database=database)
        daemon.start(wait=False)
        g.assert_true(daemon.process.wait(20) != 0, f"{what}: ended with an error")
        g.assert_in(str(database), daemon.output(), what)
        g.assert_equal(database.read_bytes(), bad, f"{what}: the file")
    database.write_bytes(good)
    with g.snetd(CLOSED, database=database):
        fetch(g, check=True)


@scenario
def ordinary_users_may_not_change_anything(g):
    """A user outside the group can't speak to snetd; a member of it may read but not change."""
    with g.snetd(CLOSED):
        for user in ("alice",):
            refused = g.tool("allow", "curl", "tcp", "connect", check=False, user=user)
            g.assert_true(not refused.ok, "refused")
            g.assert_in("ermission denied", refused.err)
        g.run("usermod", "-aG", "snet", "bob", check=True)
        g.at_end(lambda: g.run("gpasswd", "-d", "bob", "snet"))
        g.tool("status", user="bob")
        refused = g.tool("allow", "curl", "tcp", "connect", check=False, user="bob")
        g.assert_in("ermission denied", refused.err)
        g.assert_equal(rules(g), [])


@scenario
def journal_and_live_stream_tell_every_decision(g):
    """`log` has program, operation, address, verdict and rule; `watch` shows them as they are made."""
    with g.snetd(CLOSED):
        stream = g.spawn("snet-tool", "watch", "--json")
        g.tool("allow", "curl", "tcp", "connect")
        time.sleep(1)
        fetch(g, check=True)
        Client(g).call("tcp", g.peer.address6, 8081)

        def told(lines):
            entries = [json.loads(line) for line in lines.splitlines()]
            entries = [entry.get("decided", entry) for entry in entries]
            return [(entry["exe"].split("/")[-1][:7], entry["operation"], entry["remote"], entry["verdict"], entry["rule"])
                    for entry in entries]

        expected = [("curl", "connect", f"{g.peer.address4}:8080", "allow", 1),
                    ("python3", "connect", f"[{g.peer.address6}]:8081", "deny", None)]
        g.eventually(lambda: told(g.tool("log", "--json").out) == expected, what="the journal has both")
        g.eventually(lambda: told(stream.output()) == expected, what="the stream showed both")


@scenario
def reloads_its_configuration_on_sighup(g):
    """A changed fallback counts at once; a wrong file is refused and the old configuration stays."""
    with g.snetd(CLOSED) as daemon:
        text = daemon.config.read_text()
        g.assert_equal(fetch(g).rc, REFUSED)
        daemon.config.write_text(text.replace('"deny"', '"allow"'))
        daemon.reload()
        g.eventually(lambda: fetch(g).ok, what="the fallback is allow")
        daemon.config.write_text(text + "nonsense = 1\n")
        daemon.reload()
        g.eventually(lambda: "nonsense" in str(g.stats()["daemon"]["problem"]), what="status tells the problem")
        fetch(g, check=True)


@scenario
def replaced_program_keeps_its_rule_and_a_namesake_gets_none(g):
    """An upgraded file is the same program; a file of the same name elsewhere, or seen under that path in a chroot
    or in another mount namespace, is not."""
    program = Path("/usr/local/bin/fetcher")
    g.at_end(lambda: program.unlink(missing_ok=True))
    url = g.peer.url()
    with g.snetd(CLOSED):
        note = g.tool("allow", "fetcher", "tcp", "connect")
        g.assert_in("fetcher", note.err + note.out)
        for _ in range(2):  # not there when the rule was made; then replaced by another file
            g.run("cp", "/usr/bin/curl", "/usr/local/bin/fetcher.new", check=True)
            g.run("mv", "/usr/local/bin/fetcher.new", str(program), check=True)
            g.run(str(program), "-sS", url, check=True)
        other = g.tmp / "fetcher"
        g.run("cp", "/usr/bin/curl", str(other), check=True)
        g.assert_equal(g.run(str(other), "-sS", url).rc, REFUSED, "a namesake elsewhere")
        covered = f"mount --bind {other} {program} && exec {program} -sS {url}"
        g.assert_equal(g.run("unshare", "--mount", "sh", "-c", covered).rc, REFUSED, "another file under its path")
        g.run("unshare", "--mount", str(program), "-sS", url, check=True)
        g.assert_equal(g.run("unshare", "--user", "--map-root-user", str(program), "-sS", url).rc, REFUSED,
                       "another user namespace")
        root = g.tmp / "root"
        (root / "usr/local/bin").mkdir(parents=True)
        for library in ("lib", "lib64", "usr/lib", "usr/lib64", "etc"):
            if Path("/" + library).is_symlink():
                (root / library).symlink_to(Path("/" + library).readlink())
            elif Path("/" + library).is_dir():
                (root / library).mkdir(parents=True, exist_ok=True)
                g.run("mount", "--bind", "/" + library, str(root / library), check=True)
                g.at_end(lambda at=root / library: g.run("umount", str(at)))
        g.run("cp", "/usr/bin/curl", str(root / "usr/local/bin/fetcher"), check=True)
        g.assert_equal(g.run("chroot", str(root), "/usr/local/bin/fetcher", "-sS", url).rc, REFUSED, "in a chroot")
        g.run(str(program), "-sS", url, check=True)


@scenario
def explains_what_it_would_decide(g):
    """`snet-tool test` says what the calls then show."""
    with g.snetd(CLOSED):
        g.tool("allow", "curl", "tcp", "connect")
        g.tool("deny", "curl", "tcp", "connect", "--to", g.peer.other4)
        allowed = g.tool("test", "curl", "tcp", "connect", "--to", f"{g.peer.address4}:8080")
        g.assert_in("allow", allowed.out)
        denied = g.tool("test", "curl", "tcp", "connect", "--to", f"{g.peer.other4}:8080", check=False)
        g.assert_equal(denied.rc, 3, denied.out + denied.err)
        fetch(g, check=True)
        g.assert_equal(fetch(g, g.peer.other4).rc, REFUSED)


@scenario
def stops_cleanly_and_keeps_what_it_knows(g):
    """SIGTERM: exit code 0, no socket left; rules and journal are there at the next start."""
    database = g.tmp / "rules.db"
    with g.snetd(CLOSED, database=database):
        g.tool("allow", "curl", "tcp", "connect", "--note", "kept")
        fetch(g, check=True)
    g.assert_true(not Path("/run/snet/snetd.sock").exists(), "the control socket is gone")
    unreachable = g.tool("status", check=False)
    g.assert_equal(unreachable.rc, 4, unreachable.err)
    with g.snetd(CLOSED, database=database):
        (rule,) = rules(g)
        g.assert_equal((rule["note"], rule["hits"]), ("kept", 1))
        g.assert_equal(len(g.tool("log", "--json").out.splitlines()), 1)


@scenario(module=False)
def shipped_configuration_is_right(g):
    """The shipped daemon accepts the shipped file."""
    g.run(*arguments(Path("/etc/snet/snetd.toml")), "--check-config", check=True)
    g.assert_true(Path(SNETD).exists(), SNETD)


@scenario
def doctor_tells_what_is_wrong_and_what_to_do(g):
    """All is well: exit code 0. Without the module or the daemon: what to do, and exit code 1."""
    with g.snetd(CLOSED):
        well = g.tool("doctor")
        g.assert_in("snetd decides what the module holds", well.out)
        g.assert_in("a call of its own was denied after", well.out)
        g.unload_module()
        g.eventually(lambda: g.tool("doctor", check=False).rc == 1, what="it is noticed")
        g.assert_in("modprobe snet", g.tool("doctor", check=False).out)
        g.load_module()
        g.eventually(lambda: g.tool("doctor", check=False).rc == 0, 20, what="all is well again")
    g.assert_in("systemctl enable --now snetd", g.tool("doctor", check=False).out)


@scenario
def observing_blocks_nothing_and_takes_back_tickets_that_deny(g):
    """The way out: a program that is denied by a ticket in the kernel may at once, and may not when that is over."""
    with g.snetd({}):
        g.tool("deny", "python3", "tcp", "connect")
        client = Client(g)
        for _ in range(2):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(counter(g, "ticket_denied"), 1)
        g.tool("open", "1h")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.eventually(lambda: "would deny (rule 1)" in g.tool("log").out, what="the log tells what would have been")
        g.tool("rules", "delete", "2")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
