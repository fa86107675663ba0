"""A program on a pseudo terminal, driven as a person would."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """`command` (a list) on a terminal of 200 columns. Leaving the `with` block ends it."""

    def __init__(self, command, environment):
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, environment)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.unread = ""
        self.raw = b""
        self.status = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.process, 9)
            os.waitpid(self.process, 0)
        os.close(self.master)

    def until(self, pattern, timeout=30):
        """What the program printed up to and including `pattern`, without control sequences."""
        deadline = time.monotonic() + timeout
        while True:
            text = CONTROL_SEQUENCE.sub("", self.unread)
            if found := re.search(pattern, text):
                self.unread = text[found.end():]
                return text[:found.end()].replace("\r\n", "\n")
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"{pattern!r} did not come; got {text!r}")
            self._read(text)

    def _read(self, text):
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            raise EOFError(f"the program has ended; it had printed {text!r}")
        self.raw += data
        self.unread += data.decode("utf-8", "replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def ask(self, text, timeout=30):
        """Types a line; the lines printed up to the next prompt, without the echo."""
        self.type(text + "\r")
        lines = self.until(r"\n>>> ", timeout).removesuffix("\n>>> ").split("\n", 1)
        return lines[1] if len(lines) > 1 else ""

    def exit_status(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.raw += os.read(self.master, 65536)
                except OSError:
                    pass
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
        raise TimeoutError("the program does not end")
