#!/usr/bin/python3
"""
Goal: 2,000 real orders go through the `marketplace` machine with 32 workers while the leader is
killed three times, and nothing is lost, doubled, reordered or read backwards.
Method: quorder-replay sends the rows and writes down what was acknowledged; here its words are
compared with the histories on all nodes, with one feed reader that began at 0, with the rows
themselves, and with readers that watched the orders all the while. Where the file of real orders is
not there (it is not ours to give on), made ones of the same mix are taken; a line says so.
"""

import csv
import json
import os
import pathlib
import subprocess
import threading

import quorder
from quorder import BUILD, Gone, Refused, check_feed, scale
from feed_test import Reader

REPLAY = BUILD / "tools" / "replay" / "quorder-replay"
MACHINE = (quorder.ROOT / "cluster" / "machines" / "marketplace.yaml").read_text()
REAL = pathlib.Path(os.environ.get("QO_ORDERS", quorder.ROOT / ".." / "shared/data/orders.csv"))
ORDERS = scale(300, 2000, 2000)
# Events a second: a slow machine takes seconds for a kill, an election and a start, and three of
# these fall between. So the first three of SHARES shares of the events each end with a kill.
RATE = scale(50, 200, 200)
KILLS, SHARES = 3, 6


class Watcher(threading.Thread):
    """Reads orders, linearizable, through all nodes; versions must never go back."""

    def __init__(self, cluster, acknowledged, seen, lock, rng_seed):
        super().__init__(daemon=True)
        self.client = cluster.client(quorder.random.Random(rng_seed))
        self.acknowledged = acknowledged  # Order -> newest acknowledged version, kept by the test.
        self.seen = seen  # Order -> newest version that an ended read has shown to any watcher.
        self.lock = lock
        self.ending = threading.Event()
        self.reads = 0
        self.fault = None

    def watch(self):
        with self.lock:
            if not self.acknowledged:
                return
            recent = list(self.acknowledged)[-50:]
            order = self.client.rng.choice(recent)
            floor = max(self.acknowledged[order], self.seen.get(order, 0))
        if self.client.rng.random() < 0.1:
            self.client.close()
        try:
            read = self.client.connect().call("order.get", id=order, timeout_ms=2000)
        except (Gone, Refused) as error:
            assert isinstance(error, Gone) or error.number in (300, 301, 303), error
            self.client.close()
            return
        assert read["version"] >= floor, f"{order} went back: {read['version']} after {floor}"
        with self.lock:
            self.seen[order] = max(self.seen.get(order, 0), read["version"])
        self.reads += 1

    def run(self):
        try:
            while not self.ending.is_set():
                self.watch()
                quorder.pause(0.001)
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault
        self.client.close()


class Replay(quorder.Test):
    machines = (MACHINE,)

    def begin(self):
        """Starts quorder-replay; its process and the file of acknowledgements."""
        acknowledged = self.cluster.directory / "acknowledged"
        acknowledged.touch()
        line = [REPLAY, "--endpoints", ",".join(self.cluster.addresses()), "--workers", "32",
                "--rate", str(RATE), "--acknowledged", acknowledged, "-q", "-o", "json"]
        self.rows = None
        if REAL.exists():
            with open(REAL, newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))[:ORDERS]
            part = self.cluster.directory / "orders.csv"
            with open(part, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)
            line.append(part)
            print(f"{len(self.rows)} real orders of {REAL}", flush=True)
        else:
            line += ["--made", str(ORDERS)]
            print(f"no file of real orders at {REAL}: {ORDERS} made ones of the same mix", flush=True)
        report = open(self.cluster.directory / "report", "w+", encoding="utf-8")
        self.addCleanup(report.close)
        return subprocess.Popen(line, stdout=report), acknowledged, report

    def take_acknowledged(self, file):
        """What the file has more than before; also into the watchers' table."""
        while True:
            text = file.readline()
            if not text.endswith(b"\n"):  # The end, or a line that is being written.
                file.seek(-len(text), os.SEEK_CUR)
                return
            event = json.loads(text)
            self.events.append(event)
            with self.lock:
                self.acknowledged[event["id"]] = max(event["version"],
                                                     self.acknowledged.get(event["id"], 0))

    def test_real_orders(self):
        self.events, self.acknowledged, seen, self.lock = [], {}, {}, threading.Lock()
        reader = Reader(self.cluster, 7)
        watchers = [Watcher(self.cluster, self.acknowledged, seen, self.lock, i) for i in range(3)]
        process, acknowledged, report = self.begin()
        self.addCleanup(process.kill)
        for thread in (reader, *watchers):
            thread.daemon = True
            thread.start()
        down = None
        with open(acknowledged, "rb") as file:
            for kill in range(KILLS):
                def far_enough(share=(kill + 1) / SHARES):
                    self.take_acknowledged(file)
                    return len(self.events) > share * 3.9 * ORDERS or process.poll() is not None
                quorder.eventually(far_enough, 120, "enough orders")
                self.assertIsNone(process.poll(), "the replay ended before the kill")
                down = self.cluster.leader()
                self.cluster.kill_at_once([down])
                self.cluster.leader(self.cluster.others(down))
                self.cluster.restart(down)

            def ended():
                self.take_acknowledged(file)
                return process.poll() is not None

            quorder.eventually(ended, 180, "the end of the replay")
            self.take_acknowledged(file)
        for watcher in watchers:
            watcher.ending.set()
            watcher.join(30)
            if watcher.fault:
                raise watcher.fault
        report.seek(0)
        told = json.load(report)
        self.assertEqual(process.returncode, 0, told)
        self.check_rows(told)
        self.check_feed_and_histories(reader)
        index, value = self.cluster.digests()
        print(f"{told['orders']} orders, {told['acknowledged']} events acknowledged, "
              f"{told['replayed']} of them by a repeat, {told['refused']} refused; leader killed "
              f"{KILLS} times; {sum(w.reads for w in watchers)} reads, none went back; digest "
              f"{value} at {index} on all nodes", flush=True)

    def check_rows(self, told):
        """Each order ended in its row's state, or its refusals are reported."""
        self.assertEqual((told["orders"], told["failed"], told["unknown"]), (ORDERS, 0, 0))
        self.assertEqual(told["acknowledged"], len(self.events))
        reported = {row["order_id"]: row for row in told["rows"]}
        if self.rows is None:
            return
        with self.cluster.client() as client:
            for begin in range(0, len(self.rows), 200):
                rows = self.rows[begin:begin + 200]
                page = client.call("order.get_many", ids=[r["order_id"] for r in rows])
                self.assertFalse(page["more"])
                for row, order in zip(rows, page["orders"]):
                    if order is None or order["state"] != row["status"]:
                        self.assertIn(row["order_id"], reported, f"{row} ended in {order}")
                        self.assertTrue(reported[row["order_id"]]["refused"])

    def check_feed_and_histories(self, reader):
        self.cluster.caught_up()  # A new leader may not have executed all yet.
        high = self.cluster.call(self.cluster.leader(), "feed.read", from_seq=1, limit=1)["high_seq"]
        reader.until = high
        reader.join(60)
        self.assertFalse(reader.is_alive(), "the feed's reader does not come to the end")
        if reader.fault:
            raise reader.fault
        check_feed(reader.events)
        self.assertEqual(len(reader.events), high)
        by_seq = {e["seq"]: e for e in reader.events}
        self.assertEqual(len({e["seq"] for e in self.events}), len(self.events))
        for event in self.events:
            self.assertEqual({k: by_seq[event["seq"]][k] for k in
                              ("id", "request_id", "event", "to", "version")},
                             {k: event[k] for k in ("id", "request_id", "event", "to", "version")})
        # Every request has its own id, and all of them were acknowledged in the end: nothing more.
        self.assertEqual(high, len(self.events), "an event that was acknowledged to nobody")
        orders = {}
        for event in reader.events:
            orders.setdefault(event["id"], []).append(event)
        for n in self.cluster.all():
            with self.cluster.connect(n, 60) as connection:
                for order, events in orders.items():
                    page = connection.call("order.history", id=order, consistency="local",
                                           min_seq=high)
                    self.assertEqual(page["events"], events, f"node {n}")


if __name__ == "__main__":
    quorder.main()
