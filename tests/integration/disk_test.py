#!/usr/bin/python3
"""
Goal: below the reserve of free disk, writes are refused with `overloaded`, reason `disk`; reads and
the feed go on; with room again, writes do too.
Method: the nodes are started again with a reserve that no disk has, then with a small one.
"""

import quorder

NO_DISK_HAS = str(1 << 60)


class Disk(quorder.Test):
    machines = (quorder.TOGGLE,)

    def restart_all(self, *flags):
        for n in self.cluster.all():
            self.cluster.restart(n, *flags)
        return self.cluster.leader()

    def test_writes_are_refused_below_the_reserve(self):
        client = self.cluster.client(self.rng)
        first = client.call("order.create", id="kept", machine="toggle", request_id="1")
        client.close()
        self.restart_all("--disk-reserve", NO_DISK_HAS)
        writes = [
            ("order.create", {"id": "new", "machine": "toggle"}),
            ("order.transition", {"id": "kept", "event": "go"}),
            ("order.batch", {"atomic": True, "operations": [
                {"op": "create", "id": "new", "machine": "toggle"}]}),
            ("machine.put", {"source": quorder.PARCEL}),
        ]
        for n in self.cluster.all():
            with self.cluster.connect(n) as connection:
                for method, params in writes:
                    with self.subTest(method=method, node=n):
                        details = self.refused(400, connection.call, method, **params)
                        self.assertEqual(details["reason"], "disk")
                        self.assertGreater(details["retry_after_ms"], 0)
                        self.assertIs(details["applied"], False)
            with self.cluster.at(n) as client:
                self.assertEqual(client.call("order.get", id="kept")["version"], 1)
                # A follower may still execute what was committed before the restart.
                events = quorder.eventually(
                    lambda: client.call("feed.read", from_seq=1)["events"], what="the feed")
                self.assertEqual([e["id"] for e in events], ["kept"])
                self.assertEqual(client.call("order.history", id="kept")["events"], events)
        self.restart_all("--disk-reserve", "1")
        client = self.cluster.client(self.rng)
        moved = client.call("order.transition", id="kept", event="go", request_id="2")
        self.assertEqual((moved["version"], moved["seq"]), (2, first["seq"] + 1))
        client.close()


if __name__ == "__main__":
    quorder.main()
