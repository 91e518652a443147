"""Sixteen float32 numbers at once in numba kernels: what LLVM's own vectoriser gives up on is written out here.

A kernel with dozens of streams through one array is not vectorised automatically, since nothing tells the compiler that
they do not overlap. These operations leave it no choice. Arrays are flat, contiguous float32; places count elements.
Where a processor's registers are narrower, LLVM uses several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic, models, register_model

LANES: Final = 16
_VECTOR: Final = ir.VectorType(ir.FloatType(), LANES)
_FLOAT_BYTES: Final = 4


class _LanesType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_LANES_TYPE: Final = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _address(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, place: Any) -> Any:
    """The sixteen numbers from `place` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = builder.load(_address(context, builder, sig.args[0], args[0], args[1]))
        found.align = _FLOAT_BYTES
        return found

    return signature(_LANES_TYPE, array, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Puts sixteen numbers at `place`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        done = builder.store(args[2], _address(context, builder, sig.args[0], args[0], args[1]))
        done.align = _FLOAT_BYTES
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, _LANES_TYPE), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """One number sixteen times."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return signature(_LANES_TYPE, types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def floor_at_zero(typing: Any, value: Any) -> Any:
    """The larger of each number and zero; zero for what is not a number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return signature(_LANES_TYPE, _LANES_TYPE), generate


def _pairwise(instruction: str) -> Callable[..., Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            # "contract" lets a product and a sum become one fused step.
            return getattr(builder, instruction)(args[0], args[1], flags=("contract",))

        return signature(_LANES_TYPE, _LANES_TYPE, _LANES_TYPE), generate

    chosen: Callable[..., Any] = operation
    return chosen


add: Final = _pairwise("fadd")
sub: Final = _pairwise("fsub")
mul: Final = _pairwise("fmul")
