#!/usr/bin/python3
"""
Goal: the tools do on a real cluster what their help says, with the exit status that it says; one
node runs without any configuration.
Method: quorderctl, quorder-bench and quorderd as a user calls them, on clusters with and without a
leader.
"""

import json
import os
import signal
import subprocess
import sys
import time

import quorder
from quorder import BUILD

CTL = BUILD / "tools" / "ctl" / "quorderctl"
BENCH = BUILD / "tools" / "bench" / "quorder-bench"
REPLAY = BUILD / "tools" / "replay" / "quorder-replay"
SERVER = BUILD / "src" / "server" / "quorderd"
MACHINES = quorder.ROOT / "cluster" / "machines"
SOON = 12  # Seconds; less than the 15 and more for which a tool would try again.


class Tools(quorder.Test):
    machines = (quorder.TOGGLE, quorder.PARCEL)
    flags = quorder.CALM

    def ctl(self, status, *words, endpoints=None, text=None):
        """Standard output and error of quorderctl, which must end with `status`."""
        environment = dict(os.environ, QUORDER_ENDPOINTS=",".join(
            endpoints or self.cluster.addresses()))
        done = subprocess.run([CTL, *words], env=environment, input=text, capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def test_orders(self):
        out, _ = self.ctl(0, "order", "create", "t-1", "toggle", "-a", "note=hello", "-o", "json")
        self.assertEqual(json.loads(out)["to"], "A")
        _, err = self.ctl(0, "order", "transition", "t-1", "go")
        self.assertIn("request id", err, "made and printed if absent")
        first, _ = self.ctl(0, "order", "transition", "t-1", "back", "--request-id", "r", "-o",
                            "json")
        again, _ = self.ctl(0, "order", "transition", "t-1", "back", "--request-id", "r", "-o",
                            "json")
        self.assertEqual(dict(json.loads(first), replayed=True), json.loads(again))
        out, _ = self.ctl(0, "order", "get", "t-1", "-o", "json")
        order = json.loads(out)
        self.assertEqual((order["state"], order["version"], order["attributes"]),
                         ("A", 3, {"note": "hello"}))
        out, _ = self.ctl(0, "order", "history", "t-1", "-o", "jsonl")
        self.assertEqual([json.loads(line)["event"] for line in out.splitlines()],
                         ["create", "go", "back"])
        out, _ = self.ctl(0, "order", "list", "toggle", "--state", "A", "-o", "jsonl")
        self.assertIn("t-1", out)
        lines = "".join(json.dumps({"op": "create", "id": f"t-b{i}", "machine": "toggle"}) + "\n"
                        for i in range(3))
        self.ctl(0, "order", "batch", "-", "--atomic", text=lines)
        self.ctl(0, "order", "get", "t-b0", "t-b1", "t-b2")
        self.ctl(0, "order", "get", "t-1", "-o", "table")

    def test_exit_statuses(self):
        self.ctl(0, "ping")
        self.ctl(0, "order", "create", "s-1", "toggle")
        self.ctl(4, "order", "transition", "s-1", "back")
        self.ctl(4, "order", "create", "s-2", "parcel")
        self.ctl(2, "order", "erase", "s-1")
        self.ctl(2, "order", "create", "s-1")
        self.ctl(2, "order", "get", "s-1", "--no-such-option")
        self.ctl(3, "ping", endpoints=["127.0.0.1:1"])
        self.ctl(3, "order", "get", "s-1", "--timeout", "1s", endpoints=["127.0.0.1:1"])

    def test_no_leader_and_unknown_outcome(self):
        self.ctl(0, "order", "create", "n-1", "toggle")
        leader = self.cluster.leader()
        others = self.cluster.others(leader)
        self.cluster.halt(others)
        try:
            _, err = self.ctl(6, "order", "transition", "n-1", "go", "--request-id", "n",
                              "--timeout", "1s", endpoints=[self.cluster.address(leader)])
            self.assertIn("--request-id n", err, "the command that asks again")
            quorder.eventually(lambda: self.cluster.call(leader, "hello")["leader"] is None,
                               what="no leader known")
            self.ctl(5, "order", "transition", "n-1", "go", "--request-id", "m", "--timeout", "1s",
                     endpoints=[self.cluster.address(leader)])
        finally:
            self.cluster.go_on(others)
        self.cluster.leader()
        out, _ = self.ctl(0, "order", "transition", "n-1", "go", "--request-id", "n", "--timeout",
                          "20s", "-o", "json")
        self.assertEqual(json.loads(out)["version"], 2)

    def test_machines(self):
        for path in sorted(MACHINES.glob("*.yaml")):
            self.ctl(0, "machine", "check", str(path), endpoints=["127.0.0.1:1"])
            self.ctl(0, "machine", "put", str(path))
            out, _ = self.ctl(0, "machine", "get", path.stem)
            self.assertEqual(out, path.read_text())
            out, _ = self.ctl(0, "machine", "graph", str(path), endpoints=["127.0.0.1:1"])
            self.assertIn("digraph", out)
            out, _ = self.ctl(0, "machine", "graph", path.stem, "--format", "mermaid")
            self.assertIn("stateDiagram", out)
        bad = self.cluster.directory / "bad.yaml"
        bad.write_text(quorder.TOGGLE.replace("initial: A", "initial: C"))
        out, err = self.ctl(4, "machine", "check", str(bad))
        self.assertIn(":4:", out + err, "line and column")
        out, _ = self.ctl(0, "machine", "list", "-o", "json")
        self.assertIn("marketplace", out)

    def test_feed_and_status(self):
        self.ctl(0, "order", "create", "f-1", "toggle")
        out, _ = self.ctl(0, "feed", "tail", "--from-seq", "1", "--no-follow", "-o", "jsonl")
        events = [json.loads(line) for line in out.splitlines()]
        quorder.check_feed(events)
        self.assertEqual(events[-1]["id"], "f-1")
        for n in self.cluster.all():
            out, _ = self.ctl(0, "cluster", "status", "--node", self.cluster.address(n), "-o",
                              "json")
            status = json.loads(out)
            self.assertEqual(status["node_id"], n)
            self.assertEqual(len(status["members"]), 3)
        self.every_member_is_asked()
        out, _ = self.ctl(0, "completion", "bash")
        self.assertIn("complete", out)

    def every_member_is_asked(self):
        leader = self.cluster.leader()
        dead = self.cluster.others(leader)[0]
        address = self.cluster.address(leader)
        out, _ = self.ctl(0, "cluster", "status", "-o", "json", endpoints=[address])
        told = {m["id"]: m for m in json.loads(out)["members_asked"]}
        self.assertEqual({n: m["state"] == "leader" for n, m in told.items()},
                         {n: n == leader for n in self.cluster.all()})
        for member in told.values():
            self.assertIsInstance(member["applied_index"], int)
            self.assertIsInstance(member["lag"], int)
        self.cluster.kill_at_once([dead])
        began = time.monotonic()
        self.ctl(3, "cluster", "status", "--node", self.cluster.address(dead), "--timeout", "30s")
        self.ctl(3, "ping", "--timeout", "30s")
        self.assertLess(time.monotonic() - began, SOON, "refused at once")
        out, _ = self.ctl(0, "cluster", "status", "-o", "json", endpoints=[address])
        member = {m["id"]: m for m in json.loads(out)["members_asked"]}[dead]
        self.assertEqual((member["state"], member["lag"]), ("unreachable", None))
        self.cluster.restart(dead)

    def test_feed_tells_what_it_waits_for(self):
        began = time.monotonic()
        _, err = self.ctl(3, "feed", "tail", "--timeout", "1s", endpoints=["127.0.0.1:1"])
        self.assertLess(time.monotonic() - began, SOON)
        self.assertEqual(err.count("trying again"), 1, err)
        for i in range(2):
            self.ctl(0, "order", "create", f"w-{i}", "toggle")
        node = self.cluster.others(self.cluster.leader())[0]
        # Few events: what nobody reads would hold the command up.
        tail = subprocess.Popen([CTL, "feed", "tail", "--from-seq", "1", "-m", "toggle", "-o",
                                 "jsonl", "-e", self.cluster.address(node), "--node",
                                 self.cluster.address(node)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn('"toggle"', tail.stdout.readline())
            self.cluster.kill_at_once([node])
            self.assertTrue(any("trying again" in line for line in tail.stderr))
            self.cluster.restart(node)
            self.assertTrue(any("connected again" in line for line in tail.stderr))
            tail.stdout.close()
            self.assertEqual(tail.wait(60), 0, "ends when nobody reads")
        finally:
            tail.kill()
            tail.wait()
            tail.stderr.close()
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([CTL, "feed", "tail", "--no-follow", "-e",
                                   self.cluster.address(1)], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("could not be written", done.stderr)

    def test_pages_say_how_they_go_on(self):
        for i in range(3):
            self.ctl(0, "order", "create", f"p-{i}", "parcel", "-a", "owner=a", "-a", f"code=p-{i}")
        seen, cursor = [], []
        while True:
            out, _ = self.ctl(0, "order", "list", "parcel", "-n", "2", "-o", "json", *cursor)
            page = json.loads(out)
            seen += [order["id"] for order in page["orders"]]
            self.assertEqual(page["more"], page["cursor"] is not None)
            if not page["more"]:
                break
            cursor = ["--cursor", page["cursor"]]
        self.assertLessEqual({"p-0", "p-1", "p-2"}, set(seen))
        self.assertEqual(len(seen), len(set(seen)))
        self.ctl(0, "order", "create", "p-h", "toggle")
        self.ctl(0, "order", "transition", "p-h", "go")
        out, _ = self.ctl(0, "order", "history", "p-h", "-n", "1", "-o", "json")
        page = json.loads(out)
        self.assertEqual((len(page["events"]), page["more"], page["from_version"]), (1, True, 2))
        out, err = self.ctl(0, "order", "history", "p-h", "-n", "1")
        self.assertIn("--from-version 2", err)

    def test_refusals_help(self):
        _, err = self.ctl(1, "order", "get", "nowhere")
        self.assertIn("no order 'nowhere'", err)
        _, err = self.ctl(1, "order", "create", "r-1", "nothing")
        self.assertIn("no machine 'nothing'", err)
        _, err = self.ctl(2, "order", "create", "r-1")
        self.assertIn("MACHINE is missing", err)
        _, err = self.ctl(2, "order", "list", "toggle", "--limit", "0")
        self.assertIn("1 to 1000", err)
        out, _ = self.ctl(0, "help")
        self.assertIn("order create", out)
        out, _ = self.ctl(0, "help", "order", "create")
        self.assertIn("--machine-version", out)
        out, err = self.ctl(0, "order", "create", "r-2", "toggle")
        self.assertEqual((out + err).count("request id"), 1)
        self.ctl(0, "machine", "put", str(MACHINES / "order.yaml"))
        _, err = self.ctl(4, "order", "create", "r-3", "order", "-a", "customer_id=c", "-a",
                          "total_cents=1", "-a", "currency=EUR")
        self.assertIn("total_cents:=JSON", err)
        out, _ = self.ctl(4, "order", "batch", "-",
                          text='{"op":"create","id":"r-2","machine":"toggle"}\n')
        self.assertIn("already_exists", out)

    def test_nobody_there_is_told_soon(self):
        for line in ([BENCH], [REPLAY, "--made", "10"]):
            began = time.monotonic()
            done = subprocess.run([*line, "--endpoints", "127.0.0.1:1"], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("no node answers at 127.0.0.1:1", done.stderr)
            self.assertLess(time.monotonic() - began, SOON)

    def test_bench_tells_what_it_measured(self):
        done = subprocess.run(
            [BENCH, "--endpoints", ",".join(self.cluster.addresses()), "--connections", "4",
             "--outstanding", "8", "--orders", "200", "--seconds", "2", "--warmup", "1", "-o",
             "json"], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        told = json.loads(done.stdout)
        for key in ("ops_per_s", "p50_us", "p99_us", "p999_us", "max_us", "errors", "seconds",
                    "connections", "outstanding"):
            self.assertIn(key, told)
        self.assertGreater(told["ops_per_s"], 10)
        self.assertEqual(told["errors"], 0)


class Dev(quorder.Test):
    """One node with no configuration at all, and what quorderd says of configurations."""

    nodes = 1
    machines = (quorder.TOGGLE,)

    def test_one_node_runs_without_configuration(self):
        address = f"127.0.0.1:{self.cluster.base + 7}"
        data = self.cluster.directory / "dev"
        for life in (1, 2):
            node = subprocess.Popen([SERVER, "--dev", "--data", data, "--listen", address],
                                    stderr=subprocess.DEVNULL)
            try:
                client = quorder.Client([address])
                client.call("machine.put", source=quorder.TOGGLE)
                receipt = client.call("order.create", id=f"dev-{life}", machine="toggle")
                self.assertEqual(receipt["seq"], life)
                client.close()
            finally:
                node.send_signal(signal.SIGTERM if life == 1 else signal.SIGKILL)
                node.wait(30)

    def quorderd(self, *words):
        return subprocess.run([SERVER, *words], capture_output=True, text=True, timeout=30,
                              check=False)

    def test_configurations(self):
        example = quorder.ROOT / "cluster" / "quorderd.yaml"
        done = self.quorderd("check-config", example)
        self.assertEqual(done.returncode, 0, done.stderr)
        bad = self.cluster.directory / "bad.yaml"
        bad.touch()
        bad.chmod(0o644)  # Whatever this user's umask is.
        for text, word in (("data: /x\nlog_levle: info\n", "log_levle"),
                           ("data: /x\nlog_bytes: many\n", "log_bytes"),
                           ("data: /x\nsecret_file: /nowhere/secret\n", "No such file"),
                           (f"data: /x\nsecret_file: {bad}\n", "is open to others"),
                           ("data: [\n", "bad.yaml")):
            bad.write_text(text)
            done = self.quorderd("check-config", bad)
            self.assertEqual(done.returncode, 10, done.stdout + done.stderr)
            self.assertIn(word, done.stderr)
        done = self.quorderd("--data", self.cluster.data(1), "--secret-file", bad)
        self.assertEqual(done.returncode, 2, "a node does not start without its secret")
        self.assertIn("is open to others", done.stderr)
        self.assertEqual(self.quorderd("--no-such-option").returncode, 2)
        self.assertEqual(self.quorderd("--help").returncode, 0)
        self.assertRegex(self.quorderd("--version").stdout, r"\d+\.\d+\.\d+")

    def test_a_configured_node(self):
        self.cluster.stop()
        config = self.cluster.directory / "node.yaml"
        config.write_text(f"data: {self.cluster.data(1)}\nlog_level: debug\nlog_bytes: 33554432\n")
        node = subprocess.Popen([SERVER, "--config", config], stderr=subprocess.DEVNULL)
        try:
            client = self.cluster.client()
            client.call("order.create", id="configured", machine="toggle", request_id="1")
            client.close()
        finally:
            node.terminate()
            self.assertEqual(node.wait(30), 0)


if __name__ == "__main__":
    if not BENCH.exists():
        sys.exit(f"{BENCH} is not built")
    quorder.main()
