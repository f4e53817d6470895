#!/usr/bin/python3
"""
Goal: a timer fires exactly once, never early, also over a failover; one whose order moved on or
left and came back does not fire at its old time.
Method: orders with a timeout of seconds, set before the leader is killed or all nodes restart;
orders with timeouts of a few milliseconds, shorter than an entry takes to be executed.
"""

import itertools
import time

import quorder
from quorder import scale

WAITING = """
machine: waiting
version: 1
initial: OPEN
states:
  OPEN:    {timeout: {after: 4s, event: expire}}
  TAKEN:   {}
  EXPIRED: {final: true}
  DONE:    {final: true}
events:
  expire: {from: OPEN, to: EXPIRED}
  look:   {from: OPEN}
  extend: {from: OPEN, restart: true}
  take:   {from: OPEN, to: TAKEN}
  give:   {from: TAKEN, to: OPEN}
  done:   {from: [OPEN, TAKEN], to: DONE}
"""
# An order that never rests: were one timeout passed over, it would stand still.
RESTLESS = """
machine: restless
version: 1
initial: P
states:
  P: {timeout: {after: 1ms, event: pq}}
  Q: {timeout: {after: 3ms, event: qr}}
  R: {timeout: {after: 25ms, event: rp}}
  Z: {final: true}
events:
  pq:   {from: P, to: Q}
  qr:   {from: Q, to: R}
  rp:   {from: R, to: P}
  stop: {from: [P, Q, R], to: Z}
"""
AFTER = 4_000_000
LATE = 15_000_000  # "Normally within a second"; failovers and a loaded machine stand between.


class Timers(quorder.Test):
    machines = (WAITING, RESTLESS)
    sent = itertools.count(1)

    def send(self, method, requests):
        """The results of requests that the leader gets in one piece: one by one, a slow machine
        would take as long as a timeout."""
        requests = [dict(r, request_id=f"{method}-{next(self.sent)}") for r in requests]
        with self.cluster.connect(self.cluster.leader()) as connection:
            ids = connection.send_many([(method, r) for r in requests])
            return [quorder.settled(connection, msgid, method, r)
                    for msgid, r in zip(ids, requests)]

    def create(self, prefix, count):
        """Orders in OPEN, with their deadlines."""
        return {r["id"]: r["at"] + AFTER for r in self.send("order.create", [
            {"id": f"{prefix}-{i}", "machine": "waiting"} for i in range(count)])}

    def step(self, orders, event):
        """The deadlines of orders whose stay in OPEN begins with that event."""
        return {r["id"]: r["at"] + AFTER for r in self.send("order.transition", [
            {"id": order, "event": event} for order in orders])}

    def final_histories(self, orders, within=40.0):
        """Histories once every order has an end, read on each node."""
        client = self.cluster.client(self.rng)

        def ended():
            return all(client.call("order.get", id=o)["final"] for o in orders)

        quorder.eventually(ended, within, "an end of all orders")
        client.close()
        quorder.pause(1.5)  # A second firing, if there is one, has its chance.
        self.cluster.digests()
        told = [{o: self.cluster.history(n, o) for o in orders} for n in self.cluster.all()]
        self.assertEqual(told[0], told[1])
        self.assertEqual(told[0], told[2])
        return told[0]

    def check_fired(self, history, deadline):
        fired = [e for e in history if e["actor"] == "timer"]
        self.assertEqual(len(fired), 1, history)
        event = fired[0]
        self.assertEqual((event["event"], event["to"]), ("expire", "EXPIRED"))
        self.assertEqual((event["request_id"], event["reason"]), (None, None))
        self.assertGreaterEqual(event["at"], deadline, "early")
        self.assertLess(event["at"], deadline + LATE, "late")
        self.assertEqual(history[-1], event)

    def test_fires_once_after_a_failover(self):
        orders = self.create("failover", 50)
        leader = self.cluster.leader()
        self.cluster.kill(leader)
        self.cluster.leader(self.cluster.others(leader))
        self.cluster.restart(leader)
        for order, history in self.final_histories(orders).items():
            self.check_fired(history, orders[order])

    def test_fires_once_while_the_leader_dies(self):
        """The leader is killed when the deadlines are just being reached."""
        orders = self.create("dying", 200)
        for _ in range(scale(1, 2, 4)):
            quorder.pause(max(0.0, min(orders.values()) / 1e6 - time.time() + 0.05))
            leader = self.cluster.leader()
            self.cluster.kill(leader)
            self.cluster.restart(leader)
            self.cluster.leader()
        for order, history in self.final_histories(orders).items():
            self.check_fired(history, orders[order])

    def test_fires_after_a_restart_of_all(self):
        orders = self.create("restart", 20)
        self.cluster.stop()
        quorder.pause(max(0.0, max(orders.values()) / 1e6 - time.time()))
        self.cluster.start()
        for order, history in self.final_histories(orders).items():
            events = [e["event"] for e in history]
            self.assertEqual(events, ["create", "expire"])
            self.assertTrue(orders[order] <= history[1]["at"] < orders[order] + 30_000_000)

    def test_does_not_fire_when_the_order_moved_on(self):
        moved = list(self.create("moved", 20))
        back = list(self.create("back", 20))
        looked = self.create("looked", 5)
        call = self.cluster.client(self.rng).call
        self.step(moved, "take")
        quorder.pause(1.0)  # So that the second stay ends a second after the first would have.
        self.step(back, "take")
        deadlines = self.step(back, "give")
        self.step(looked, "look")  # Staying changes no deadline.
        extended = list(self.create("extended", 1))[0]
        quorder.pause(1.0)
        deadlines.update(self.step([extended], "extend"))
        told = call("order.get_many", ids=list(deadlines))["orders"]
        self.assertEqual([order["deadline"] for order in told],
                         [{"at": at, "event": "expire"} for at in deadlines.values()])
        histories = self.final_histories([*back, *looked, extended])
        for order in [*back, extended]:
            self.check_fired(histories[order], deadlines[order])
        for order in looked:
            self.check_fired(histories[order], looked[order])
        for order in moved:
            events = [e["event"] for e in self.cluster.history(1, order)]
            self.assertEqual(events, ["create", "take"])
            self.assertIsNone(call("order.get", id=order)["deadline"])

    def test_none_is_passed_over_for_being_short(self):
        """A deadline may lie before others that were found due while its entry was on its way."""
        orders = [f"restless-{i}" for i in range(20)]
        client = self.cluster.client(self.rng)
        for order in orders:
            client.call("order.create", id=order, machine="restless", request_id="1")
        for i in range(scale(5, 20, 100)):
            orders.append(f"late-{i}")
            leader = self.cluster.leader()
            followers = self.cluster.others(leader)
            create = {"id": orders[-1], "machine": "restless", "request_id": "1"}
            with self.cluster.connect(leader) as connection:
                # Not for so long that the leader gives up: a new one would look at all deadlines.
                self.cluster.halt(followers)
                msgid = connection.send("order.create", create)
                quorder.pause(0.25)
                self.cluster.go_on(followers)
                quorder.settled(connection, msgid, "order.create", create)
            versions = {o: client.call("order.get", id=o)["version"] for o in orders}
            quorder.eventually(
                lambda before=versions: all(
                    client.call("order.get", id=o)["version"] > v for o, v in before.items()),
                60, "another step of every order")
        for order in orders:
            client.call("order.transition", id=order, event="stop", request_id="2")
        client.close()
        self.cluster.digests()

    def test_races_with_a_command_at_the_deadline(self):
        """`done` is sent just when the timer is due: one of the two happens, never both."""
        orders = self.create("race", scale(50, 250, 1000))
        connection = self.cluster.connect(self.cluster.leader())
        outcomes = {"done": 0, "expire": 0}
        moments = sorted((deadline / 1e6 + self.rng.random() - 0.5, order)
                         for order, deadline in orders.items())
        sent = []
        for moment, order in moments:
            quorder.pause(max(0.0, moment - time.time()))
            done = {"id": order, "event": "done", "request_id": "done"}
            sent.append((connection.send("order.transition", done), done))
        for msgid, done in sent:
            try:
                quorder.settled(connection, msgid, "order.transition", done)
            except quorder.Refused as refused:
                self.assertEqual(refused.number, 202)
        for history in self.final_histories(orders).values():
            self.assertEqual(len(history), 2)
            outcomes[history[1]["event"]] += 1
        print(outcomes, flush=True)
        self.assertGreater(min(outcomes.values()), 0, "the two never met")
        connection.close()


if __name__ == "__main__":
    quorder.main()
