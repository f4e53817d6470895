#!/usr/bin/python3
"""
Goal: a consumer of the feed gets every event once, in seq order, whoever it reads from and however
often it starts again.
Method: readers resume by `next_seq` in pages of random size on changing nodes while orders are
walked and a leader dies; subscriptions do so with little credit. What they saw is compared with
the histories of all orders.
"""

import threading
import time

import quorder
from quorder import Gone, Refused, check_feed, scale


class Reader(threading.Thread):
    """Reads the feed from 0 by feed.read, a page here and a page there."""

    def __init__(self, cluster, rng_seed):
        super().__init__()
        self.cluster = cluster
        self.client = cluster.client(quorder.random.Random(rng_seed))
        self.rng = self.client.rng
        self.events = []
        self.until = None  # Set to the last seq when no more will come.
        self.fault = None

    def run(self):
        next_seq = 0
        try:
            while self.until is None or next_seq <= self.until:
                if self.rng.random() < 0.2:
                    self.client.close()  # Another node, from the same place.
                page = self.client.call("feed.read", from_seq=next_seq, wait_ms=200,
                                        limit=self.rng.choice((1, 3, 50, 1000)))
                for event in page["events"]:
                    assert event["seq"] >= next_seq, (event, next_seq)
                self.events += page["events"]
                assert page["next_seq"] >= next_seq
                next_seq = page["next_seq"]
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault
        self.client.close()


class Subscriber(Reader):
    """The same by feed.subscribe, giving credit in small parts, and starting again at times."""

    def run(self):
        next_seq = 0
        try:
            while self.until is None or next_seq <= self.until:
                next_seq = self.subscribe(next_seq, self.rng.randrange(1, 400))
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault
        self.client.close()

    def subscribe(self, next_seq, events):
        """Follows for about so many events; where to go on."""
        credit = 7
        try:
            connection = self.client.connect()
            begun = connection.call("feed.subscribe", from_seq=next_seq, credit=credit)
            assert begun["next_seq"] == max(next_seq, 1), begun
            while events > 0 and (self.until is None or next_seq <= self.until):
                name, (told,) = connection.wait_notification(20.0)
                assert name == "feed.events" and told["subscription"] == begun["subscription"]
                assert len(told["events"]) <= credit, "more than there was credit for"
                for event in told["events"]:
                    assert event["seq"] >= next_seq
                self.events += told["events"]
                next_seq = told["next_seq"]
                credit -= len(told["events"])
                events -= len(told["events"])
                if told["events"]:
                    more = self.rng.randrange(1, 30)
                    credit += more
                    connection.notify("feed.credit", {"subscription": begun["subscription"],
                                                      "credit": more})
        except (Gone, Refused):
            pass
        self.client.close()
        return next_seq


class Feed(quorder.Test):
    machines = (quorder.TOGGLE, quorder.PARCEL)

    def test_an_empty_text_is_not_none(self):
        call = self.cluster.at(self.cluster.leader()).call
        texts = ("actor", "reason", "trace")
        for i, value in enumerate((None, "", "x")):
            order = f"texts-{i}"
            call("order.create", id=order, machine="toggle", **{name: value for name in texts})
            event = call("order.history", id=order)["events"][0]
            self.assertEqual([event[name] for name in texts], [value] * 3)

    def test_every_event_once(self):
        readers = [Reader(self.cluster, 1), Reader(self.cluster, 2), Subscriber(self.cluster, 3),
                   Subscriber(self.cluster, 4)]
        walkers = [quorder.Walker(self.cluster, f"feed-{i}", 20, i, 8) for i in range(2)]
        for thread in readers + walkers:
            thread.start()
        for _ in range(scale(1, 2, 6)):
            before = sum(w.acknowledged for w in walkers)
            quorder.eventually(
                lambda: sum(w.acknowledged for w in walkers) > before + 300
                or any(w.fault for w in walkers), 120, "300 more steps")
            leader = self.cluster.leader()
            self.cluster.kill(leader)
            self.cluster.leader(self.cluster.others(leader))
            self.cluster.restart(leader)
        for walker in walkers:
            walker.finish()
        self.cluster.caught_up()  # A new leader may not have executed all yet.
        high = self.cluster.call(self.cluster.leader(), "feed.read", from_seq=1, limit=1)["high_seq"]
        for reader in readers:
            reader.until = high
            reader.join(60)
            self.assertFalse(reader.is_alive(), "a reader does not come to the end")
            if reader.fault:
                raise reader.fault
            check_feed(reader.events)
            self.assertEqual(len(reader.events), high)
            self.assertEqual(reader.events, readers[0].events)
        self.compare_with_histories(readers[0].events)

    def compare_with_histories(self, events):
        orders = {}
        for event in events:
            orders.setdefault(event["id"], []).append(event)
        for order, told in orders.items():
            n = self.rng.choice(list(self.cluster.all()))
            self.assertEqual(self.cluster.history(n, order), told)

    def test_resumes_exactly_where_it_ended(self):
        call = self.cluster.at(1).call
        high = max(call("order.create", id=f"exact-{i}", machine="toggle")["seq"]
                   for i in range(30))
        for n in self.cluster.all():
            connection = self.cluster.connect(n)
            for seq in range(high - 20, high + 1):
                page = connection.call("feed.read", from_seq=seq, limit=1, wait_ms=5000)
                self.assertEqual([e["seq"] for e in page["events"]], [seq])
                self.assertEqual(page["next_seq"], seq + 1)
                begun = connection.call("feed.subscribe", from_seq=seq, credit=1)
                _, (told,) = connection.wait_notification()
                self.assertEqual([e["seq"] for e in told["events"]], [seq])
                self.assertEqual(told["next_seq"], seq + 1)
                connection.call("feed.unsubscribe", subscription=begun["subscription"])
            connection.close()

    def test_waits_for_the_next_event(self):
        follower = self.cluster.others(self.cluster.leader())[0]
        connection = self.cluster.connect(follower)
        call = self.cluster.at(1).call
        first = call("order.create", id="before", machine="toggle")
        connection.call("order.get", id="before", min_seq=first["seq"], consistency="local")
        waiting = connection.send("feed.read", {"wait_ms": 20000})
        connection.call("ping")  # Now the read is under way: requests are taken in order.
        receipt = call("order.create", id="awaited", machine="toggle")
        page = connection.wait(waiting)
        self.assertEqual([e["seq"] for e in page["events"]], [receipt["seq"]])
        begin = time.monotonic()
        page = connection.call("feed.read", wait_ms=300)
        self.assertEqual(page["events"], [])
        self.assertGreaterEqual(time.monotonic() - begin, 0.25)
        connection.close()

    def test_filters(self):
        call = self.cluster.at(1).call
        begin = call("order.create", id="f-1", machine="toggle")["seq"]
        call("order.create", id="f-2", machine="parcel", attributes={"owner": "o", "code": "f-2"})
        call("order.transition", id="f-1", event="go")
        end = call("order.transition", id="f-2", event="lose")["seq"]
        call("order.get", id="f-2", consistency="local", min_seq=end)  # Else it may not be here yet.
        shard = {e["id"]: e["shard"] for e in call("feed.read", from_seq=begin)["events"]}
        table = [
            ({}, ["f-1", "f-2", "f-1", "f-2"]),
            ({"machines": ["toggle"]}, ["f-1", "f-1"]),
            ({"states": ["LOST", "B"]}, ["f-1", "f-2"]),
            ({"machines": ["toggle"], "states": ["LOST"]}, []),
            ({"machines": ["nobody"]}, []),
            ({"shards": [shard["f-2"]], "machines": ["parcel"]}, ["f-2", "f-2"]),
        ]
        for n in self.cluster.all():
            with self.cluster.connect(n) as connection:
                connection.call("order.get", id="f-1", consistency="local", min_seq=end)
                for filters, want in table:
                    with self.subTest(filters=filters, node=n):
                        page = connection.call("feed.read", from_seq=begin, **filters)
                        self.assertEqual([e["id"] for e in page["events"]], want)
                        self.assertEqual(page["next_seq"], end + 1)


if __name__ == "__main__":
    quorder.main()
