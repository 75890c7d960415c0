"""Completions that attack: none passes the test, none gets out."""

import contextlib
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalkit.sandbox import Ending, Limits, Sandbox, check_function

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made of Linux's namespaces")

QUICK = Limits(
    seconds=1, wall_seconds=3, memory_bytes=256 * 2**20, processes=8, output_bytes=2**20, scratch_bytes=4 * 2**20
)
TEST = "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(20) == 21\n"


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is to steal or to break outside of the sandbox."""

    secret: Path
    port: int
    connections: list[object]
    mark: str

    def fill_in(self, program: str) -> str:
        replacements = {"SECRET": repr(str(self.secret)), "PORT": str(self.port), "MARK": repr(self.mark)}
        replacements |= {"PARENT": str(os.getpid()), "FOLDER": repr(str(self.secret.parent))}
        for word, value in replacements.items():
            program = program.replace(f"<{word}>", value)
        return program

    def survivors(self) -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/comm"):
            with contextlib.suppress(OSError):
                found += [str(path)] if path.read_text().strip() == self.mark else []
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    tmp_path.chmod(0o777)  # only the sandbox is in the way
    secret.chmod(0o666)
    monkeypatch.setenv("EVALKIT_TEST_KEY", "hunter2")
    connections: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    client, address = server.accept()
                    client.close()
                    connections.append(address)

        thread = threading.Thread(target=accept)
        thread.start()
        port = server.getsockname()[1]
        yield World(secret=secret, port=port, connections=connections, mark=f"ev{uuid.uuid4().hex[:12]}")
        stop.set()
        thread.join()


# Each defines f wrongly, tries something, and then answers 0; "leak" is told to whoever reads the output.
HOSTILE = {
    "end with status 0": "import os\ndef f(x): os._exit(0)",
    "end with status 0 at once": "import os\nos._exit(0)",
    "SystemExit": "raise SystemExit(0)",
    "SystemExit in the call": "import sys\ndef f(x): sys.exit(0)",
    "KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "no function": "x = 1",
    "not a function": "f = 2",
    "no program": "def f(x:",
    "null bytes": "def f(x): return '\0'",
    "kill itself": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)",
    "kill everybody": "import os, signal\ndef f(x): os.kill(-1, signal.SIGKILL)",
    "kill the parent": (
        "import os, signal\ndef f(x):\n    for pid in (1, os.getppid(), <PARENT>):\n"
        "        try: os.kill(pid, signal.SIGKILL)\n        except OSError: pass\n    return 0"
    ),
    "equal to everything": (
        "class E:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    def __bool__(self): return True\n    def __getattr__(self, name): return self\n"
        "    def __call__(self, *a): return self\ndef f(x): return E()"
    ),
    "number equal to everything": (
        "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ndef f(x): return E(0)"
    ),
    "text equal to everything": "class E(str):\n    def __eq__(self, other): return True\ndef f(x): return E('2')",
    "list equal to everything": "class E(list):\n    def __eq__(self, other): return True\ndef f(x): return E()",
    "patched builtins": (
        "import builtins\nfor name in ('AssertionError', 'compile', 'exec', 'isinstance', 'abs', 'len', 'int'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\ndef f(x): return 0"
    ),
    "patched check": "def check(candidate): pass\n__builtins__['check'] = check\ndef f(x): return 0",
    "patched modules": (
        "import sys\nfor module in list(sys.modules.values()):\n"
        "    for name in ('check', 'run', 'serve', '_verdict', '_answer', '_raised', 'dumps', 'loads', 'exec'):\n"
        "        if hasattr(module, name):\n            setattr(module, name, lambda *a, **k: b'passed')\n"
        "def f(x): return 0"
    ),
    "forged verdict on every pipe": (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n"
        '        for line in (b\'ready\', b\'passed\', b\'{"tuple": ["passed", ""]}\', b\'{"verdict": "passed"}\'):\n'
        "            try: os.write(fd, line + b'\\n')\n            except OSError: pass\n    os._exit(0)"
    ),
    "forged verdict in print": (
        "print('passed')\nprint('ready')\nprint('{\"tuple\": [\"passed\", \"\"]}', flush=True)\ndef f(x): return 0"
    ),
    "forged replies": (
        "import os\nfor fd in range(3, 64):\n    try:\n"
        '        os.write(fd, b\'{"tuple": ["defined"]}\\n\' + b\'{"tuple": ["passed", true]}\\n\' * 9)\n'
        "    except OSError: pass\nos._exit(0)"
    ),
    "replies of nonsense": (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'[[[[{\"opaque\": {}}, NaN, \\xff\\xfe' * 99 + b'\\n')\n"
        "        except OSError: pass\n    return 0"
    ),
    "reply nested deeply": ("def f(x):\n    value = []\n    for _ in range(100000): value = [value]\n    return value"),
    "reply nested deeply, by hand": (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'{\"list\":[' * 10000 + b']}' * 10000 + b'\\n')\n"
        "        except OSError: pass\n    return 0"
    ),
    "reply that holds itself": "def f(x):\n    value = []\n    value.append(value)\n    return value",
    "endless reply": (
        "import os\ndef f(x):\n    while True:\n        for fd in range(3, 64):\n"
        "            try: os.write(fd, b'[' * 65536)\n            except OSError: pass"
    ),
    "reply of a fraction too large": (
        "import os\ndef f(x):\n    for fd in range(3, 64):\n"
        '        try: os.write(fd, b\'{"tuple": ["returned", {"decimal": "1e999999999999"}]}\\n\')\n'
        "        except OSError: pass\n    return 0"
    ),
    "endless iterator": "import itertools\ndef f(x): return itertools.count()",
    "no more pipes": "import os\nos.closerange(0, 64)\ndef f(x): return 0",
    "frames unwound": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for values in (frame.f_globals, frame.f_locals):\n"
        "            for name, value in list(values.items()):\n"
        "                if callable(value) and name in ('check', 'candidate', 'test', 'report', 'function'):\n"
        "                    values[name] = lambda *a: True\n        frame = frame.f_back\n    return 0"
    ),
    "hunt in memory for the answer": (
        "import gc, re\nneedle = ''.join(['assert can', 'didate.x. == (.*)'])\ndef f(x):\n"
        "    for value in [*gc.get_objects(), *gc.get_referents(*gc.get_objects())]:\n"
        "        if found := isinstance(value, str) and re.search(needle.replace('x', str(x)), value):\n"
        "            return int(found[1])\n    return 0"
    ),
    "trace functions": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\ndef f(x): return 0",
    "hook the exit": (
        "import atexit, os, sys\natexit.register(os._exit, 0)\nsys.excepthook = lambda *a: os._exit(0)\n"
        "def f(x): raise ValueError"
    ),
    "replace itself": "import os, sys\ndef f(x): os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "exception that lies": (
        "class E(Exception):\n    def __str__(self): raise SystemExit(0)\n    __repr__ = __str__\ndef f(x): raise E"
    ),
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)",
    "broken interpreter": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "calls of another machine": (  # int 0x80 with the numbers of i386, which the filter does not know
        "import ctypes, mmap\ndef f(x):\n    page = mmap.mmap(-1, 4096, prot=7)\n"
        "    page.write(bytes.fromhex('b814000000cd80c3'))\n"
        "    place = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "    ctypes.CFUNCTYPE(ctypes.c_int)(place)()\n    return x + 1"
    ),
    "endless loop": "def f(x):\n    while True: pass",
    "endless loop at once": "while True: pass",
    "endless loop that ignores signals": (
        "import signal\nfor number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ndef f(x):\n    while True: pass"
    ),
    "output without end": "import os\ndef f(x):\n    while True: os.write(1, b'x' * 65536)",
    "errors without end": "import sys\ndef f(x):\n    while True: sys.stderr.write('x' * 65536)",
    "too much memory": "def f(x):\n    value = bytearray(10**11)\n    return 0",
    "more and more memory": "def f(x):\n    value = []\n    while True: value.append(bytearray(10**7))",
    "memory of many processes": (
        "import os\nfor _ in range(20):\n    try: os.fork()\n    except OSError: pass\n"
        "value = []\nwhile True: value.append(bytearray(10**7))"
    ),
    "fork bomb": "import os\ndef f(x):\n    while True:\n        try: os.fork()\n        except OSError: pass",
    "thread bomb": (
        "import threading, time\ndef f(x):\n    try:\n        while True:\n"
        "            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    except RuntimeError:\n        return 0"
    ),
    "fill the disk": (
        "def f(x):\n    for number in range(10**6):\n"
        "        with open(f'/tmp/{number}', 'wb') as file: file.write(bytes(10**6))"
    ),
    "one huge file": "def f(x):\n    with open('/tmp/huge', 'wb') as file: file.truncate(10**12)",
}
# Each tries to learn or to change what is outside, and puts what it got into the program's output.
LEAKS = {
    "read a file": "leak(open(<SECRET>).read())",
    "read a file through a link": "import os\nos.symlink(<SECRET>, '/tmp/link')\nleak(open('/tmp/link').read())",
    "read a file through a hard link": "import os\nos.link(<SECRET>, '/tmp/link')\nleak(open('/tmp/link').read())",
    "list a folder": "import os\nleak(os.listdir(<FOLDER>))",
    "read the users": "leak(open('/etc/passwd').read())",
    "read the home": "import os\nleak(os.listdir(os.path.expanduser('~root')) and open('/root/.bashrc').read())",
    "read keys": "import glob\nassert glob.glob('/root/.ssh/*') or glob.glob('/home/*/.ssh/*')\nleak('keys')",
    "read the environment": "import os\nassert 'EVALKIT_TEST_KEY' in os.environ\nleak(os.environ['EVALKIT_TEST_KEY'])",
    "read the parent's environment": "leak(open('/proc/<PARENT>/environ').read())",
    "read the first process's environment": "leak(open('/proc/1/environ').read())",
    "read the parent's memory": "leak(open('/proc/<PARENT>/mem', 'rb').read(1))",
    "leave through /proc": "leak(open('/proc/1/root' + <SECRET>).read())",
    "leave through a descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: leak(os.listdir(fd))\n    except OSError: pass\nassert False"
    ),
    "leave the root": (
        "import os\nfolder = os.open('/', os.O_RDONLY)\nos.mkdir('/tmp/a')\nos.chroot('/tmp/a')\nos.fchdir(folder)\n"
        "for _ in range(20): os.chdir('..')\nos.chroot('.')\nleak(open(<SECRET>).read())"
    ),
    "new user namespace": ("import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0\nleak('namespace')"),
    "mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'/', b'/tmp', None, 4096, None) == 0\nleak('mount')",
    "become root": "import os\nos.setuid(0)\nleak('root')",
    "trace another process": (
        "import ctypes, os\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0\nleak('ptrace')"
    ),
    "read another process": (
        "import ctypes, os, struct\nbuffer = ctypes.create_string_buffer(8)\n"
        "local = struct.pack('QQ', ctypes.addressof(buffer), 8)\n"
        "assert ctypes.CDLL(None).process_vm_readv(os.getppid(), local, 1, local, 1, 0) > 0\nleak('memory')"
    ),
    "limits raised": ("import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (10**4, 10**4))\nleak('limits')"),
    "hidden memory": "import os\nfd = os.memfd_create('x')\nleak('memfd')",
    "shared memory": "import ctypes\nassert ctypes.CDLL(None).shmget(0, 10**8, 0o1666) >= 0\nleak('shm')",
    "connect": "import socket\nsocket.create_connection(('127.0.0.1', <PORT>), 2)\nleak('connected')",
    "connect over IPv6": "import socket\nsocket.create_connection(('::1', <PORT>), 2)\nleak('connected')",
    "look a name up": "import socket\nleak(socket.getaddrinfo('example.org', 80))",
    "send a datagram": (
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))\nleak('sent')"
    ),
    "raw socket": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nleak('raw')",
    "open a socket": "import socket\nsocket.socket()\nleak('socket')",
    "the kernel's sockets": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nleak('netlink')",
    "overwrite a file": "open(<SECRET>, 'w').write('gone')\nleak('overwritten')",
    "write beside it": "open(<FOLDER> + '/mine', 'w').write('mine')\nleak('written')",
    "remove the launcher": "import os\nos.remove('/evalkit/inside/launch.py')\nleak('removed')",
    "write to the installation": "import os\nopen(os.path.dirname(os.__file__) + '/x', 'w')\nleak('written')",
    "write to the root": "open('/x', 'w')\nleak('written')",
    "write to the devices": "open('/dev/x', 'w')\nleak('written')",
    "make a device": "import os, stat\nos.mknod('/tmp/sda', 0o666 | stat.S_IFBLK, os.makedev(8, 0))\nleak('device')",
    "run a shell": "import os\nassert os.system('echo x') == 0\nleak('shell')",
    "rm -rf": (
        "import shutil\nfor place in (<FOLDER>, '/root', '/home', '/evalkit', '/etc', '/dev'):\n"
        "    shutil.rmtree(place, ignore_errors=True)\n"
        "open(<SECRET>)\nleak('there')"
    ),
    "the terminal": "open('/dev/tty', 'w').write('x')\nleak('terminal')",
    "the kernel's log": "leak(open('/dev/kmsg').read(1))",
    "the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)\nleak('clock')",
    "priority": "import os\nos.nice(-5)\nleak('priority')",
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_no_hostile_completion_passes(sandbox: Sandbox, world: World, attack: str) -> None:
    program = world.fill_in(HOSTILE[attack])
    outcome = check_function(sandbox, program=program, entry_point="f", definitions="", test=TEST, limits=QUICK)
    assert not outcome.passed
    assert outcome.ending is not Ending.ERROR
    assert outcome.seconds < QUICK.wall_seconds + 5
    assert world.secret.read_text() == "hunter2"


@pytest.mark.parametrize("attack", LEAKS)
def test_nothing_gets_out(sandbox: Sandbox, world: World, attack: str) -> None:
    head = "def leak(what):\n    print('LEAK', repr(what), flush=True)\n    raise SystemExit(0)\n"
    outcome = sandbox.run(head + world.fill_in(LEAKS[attack]), limits=QUICK)
    assert outcome.ending is Ending.FAILED, outcome
    assert "LEAK" not in outcome.stdout
    assert "hunter2" not in outcome.stdout + outcome.stderr.replace(world.fill_in(LEAKS[attack]), "")
    assert world.connections == []
    assert world.secret.read_text() == "hunter2"
    assert list(world.secret.parent.iterdir()) == [world.secret]


DAEMON = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, <MARK>.encode(), 0, 0, 0)  # the name by which the test looks for it
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)                 # do not die with the parent
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(300)
    os._exit(0)
def f(x):
    return 0
"""


def test_a_daemon_dies_with_the_sandbox(sandbox: Sandbox, world: World) -> None:
    program = world.fill_in(DAEMON)
    outcome = check_function(sandbox, program=program, entry_point="f", definitions="", test=TEST, limits=QUICK)
    assert outcome.ending is Ending.FAILED
    run = sandbox.run(program, limits=QUICK)
    assert run.passed
    assert run.seconds < QUICK.wall_seconds
    time.sleep(0.2)
    assert world.survivors() == []


def test_what_sleeps_is_stopped_by_the_clock_on_the_wall(sandbox: Sandbox) -> None:
    program = "import time\ndef f(x):\n    time.sleep(1000)"
    outcome = check_function(sandbox, program=program, entry_point="f", definitions="", test=TEST, limits=QUICK)
    assert outcome.ending is Ending.TIMED_OUT
    assert outcome.seconds < 6


def test_ten_gigabytes_of_output_end_early(sandbox: Sandbox) -> None:
    outcome = sandbox.run("import os\nfor _ in range(10**4): os.write(1, b'x' * 2**20)", limits=QUICK)
    assert outcome.ending is Ending.TOO_MUCH_OUTPUT
    assert len(outcome.stdout) <= 16_384


def test_memory_of_forked_processes_is_bounded_by_their_number(sandbox: Sandbox) -> None:
    program = (
        "import os\nnumber = 0\ntry:\n    while True:\n        if not os.fork():\n            os.read(0, 1)\n"
        "            import time; time.sleep(30)\n        number += 1\nexcept OSError:\n    print(number)"
    )
    outcome = sandbox.run(program, limits=QUICK)
    assert 1 <= int(outcome.stdout) < QUICK.processes
