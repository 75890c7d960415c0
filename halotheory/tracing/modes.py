"""A mode in which every operation of PyTorch's passes through one function, without the compiler being loaded."""

from torch.utils._python_dispatch import TorchDispatchMode


class Mode(TorchDispatchMode):
    """The base of our modes; without this switch PyTorch would import its compiler, which takes a second."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
