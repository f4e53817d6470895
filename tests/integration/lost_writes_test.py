#!/usr/bin/python3
"""
Goal: under lost_writes, a process that is killed loses what it had not synced and nothing else.
Method: small programs write below a directory and kill themselves; the next start of anything under
the library takes back what was lost, and the files are compared with what must be left.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import quorder

LIBRARY = quorder.preloaded("lost_writes.so")

TABLE = [
    ("a synced write stays",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one'); os.fsync(f)",
     {"a": b"one"}),
    ("an unsynced write is lost",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one')",
     {"a": b""}),
    ("only what follows the sync is lost",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one'); os.fdatasync(f);"
     "os.write(f, b'two'); os.write(f, b'three')",
     {"a": b"one"}),
    ("overwritten bytes return",
     "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT); os.write(f, b'0123456789'); os.fsync(f);"
     "os.pwrite(f, b'xxx', 2); os.pwrite(f, b'yyyy', 3); os.pwrite(f, b'zzzz', 8)",
     {"a": b"0123456789"}),
    ("a sync of one file is none of another",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); g = os.open(d + '/b', os.O_WRONLY |"
     " os.O_CREAT); os.write(f, b'one'); os.write(g, b'two'); os.fsync(g)",
     {"a": b"", "b": b"two"}),
    ("O_DSYNC needs no sync",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT | os.O_DSYNC); os.pwrite(f, b'one', 0)",
     {"a": b"one"}),
    ("closing is no sync",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one'); os.close(f)",
     {"a": b""}),
    ("a new name does not save what was not synced",
     "f = os.open(d + '/a.new', os.O_WRONLY | os.O_CREAT); os.write(f, b'one'); os.close(f);"
     "os.rename(d + '/a.new', d + '/a')",
     {"a": b""}),
    ("a sync under the new name does",
     "f = os.open(d + '/a.new', os.O_WRONLY | os.O_CREAT); os.write(f, b'one');"
     "os.rename(d + '/a.new', d + '/a'); os.fsync(f)",
     {"a": b"one"}),
    ("writev, appending",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.writev(f, [b'on', b'e']);"
     "os.fsync(f); os.writev(f, [b'tw', b'o']); os.pwritev(f, [b'th', b'ree'], 6)",
     {"a": b"one"}),
    ("room that was allocated stays, what was written there does not",
     "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT); os.posix_fallocate(f, 0, 4);"
     "os.pwrite(f, b'abcd', 0); os.fsync(f); os.pwrite(f, b'x', 1); os.ftruncate(f, 4)",
     {"a": b"abcd"}),
    ("beside an open directory as by whole paths",
     "o = os.open(d, os.O_RDONLY | os.O_DIRECTORY); w = os.O_WRONLY | os.O_CREAT;"
     "f = os.open('a', w, dir_fd=o); os.write(f, b'one'); os.fsync(f); os.write(f, b'two');"
     "g = os.open('b', w | os.O_DSYNC, dir_fd=o); os.pwrite(g, b'three', 0);"
     "h = os.open('c', w, dir_fd=o); os.write(h, b'four'); os.unlink('c', dir_fd=o)",
     {"a": b"one", "b": b"three"}),
    ("a removed file stays removed",
     "f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT); os.write(f, b'one'); os.unlink(d + '/a')",
     {}),
    ("elsewhere nothing is lost",
     "f = os.open(d + '-beside', os.O_WRONLY | os.O_CREAT); os.write(f, b'one')",
     {"../data-beside": b"one"}),
    ("what was written is read back until the kill",
     "f = os.open(d + '/a', os.O_RDWR | os.O_CREAT); os.write(f, b'one');"
     "assert os.pread(f, 9, 0) == b'one' and os.stat(d + '/a').st_size == 3; os.fsync(f)",
     {"a": b"one"}),
]


class LostWrites(unittest.TestCase):
    def run_program(self, directory, text):
        program = f"import os, signal; d = {str(directory)!r}; {text}; os.kill(os.getpid(), 9)"
        done = subprocess.run([sys.executable, "-c", program, "--data", str(directory)],
                              env=dict(os.environ, LD_PRELOAD=str(LIBRARY)), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, -9, done.stderr)
        return done.stderr

    def test_table(self):
        for name, text, want in TABLE:
            with self.subTest(name), tempfile.TemporaryDirectory() as top:
                directory = pathlib.Path(top) / "data"
                directory.mkdir()
                self.run_program(directory, text)
                told = self.run_program(directory, "pass")
                self.assertIn("were not synced and are gone", told)
                left = {p.name: p.read_bytes() for p in directory.iterdir()}
                beside = pathlib.Path(top) / "data-beside"
                if beside.exists():
                    left["../data-beside"] = beside.read_bytes()
                self.assertEqual(left, want)

    def test_over_several_lives(self):
        with tempfile.TemporaryDirectory() as top:
            directory = pathlib.Path(top) / "data"
            directory.mkdir()
            life = ("f = os.open(d + '/a', os.O_WRONLY | os.O_CREAT | os.O_APPEND);"
                    "os.write(f, b'kept '); os.fsync(f); os.write(f, b'lost')")
            for lives in range(1, 6):
                self.run_program(directory, life)
                self.run_program(directory, "pass")
                self.assertEqual((directory / "a").read_bytes(), b"kept " * lives)


if __name__ == "__main__":
    quorder.main()
