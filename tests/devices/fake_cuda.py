"""A CUDA device for a machine without one, made of fake tensors: shapes, types and devices without numbers.

An operation on tensors of two devices fails, as it does on a GPU. What brings numbers from the device to the CPU, which
waits for all that is queued there, or from the CPU to the device is noted with the line that asked for it.

Without a driver PyTorch cannot use the type ``cuda``: each node of a graph asks for the current stream. So the device
is of a type that PyTorch knows and no machine has, `DEVICE`, which says of itself that it is CUDA; what autocast does
on CUDA is done here by the names of the functions.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = "lazy"
_KINDS = ("cuda", DEVICE)
# https://docs.pytorch.org/docs/stable/amp.html: what autocast computes in half precision, and what in float32.
_HALF = {
    "conv1d",
    "conv2d",
    "linear",
    "matmul",
    "__matmul__",
    "__rmatmul__",
    "mm",
    "mv",
    "bmm",
    "addmm",
    "baddbmm",
    "addbmm",
    "einsum",
    "prelu",
}
_FLOAT = {
    "__pow__",
    "__rpow__",
    "acos",
    "asin",
    "binary_cross_entropy_with_logits",
    "cdist",
    "cosine_similarity",
    "cross_entropy_loss",
    "cumprod",
    "cumsum",
    "dist",
    "exp",
    "expm1",
    "group_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "log",
    "log10",
    "log_softmax",
    "log1p",
    "log2",
    "margin_ranking_loss",
    "mse_loss",
    "nll_loss",
    "norm",
    "pow",
    "prod",
    "reciprocal",
    "rsqrt",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "sum",
    "tan",
}
aten = torch.ops.aten
TORCH = str(Path(torch.__file__).parent)
# What has a size that only the device knows. Here the device finds nothing, and the CPU everything.
SIZES = {
    aten.nonzero.default: lambda x: x.new_zeros(_found(x), x.dim(), dtype=torch.long),
    aten.masked_select.default: lambda x, mask: x.flatten().clone(),
    aten._unique2.default: lambda x, *_: tuple(x.new_zeros(x.numel(), dtype=torch.long) for _ in range(3)),
}


class Transfer(NamedTuple):
    """One crossing between device and CPU.

    Attributes:
        kind: ``"wait"``, ``"down"`` (without waiting) or ``"up"``.
        what: the operation.
        place: file:line of the innermost frame that is not PyTorch's.
    """

    kind: str
    what: str
    place: str


class Traffic(TorchDispatchMode):
    """Notes transfers, and answers what fake tensors cannot: every number of the device is 0, every truth False.

    Attributes:
        transfers: so far.
        convolved: the types that convolutions gave.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transfers: list[Transfer] = []
        self.convolved: set[torch.dtype] = set()

    def of(self, *kinds: str) -> list[Transfer]:
        """The transfers of some kinds."""
        return [transfer for transfer in self.transfers if transfer.kind in kinds]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {key: value for key, value in (kwargs or {}).items() if key != "pin_memory"}
        if func is aten._local_scalar_dense.default:
            self._note(args[0], "wait", func)
            return _number(args[0])
        if func in (aten.equal.default, aten.allclose.default):
            self._note(args[0], "wait", func)
            return True
        if func is aten.convolution.default:
            _check_one_device(args)
        if func in SIZES:
            self._note(args[0], "wait", func)
            return SIZES[func](*args)
        if func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
            args = (args[0], [self._index(args[0], index, func) for index in args[1]], *args[2:])
        if func is aten._to_copy.default:
            args[0].constant = None  # a number that is known on the CPU would really be copied
        result = func(*args, **given)
        if func is aten.convolution.default:
            self.convolved.add(result.dtype)
        if func is aten._to_copy.default:
            self._copied(args[0].device, result.device, given.get("non_blocking", False), func)
        elif func is aten.copy_.default:
            self._copied(args[1].device, args[0].device, len(args) > 2 and args[2], func)
        return result

    def _index(self, values: Tensor, index: Any, func: Any) -> Any:
        """Only the device knows how many values a mask selects; an index on the CPU is moved there."""
        if index is None:
            return None
        if index.dtype in (torch.bool, torch.uint8):
            self._note(index, "wait", func)
            return index.new_zeros(index.numel(), dtype=torch.long)
        if index.device != values.device:
            self.transfers.append(Transfer("up", str(func), _place()))
        return index

    def _copied(self, source: torch.device, target: torch.device, aside: Any, func: Any) -> None:
        if source.type == target.type:
            return
        down = source.type in _KINDS
        self.transfers.append(Transfer(("down" if aside else "wait") if down else "up", str(func), _place()))

    def _note(self, tensor: Tensor, kind: str, func: Any) -> None:
        if tensor.device.type in _KINDS:
            self.transfers.append(Transfer(kind, str(func), _place()))


def _check_one_device(args: tuple[Any, ...]) -> None:
    """Fake tensors do not compare the devices of a convolution's arguments."""
    if len({arg.device for arg in args if isinstance(arg, Tensor)}) > 1:
        raise RuntimeError(
            f"a convolution found two different devices, {args[0].device} and {args[1].device}"
        )


def _number(tensor: Tensor) -> Any:
    """0 or False of the device; 1 of the CPU, where optimizers count their steps."""
    number = int(tensor.device.type not in _KINDS)
    if tensor.dtype is torch.bool:
        return bool(number)
    return float(number) if tensor.dtype.is_floating_point else number


def _found(tensor: Tensor) -> int:
    return 0 if tensor.device.type in _KINDS else tensor.numel()


def _place() -> str:
    frame: Any = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((TORCH, "<")) and name != __file__:
            return f"{Path(name).parent.name}/{Path(name).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "autograd"


class _Stream:
    """Streams and events, which order work that is never done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass

    def record_event(self) -> "_Stream":
        return self

    def synchronize(self) -> None:
        pass


def _numpy(tensor: Tensor, **kwargs: Any) -> np.ndarray:
    """Ones of floats and zeros of others instead of the numbers; only from the CPU, as ever."""
    if not isinstance(tensor, FakeTensor):
        return _real_numpy(tensor, **kwargs)
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    fill = float(tensor.dtype.is_floating_point)
    return np.full(tuple(tensor.shape), fill, dtype=str(tensor.dtype).removeprefix("torch."))


_real_numpy = Tensor.numpy


def _from_numpy(array: np.ndarray) -> Tensor:
    return torch.zeros(array.shape, dtype=_real_from_numpy(array[:0]).dtype)


_real_from_numpy = torch.from_numpy


class Autocast:
    """Stands in for ``torch.autocast`` on the device; on the CPU it is that."""

    active: ClassVar[list[torch.dtype | None]] = [None]

    def __new__(cls, device_type: str, *args: Any, **kwargs: Any) -> Any:
        """PyTorch's own for any other device."""
        return super().__new__(cls) if device_type in _KINDS else _real_autocast(device_type, *args, **kwargs)

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True) -> None:
        self.dtype = (dtype or torch.float16) if enabled else None

    def __enter__(self) -> None:
        self.active.append(self.dtype)

    def __exit__(self, *_: object) -> None:
        self.active.pop()


class AutocastFunctions(TorchFunctionMode):
    """Casts the arguments of functions as autocast does on CUDA."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        half, name = Autocast.active[-1], getattr(func, "__name__", "")
        wanted = half if name in _HALF else torch.float32 if name in _FLOAT else None
        if half is None or wanted is None:
            return func(*args, **(kwargs or {}))

        def cast(value: Any) -> Any:
            halves = (torch.float16, torch.bfloat16, torch.float32)
            far = isinstance(value, Tensor) and value.device.type in _KINDS and value.dtype in halves
            return value.to(wanted) if far else value

        return func(*tree_map(cast, args), **tree_map(cast, dict(kwargs or {})))


_real_autocast = torch.autocast


def _deepcopy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    copied = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        copied = nn.Parameter(copied, requires_grad=tensor.requires_grad)
    memo[id(tensor)] = copied
    return copied


def _apply(module: nn.Module, fn: Any, recurse: bool = True) -> nn.Module:
    """What ``module.to(device)`` does; PyTorch swaps fake parameters, which those that are referred to refuse."""
    for child in module.children() if recurse else ():
        child._apply(fn)
    for key, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                module._parameters[key] = nn.Parameter(fn(parameter), parameter.requires_grad)
    for key, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[key] = fn(buffer)
    return module


@contextlib.contextmanager
def fake_cuda() -> Iterator[Traffic]:
    """Let every tensor be a fake one and the machine have one CUDA device; yield what crosses."""
    cuda = {
        "is_available": lambda: True,
        "is_initialized": lambda: False,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "synchronize": lambda *_: None,
        "is_current_stream_capturing": lambda: False,
        "max_memory_allocated": lambda *_: 0,
        "Stream": _Stream,
        "Event": _Stream,
        "current_stream": _Stream,
        "stream": lambda *_: contextlib.nullcontext(),
        "manual_seed_all": lambda *_: None,
    }
    with contextlib.ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(Tensor, "numpy", _numpy))
        stack.enter_context(mock.patch.object(torch, "from_numpy", _from_numpy))
        stack.enter_context(mock.patch.object(Tensor, "is_cuda", property(lambda x: x.device.type in _KINDS)))
        stack.enter_context(mock.patch.object(torch, "autocast", Autocast))
        stack.enter_context(mock.patch.object(Tensor, "record_stream", return_value=None))
        stack.enter_context(mock.patch.object(FakeTensor, "__deepcopy__", _deepcopy, create=True))
        stack.enter_context(mock.patch.object(nn.Module, "_apply", _apply))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(AutocastFunctions())
        yield stack.enter_context(Traffic())
