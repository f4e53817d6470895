"""A cluster of machines: each node has a network of its own, from which it can be cut.

A node's machine is a network namespace with one interface; a bridge joins all of them and the test,
which stands in a namespace of its own too. A cut is a port of the bridge that forwards nothing any
more: what the node sends and what is sent to it vanishes, no one is told (no reset, no ICMP, no lost
carrier), and the node goes on. Each knows the others' hardware addresses, since a question for one
that nobody answers would be told as `host unreachable` after all.

Nothing of it is seen outside, and nothing remains: namespaces end with the processes in them, and
the nodes with this one, however it ends. Needs iproute2, and a user who may make namespaces.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys

import quorder

NETWORK = "10.77.0"
PORT = 7400
TEST = 99  # The test's own place in the network; a node's is its number.

# A machine's first process, which becomes its node: <number> <neighbours> -- <the node's command>.
# The other end of its cable is plugged in where the test is.
MACHINE = f"""
set -e
n=$1
ip link set lo up
ip link add eth0 address 02:00:00:00:00:$n type veth peer name node-$n netns "$PPID"
nsenter --target "$PPID" --net ip link set node-$n master switch up
ip address add {NETWORK}.$n/24 dev eth0
ip link set eth0 up
for other in $2; do
    ip neighbour add {NETWORK}.$other lladdr 02:00:00:00:00:$other dev eth0
done
shift 3
exec "$@"
"""


def stand_apart():
    """Goes on in a network of our own; called first of all. Comes back once it is there."""
    if os.environ.get("QO_OWN_NETWORK") != "yes":
        os.environ["QO_OWN_NETWORK"] = "yes"
        how = ["--net"] if os.geteuid() == 0 else ["--map-root-user", "--net"]
        os.execvp("unshare", ["unshare", *how, "/usr/bin/python3", *sys.argv])


def run(*line):
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(line)}: {done.stdout}{done.stderr}")


@contextlib.contextmanager
def in_network_of(pid):
    """Sockets that this thread makes meanwhile stand where that process stands."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(file):
        if libc.setns(file.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns")

    with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/proc/{pid}/ns/net", "rb") as theirs:
        enter(theirs)
        try:
            yield
        finally:
            enter(ours)


def hardware(place):
    return f"02:00:00:00:00:{place}"


class Apart(quorder.Cluster):
    """Nodes on machines of their own; one such cluster at a time. No kill, restart or start: they
    run until end()."""

    def __init__(self, name, nodes=3, flags=(), environment=""):  # pylint: disable=super-init-not-called
        self.directory = quorder.ROOT / "run" / f"test-{name}-{os.getpid()}"
        self.nodes = nodes
        self.server = str(quorder.BUILD / "src" / "server" / "quorderd")
        self.machines = {}
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.build_network()
        members = [word for n in self.all() for word in ("--member", f"{n}={self.address(n)}")]
        variables = dict(os.environ, **dict(v.split("=", 1) for v in environment.split()))
        try:
            for n in self.all():
                run(self.server, "init", "--data", str(self.data(n)), "--id", str(n),
                    "--cluster", f"apart-{os.getpid()}", *members)
            for n in self.all():
                self.start_machine(n, flags, variables)
            self.leader(within=90)
        except BaseException as fault:
            self.end()
            raise AssertionError(f"{fault}{self.logs()}") from fault

    @staticmethod
    def build_network():
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "switch", "address", hardware(TEST), "type", "bridge")
        run("ip", "address", "add", f"{NETWORK}.{TEST}/24", "dev", "switch")
        run("ip", "link", "set", "switch", "up")

    def start_machine(self, n, flags, variables):
        neighbours = " ".join(str(other) for other in [TEST, *self.others(n)])
        # The kernel ends it when this process ends, of whatever.
        line = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net",
                "/bin/sh", "-c", MACHINE, "machine", f"{n}", neighbours, "--",
                self.server, "--data", str(self.data(n)), *flags]
        with open(self.log(n), "ab") as log:
            self.machines[n] = subprocess.Popen(line, env=variables, stdin=subprocess.DEVNULL,
                                                stdout=log, stderr=log)
        run("ip", "neighbour", "add", f"{NETWORK}.{n}", "lladdr", hardware(n), "dev", "switch")

    def cut(self, n):
        """From now on no packet of node n arrives anywhere, and none at it."""
        run("bridge", "link", "set", "dev", f"node-{n}", "state", "0")

    def heal(self, n):
        run("bridge", "link", "set", "dev", f"node-{n}", "state", "3")

    def connect_inside(self, n):
        """A connection of somebody on node n's own machine, from whom no cut separates it."""
        with in_network_of(self.pid(n)):
            return self.connect(n)

    def end(self):
        for machine in self.machines.values():
            machine.terminate()
        for n, machine in self.machines.items():
            try:
                machine.wait(60)
            except subprocess.TimeoutExpired:
                machine.kill()
                machine.wait()
            # Else the kernel does it, but in its own time.
            subprocess.run(["ip", "link", "delete", f"node-{n}"], capture_output=True, check=False)
        run("ip", "link", "delete", "switch")

    def pid(self, n):
        return self.machines[n].pid

    def address(self, n):
        return f"{NETWORK}.{n}:{PORT}"

    def number(self, address):
        return int(address.rsplit(":", 1)[0].rsplit(".", 1)[1])
