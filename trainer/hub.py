"""Whether the hub can be asked for a model, found out before its client tries again and again."""

import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from trainer.errors import TrainerError


def check_name(name: str, option: str) -> None:
    """Do nothing for a folder, a model in the hub's cache, and any other name while the hub can be reached.

    Raises:
        TrainerError: a name that no model can have, or one of the hub that cannot be reached.
    """
    if Path(name).exists():
        return
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise TrainerError(f"{option} {name}: no such folder")
    if not _is_cached(name, option) and not _answers():
        raise TrainerError(
            f"{option} {name}: no such folder, not in the hub's cache, and the hub cannot be reached; "
            "give a model's folder, or connect"
        )


def _is_cached(name: str, option: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    files = ("config.json", "adapter_config.json")
    try:
        return any(isinstance(try_to_load_from_cache(name, file), str) for file in files)
    except HFValidationError as error:
        raise TrainerError(f"{option} {name}: no such folder, and no name that the hub allows") from error


def _answers(seconds: float = 1.5) -> bool:
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE or getproxies():  # offline its client fails at once, and a proxy may reach what we do not
        return True
    place = urlsplit(ENDPOINT)
    try:
        socket.create_connection((place.hostname, place.port or 443), timeout=seconds).close()
    except OSError:
        return False
    return True
