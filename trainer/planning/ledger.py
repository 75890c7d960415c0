"""Bytes and operations of code that runs on fake tensors: nothing is computed, and everything is counted."""

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

_ATEN = torch.ops.aten
_ON_CPU = (
    _ATEN._scaled_dot_product_flash_attention_for_cpu,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward,
)
"""Attention forward and backward as torch runs it on a CPU; torch's own counter does not know these two."""


class Ledger(TorchDispatchMode):
    """Counts while it is entered, inside a FakeTensorMode.

    A tensor's bytes count from the operation that makes it until Python and autograd let go of it, as they would in
    the real run. What an operation needs inside itself is not seen.

    Attributes:
        part: what the tensors that are made now are for.
        phase: what the operations that run now are counted under.
        live: bytes by part.
        moments: `live` when its sum was largest, since `begin` and since every `turn`.
        operations: multiplications and additions, by (phase, "linear", "attention" or "head").
    """

    def __init__(self) -> None:
        super().__init__()
        self.part = self.phase = "activations"
        self.live: Counter[str] = Counter()
        self.moments: list[Counter[str]] = []
        self.operations: Counter[tuple[str, str]] = Counter()
        self._known: dict[int, tuple[str, int]] = {}
        self._sum = self._largest = 0

    def begin(self) -> None:
        """Forget moments and operations; what is live stays."""
        self.moments.clear()
        self.operations.clear()
        self.turn()

    def turn(self) -> None:
        """Look for another moment: from now on what is live is made up differently."""
        self.moments.append(self.live.copy())
        self._largest = self._sum

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Count operations under a phase."""
        before, self.phase = self.phase, phase
        yield
        self.phase = before

    def mark(self, tensor: Tensor, part: str) -> None:
        """Count a tensor's bytes under a part from now on."""
        key = self._note(tensor, part)
        was, size = self._known[key]
        self.live[was] -= size
        self.live[part] += size
        self._known[key] = (part, size)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        if func is torch.ops.prim.device.default:  # half of the calls, and no operation
            return args[0].fake_device
        out = func(*args, **(kwargs or {}))
        self._count(func._overloadpacket, args, kwargs or {}, out)
        part = "casts" if func is _ATEN._to_copy.default and self._is_weight(args[0]) else self.part
        for one in tree_leaves(out):
            if isinstance(one, Tensor):
                self._note(one, part)
        return out

    def _is_weight(self, tensor: Tensor) -> bool:
        return self._known.get(tensor.untyped_storage()._cdata, ("", 0))[0] == "weights"

    def _note(self, tensor: Tensor, part: str) -> int:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known:
            size = storage.nbytes()
            self._known[key] = (part, size)
            self.live[part] += size
            self._sum += size
            weakref.finalize(storage, self._forget, key)
            if self._sum > self._largest:
                self._largest, self.moments[-1:] = self._sum, [self.live.copy()]
        return key

    def _forget(self, key: int) -> None:
        part, size = self._known.pop(key)
        self.live[part] -= size
        self._sum -= size

    def _count(self, packet: Any, args: Any, kwargs: Any, out: Any) -> None:
        if packet in _ON_CPU:
            forward = packet is _ON_CPU[0]  # of query, key and value; backward of their gradient too
            shapes = [one.shape for one in args[: 3 if forward else 4]]
            done = sdpa_flop_count(*shapes) if forward else sdpa_backward_flop_count(*shapes)
            self.operations[self.phase, "attention"] += done
        elif packet in flop_registry:
            kind = "head" if self.part == "head" else "attention" if packet in (_ATEN.bmm, _ATEN.baddbmm) else "linear"
            self.operations[self.phase, kind] += flop_registry[packet](*args, **kwargs, out_val=out)
