"""Files and folders that are whole or absent, by one process at a time: written under another name, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.errors import TrainerError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def output_file(name: str) -> Path:
    """Return the file that --output means: of a link the file that it stands for, so that the link stays.

    Raises:
        TrainerError: a name that no report could hold.
    """
    check_utf8(name, "--output")
    path = Path(name)
    try:
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except OSError as error:
        raise TrainerError(f"--output {name}: {error.strerror}; give another") from error


def check_utf8(name: str, option: str) -> None:
    """Do nothing for a name that is text.

    Raises:
        TrainerError: it holds bytes that are not UTF-8, so that neither a report nor a terminal can show it.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TrainerError(f"{option} {name!a}: the name is not UTF-8; give the file another") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing to the same place; they are told at once.

    The lock ends with its process, however that ends. Where the system knows no locks, nothing is kept out.

    Args:
        path: a file that need not be there: the lock is FILE.lock; or a folder that is there: it is FOLDER/.lock.

    Raises:
        TrainerError: another process has the lock, or nothing can be written there.
    """
    if fcntl is None:
        yield
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    lock = path / ".lock" if path.is_dir() else path.with_name(path.name + ".lock")
    with writing(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # before it is given free: a later one would be another process's
        os.close(descriptor)


def _lock(lock: Path, path: Path) -> int:
    """Return the descriptor of a lock file that is locked and has the number of this process in it.

    Raises:
        TrainerError: another process has it.
    """
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        if not _taken(descriptor):
            number = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise TrainerError(
                f"{path}: another process (PID {number}) is writing here; wait for it, or choose another --output"
            )
        if _has_name(descriptor, lock):
            with suppress(OSError):  # a full disk, which whoever writes there will tell
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor
        os.close(descriptor)  # its holder removed it just now, and another process may have made a new one


def _taken(descriptor: int) -> bool:
    """Lock an open file, and return whether that went well; a file system without locks has none to refuse."""
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write a file at once, replacing an older one.

    Raises:
        TrainerError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def partial_folder(path: Path) -> Path:
    """Return an empty folder beside `path`, to be filled and then renamed by `finish_folder`."""
    temporary = path.with_name(f".{path.name}.partial")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    return temporary


def new_folder(path: Path) -> Path:
    """Make a folder, unless it is there, and return it.

    Raises:
        TrainerError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def finish_folder(temporary: Path, path: Path) -> None:
    """Give a filled folder its name, in place of an older one."""
    with writing(path):
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the path."""
    try:
        yield
    except Exception as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise TrainerError(f"{path}: cannot be written: {reason}; free or choose another place") from error


def _refusal(error: Exception) -> str | None:
    """Return what a file system says in an error, also where safetensors or PyTorch dress it; None for other errors."""
    from safetensors import SafetensorError

    if any(writer in str(error) for writer in ("PytorchStreamWriter", "inline_container")):
        return "a part of it is missing, as when the disk is full"
    if isinstance(error, OSError | SafetensorError):
        return getattr(error, "strerror", None) or " ".join(str(error).split())
    return None


def as_json(values: Mapping[str, Any]) -> str:
    """Return indented JSON, as the files of a run have it."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
