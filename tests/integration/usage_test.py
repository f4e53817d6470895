#!/usr/bin/python3
"""
Goal: whoever starts a node wrongly is told what is wrong, by its value, and nothing is left behind.
Method: quorderd as it is, with lines that hold a mistake, and with ports that somebody else has.
"""

import pathlib
import signal
import socket
import subprocess

import quorder

SERVER = pathlib.Path(quorder.BUILD) / "src" / "server" / "quorderd"
MEMBERS = ("--member", "1=127.0.0.1:26401", "--member", "2=127.0.0.1:26402")


class Usage(quorder.Test):
    nodes = 1

    def setUp(self):
        super().setUp()
        self.data = self.cluster.directory / self.id().rsplit(".", 1)[1]

    def refused(self, status, *words):
        """What quorderd says; it made nothing."""
        done = subprocess.run([SERVER, *words], capture_output=True, text=True, timeout=30,
                              check=False)
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        self.assertFalse(self.data.exists())
        self.assertNotIn("fatal", done.stderr)
        return done.stderr

    def test_mistakes_of_init(self):
        for words, told in (
                (("--id", "3"), "id 3 is not among the members"),
                (("--id", "0"), "--id: must be from 1 to 4294967295, not 0"),
                (("--id", "1", "--member", "2=127.0.0.1:26403"), "two members have the id 2"),
                (("--id", "1", "--member", "3=127.0.0.1:26402"), "same address 127.0.0.1:26402"),
                (("--id", "1", "--member", "3=127.0.0.1:65536"), "port from 1 to 65535"),
                (("--id", "1", "--shards", "300"), "--shards: must be from 1 to 256, not 300"),
                (("--id", "1", "--cluster", "Shop"), 'cluster id "Shop"')):
            with self.subTest(words=words):
                line = ("init", "--data", self.data, "--cluster", "c", *MEMBERS, *words)
                self.assertIn(told, self.refused(2, *line))
        line = ("init", "--data", self.data / "deep", "--cluster", "c", "--id", "1", *MEMBERS)
        self.assertIn(f"there is no directory: {self.data}", self.refused(2, *line))

    def test_a_configuration_that_is_not_there(self):
        self.assertIn("/nowhere.yaml: No such file", self.refused(2, "--config", "/nowhere.yaml"))

    def test_all_mistakes_of_a_configuration(self):
        bad = self.cluster.directory / "bad.yaml"
        bad.write_text("data: /x\nlisten: here\nheartbeat_ms: 1\n")
        told = self.refused(10, "check-config", bad)
        self.assertIn(':2:1: listen: "here" is not host:port', told)
        self.assertIn(":3:1: heartbeat_ms: must be from 5 to 10000, not 1", told)
        done = subprocess.run([SERVER, "check-config", "--help"], capture_output=True, text=True,
                              timeout=30, check=True)
        self.assertIn("check-config FILE", done.stdout)

    def test_dev_leaves_nothing_where_its_port_is_taken(self):
        port = self.cluster.base + 15
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            told = self.refused(18, "--dev", "--data", self.data, "--listen", f"127.0.0.1:{port}")
        self.assertIn(f"cannot listen on 127.0.0.1:{port}: Address already in use", told)
        self.assertFalse(self.data.exists())

    def test_dev_names_the_address_of_its_directory(self):
        made_for = f"127.0.0.1:{self.cluster.base + 15}"
        node = subprocess.Popen([SERVER, "--dev", "--data", self.data, "--listen", made_for],
                                stderr=subprocess.DEVNULL)
        try:
            client = quorder.Client([made_for])
            client.call("ping")
            client.close()
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait(30)
        done = subprocess.run([SERVER, "--dev", "--data", self.data, "--listen", "127.0.0.1:26409"],
                              capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(f"was made for {made_for}", done.stderr)


if __name__ == "__main__":
    quorder.main()
