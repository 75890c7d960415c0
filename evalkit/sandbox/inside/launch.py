"""The first thing that runs in the sandbox: reads what to do from standard input, takes its limits on, and does it."""

import json
import os
import sys

from . import confine, namespaces, roles

SETUP_FAILED = 125


def main() -> None:
    """Do what the JSON object on standard input says."""
    spec = json.loads(sys.stdin.buffer.read())
    try:
        confine.die_with_parent()
        if spec["isolate"] is not None:
            namespaces.isolate(spec["isolate"])
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.argv[:] = [""]
        confine.confine(spec["limits"], spec["user"])
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(SETUP_FAILED)
    roles.ROLES[spec["role"]](spec)
