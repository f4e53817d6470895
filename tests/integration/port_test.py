#!/usr/bin/python3
"""
Goal: clients and members share one port. What a connection is, its first bytes say, in whatever
pieces they come; clients that take all the places do not keep members out.
Method: a node that may open few files, so that its places are few; strangers that speak as members
do. A member's port answers such a one in the members' own way or closes the connection, but never
as a client's.
"""

import os
import time

import quorder
from quorder import LINK_OPENING, Gone

FILES = 800
PLACES = FILES // 4  # What such a node gives to clients.
SPARE = 32  # And lets in besides, to see what they are.
HELLO = LINK_OPENING + b"\x40" + bytes(64)  # Of nobody.


class Port(quorder.Test):
    nodes = 1
    environment = f"prlimit --nofile={FILES}:{FILES}"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sockets_alone = cls.sockets()

    @classmethod
    def sockets(cls):
        """How many the node has open."""
        files = f"/proc/{cls.cluster.pid(1)}/fd"
        names = []
        for name in os.listdir(files):
            try:
                names.append(os.readlink(f"{files}/{name}"))
            except FileNotFoundError:
                pass  # Closed meanwhile.
        return sum(name.startswith("socket:") for name in names)

    def connect(self):
        connection = self.cluster.connect(1)
        self.addCleanup(connection.close)
        return connection

    def pieces(self, connection, data, cuts):
        """Sends `data` cut at `cuts`, each piece in a packet of its own that the node reads alone."""
        for begin, end in zip([0, *cuts], [*cuts, len(data)]):
            connection.send_bytes(data[begin:end])
            self.bystander.call("ping")  # The node has been round its loop since.

    def ended_as_link(self, connection):
        """Taken for a link, and not wanted: it ends soon, and nothing that a client gets is said."""
        said = b""
        connection.socket.settimeout(10)
        try:
            while more := connection.socket.recv(1 << 16):
                said += more
        except ConnectionResetError:
            pass
        self.assertFalse(said.startswith(b"\x94\x01"), said)

    def setUp(self):
        # The clients of the test before take places until the node has seen that they are gone.
        quorder.eventually(lambda: self.sockets() <= self.sockets_alone, what="an empty node")
        self.bystander = self.connect()
        self.bystander.call("ping")

    def tearDown(self):
        self.bystander.call("ping")
        told = self.cluster.log(1).read_text(errors="replace")
        self.assertNotIn("connection_refused", told, "a link was taken for a client")

    def test_a_link_in_any_pieces(self):
        every = list(range(1, len(HELLO)))
        for cuts in [[]] + [[i] for i in range(1, len(LINK_OPENING) + 3)] + [every]:
            with self.subTest(cuts=cuts):
                connection = self.connect()
                try:
                    self.pieces(connection, HELLO, cuts)
                except Gone:
                    pass  # It did not wait for the rest.
                self.ended_as_link(connection)

    def test_what_only_begins_alike_is_a_client(self):
        """Cut where it leaves the way of a link: nothing of what came before is lost."""
        table = {
            1: b"\x94\x00\x05\xa4ping\x90",
            2: b"\x94\x00\x02\xa9peer.link\x90",
            3: b"\x94\x00\x01\xa4ping\x90",
            4: b"\x94\x00\x01\xa9order.abc\x90",
            10: b"\x94\x00\x01\xa9peer.lost\x90",
            13: b"\x94\x00\x01\xa9peer.link\x90",
            14: b"\x94\x00\x01\xa9peer.link\x91\x80",
        }
        for same, request in table.items():
            self.assertEqual(request[:same], LINK_OPENING[:same])
            for cuts in ([], [same], list(range(1, len(request)))):
                with self.subTest(same=same, cuts=cuts):
                    connection = self.connect()
                    self.pieces(connection, request, cuts)
                    msgid, error, _ = connection.wait_any([1, 2, 5])
                    self.assertEqual(msgid, request[2])
                    self.assertEqual(error and error[0], None if b"ping" in request else 101)
                    self.assertIn("clock", connection.call("ping"))

    def test_a_link_later_is_none(self):
        """Only the first bytes count."""
        connection = self.connect()
        connection.call("ping")
        connection.send_bytes(LINK_OPENING[:-1] + b"\x80")
        self.refused(101, connection.wait, 1)

    def fill(self):
        """Takes all places of clients; gives those connections."""
        clients = [self.bystander]
        while True:
            connection = self.connect()
            try:
                connection.call("ping")
            except Gone:
                self.assertEqual(len(clients), PLACES)
                return clients
            clients.append(connection)

    def links_get_in(self, count):
        links = [self.connect() for _ in range(count)]
        for link in links:
            link.send_bytes(HELLO)
        for link in links:
            self.ended_as_link(link)

    def test_clients_do_not_keep_members_out(self):
        clients = self.fill()
        for _ in range(3):  # Links take no place for longer than it takes to know them.
            self.links_get_in(SPARE)
        # Who is silent keeps nobody out either.
        silent = [self.connect() for _ in range(SPARE + 5)]
        self.links_get_in(SPARE)
        for connection in silent:
            _, closed = connection.read_to_end(10)
            self.assertTrue(closed)
        for connection in clients:
            self.assertIn("clock", connection.call("ping"))

    def test_over_the_bound(self):
        """A client is refused, who says nothing is closed, and a place that is free is the next's."""
        clients = self.fill()
        begin = time.monotonic()
        silent = [self.connect() for _ in range(2 * SPARE)]
        for connection in silent:
            _, closed = connection.read_to_end(10)
            self.assertTrue(closed)
        self.assertLess(time.monotonic() - begin, 9, "who says nothing is let in for ever")
        with self.assertRaises(Gone):
            self.connect().call("ping")
        clients.pop().close()
        quorder.eventually(self.lets_a_client_in, what="a free place")
        for connection in clients:
            self.assertIn("clock", connection.call("ping"))
        self.assertIn("connections_full", self.cluster.log(1).read_text(errors="replace"))

    def lets_a_client_in(self):
        try:
            return self.connect().call("ping")
        except Gone:
            return None


if __name__ == "__main__":
    quorder.main()
