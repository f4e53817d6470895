#!/usr/bin/python3
"""
Goal: a member that does not know the cluster's secret is no member: it neither follows nor votes nor
hears anything; with the secret it is one again.
Method: three nodes with a secret; one is restarted with another, with none, and with the right one,
while the others work and when they need it for a majority.
"""

import os
import secrets

import quorder


class Secret(quorder.Test):
    machines = (quorder.TOGGLE,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A secret cannot come to one member after the other: all stop first.
        cls.cluster.stop()
        cls.right = cls.secret_file("right", secrets.token_hex(32) + "\n")
        cls.wrong = cls.secret_file("wrong", secrets.token_hex(32) + "\n")
        cls.cluster.run("start", "--", "--secret-file", cls.right, *quorder.CALM)

    @classmethod
    def secret_file(cls, name, text):
        path = cls.cluster.directory / name
        path.touch(mode=0o600)
        path.write_text(text)
        return str(path)

    def follows(self, n):
        return self.cluster.call(n, "hello")["leader"] is not None

    def told(self, n):
        return self.cluster.log(n).read_text(errors="replace")

    def test_who_does_not_know_it_is_no_member(self):
        client = self.cluster.client(self.rng)
        client.call("order.create", id="s", machine="toggle", request_id="0")
        leader = self.cluster.leader()
        stranger, other = self.cluster.others(leader)
        version = 1
        for flags in (("--secret-file", self.wrong), ("--log-level", "info")):  # Another, and none.
            with self.subTest(flags=flags):
                before = len(self.told(leader))
                self.cluster.restart(stranger, *flags)
                quorder.eventually(lambda: "cluster secret" in self.told(leader)[before:],
                                   what="a line that says why")
                for n in (leader, other):
                    with self.cluster.at(n) as client_there:
                        event = quorder.toggle_event(version + 1)
                        receipt = client_there.call("order.transition", id="s", event=event)
                    version += 1
                    self.assertEqual(receipt["version"], version)
                self.assertFalse(self.follows(stranger))
                held = self.cluster.call(stranger, "cluster.status")["digest"]["index"]
                # Nor is it counted when the others need it.
                write = {"id": "s", "event": quorder.toggle_event(version + 1),
                         "request_id": f"s-{version}"}
                with self.cluster.connect(leader) as connection:
                    self.cluster.halt([other])
                    self.refused(302, connection.call, "order.transition", **write,
                                 timeout_ms=700)
                self.assertEqual(
                    self.cluster.call(stranger, "cluster.status")["digest"]["index"], held)
                self.cluster.go_on([other])
                receipt = client.call("order.transition", **write)
                version += 1
                self.assertEqual(receipt["version"], version)
                leader = self.cluster.leader((leader, other))
                other = next(n for n in self.cluster.others(leader) if n != stranger)
        self.cluster.restart(stranger, "--secret-file", self.right)
        self.cluster.leader()
        self.cluster.digests()
        client.close()

    def test_the_secret_is_not_told(self):
        right = open(self.right, encoding="ascii").read().strip()
        for n in self.cluster.all():
            self.assertNotIn(right, self.told(n))
            arguments = open(f"/proc/{self.cluster.pid(n)}/cmdline", "rb").read()
            self.assertNotIn(right.encode(), arguments)
        self.assertEqual(os.stat(self.right).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    quorder.main()
