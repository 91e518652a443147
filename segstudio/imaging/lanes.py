"""Several float32 numbers at once in numba kernels: what LLVM's own vectoriser gives up on is written out here.

A kernel with dozens of streams through one array is not vectorised automatically, since nothing tells the compiler that
they do not overlap. These operations leave it no choice. Arrays are flat, contiguous float32; places count elements.

How many numbers there are is said by `like`: a tuple of that many floats, of which only the length counts. It is part
of the tuple's type, so one kernel serves every width, each compiled when first used. Where a processor's registers are
narrower, LLVM uses several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic, models, register_model

_FLOAT_BYTES: Final = 4
_INT: Final = ir.IntType(32)
_FLOAT: Final = ir.FloatType()


def width(count: int) -> tuple[float, ...]:
    """What to give as `like` for `count` numbers at once."""
    return (0.0,) * count


class _LanesType(types.Type):  # type: ignore[misc]
    def __init__(self, count: int) -> None:
        super().__init__(name=f"float32x{count}")
        self.count = count


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: _LanesType) -> None:
        super().__init__(manager, kind, ir.VectorType(_FLOAT, kind.count))


def _vector(kind: _LanesType) -> Any:
    return ir.VectorType(_FLOAT, kind.count)


def _address(context: Any, builder: Any, kind: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _vector(kind).as_pointer())


def _constant(kind: Any, number: float) -> Any:
    return ir.Constant(_vector(kind), [number] * kind.count)


def _call(builder: Any, name: str, value: Any, *more: Any) -> Any:
    """An operation of LLVM on vectors of one type."""
    full = f"llvm.{name}.v{value.type.count}f32"
    kind = ir.FunctionType(value.type, [value.type] * (1 + len(more)))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), [value, *more])


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, place: Any, like: Any) -> Any:
    """The numbers from `place` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = builder.load(_address(context, builder, sig.return_type, sig.args[0], args[0], args[1]))
        found.align = _FLOAT_BYTES
        return found

    return signature(_LanesType(like.count), array, types.intp, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Puts the numbers at `place`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        done = builder.store(args[2], _address(context, builder, sig.args[2], sig.args[0], args[0], args[1]))
        done.align = _FLOAT_BYTES
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any, like: Any) -> Any:
    """One number many times."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        empty = ir.Constant(_vector(sig.return_type), ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(_INT, 0))
        zeros = ir.Constant(ir.VectorType(_INT, sig.return_type.count), [0] * sig.return_type.count)
        return builder.shuffle_vector(first, empty, zeros)

    return signature(_LanesType(like.count), types.float32, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def floor_at_zero(typing: Any, value: Any) -> Any:
    """The larger of each number and zero; zero for what is not a number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = _constant(sig.return_type, 0.0)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[0], zero)

    return signature(value, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def larger(typing: Any, first: Any, second: Any) -> Any:
    """The larger of each pair; the second for what is not a number."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return signature(first, first, second), generate


# exp(r) for |r| <= ln(2) / 2 is 1 + r + r^2 p(r): a minimax polynomial (S. L. Moshier, Cephes, `expf`).
_EXP: Final = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LN2_HIGH: Final = 0.693359375
_LN2_LOW: Final = -2.12194440e-4
_LOG2_E: Final = 1.44269504088896341
# Adding it leaves the nearest whole number in the last bits of the sum.
_ROUNDING: Final = 12582912.0
_LEAST: Final = -87.0


@intrinsic  # type: ignore[untyped-decorator]
def exponential(typing: Any, value: Any) -> Any:
    """e to the power of each number, which is at most 0: relative error below 2e-7, and exactly 0 below -87."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, x = sig.return_type, args[0]
        least = _constant(kind, _LEAST)
        alive = builder.fcmp_ordered(">=", x, least)
        x = builder.select(alive, x, least)
        shifted = builder.fadd(builder.fmul(x, _constant(kind, _LOG2_E)), _constant(kind, _ROUNDING))
        whole = builder.fsub(shifted, _constant(kind, _ROUNDING))
        r = _call(builder, "fma", whole, _constant(kind, -_LN2_HIGH), x)
        r = _call(builder, "fma", whole, _constant(kind, -_LN2_LOW), r)
        p = _constant(kind, _EXP[0])
        for coefficient in _EXP[1:]:
            p = _call(builder, "fma", p, r, _constant(kind, coefficient))
        y = builder.fadd(_call(builder, "fma", builder.fmul(r, r), p, r), _constant(kind, 1.0))
        bits = ir.VectorType(_INT, kind.count)
        exponent = builder.shl(builder.fptosi(whole, bits), ir.Constant(bits, [23] * kind.count))
        scaled = builder.bitcast(builder.add(builder.bitcast(y, bits), exponent), x.type)
        return builder.select(alive, scaled, _constant(kind, 0.0))

    return signature(value, value), generate


# log(1 + m) for sqrt(1/2) <= 1 + m < sqrt(2): a minimax polynomial (S. L. Moshier, Cephes, `logf`).
_LOG: Final = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_ROOT_HALF: Final = 0.70710678118654752440


@intrinsic  # type: ignore[untyped-decorator]
def logarithm(typing: Any, value: Any) -> Any:
    """The natural logarithm of each number, which is positive, finite and not denormal; error below 2e-7."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        bits = ir.VectorType(_INT, kind.count)

        def whole(number: int) -> Any:
            return ir.Constant(bits, [number] * kind.count)

        raw = builder.bitcast(args[0], bits)
        half = builder.or_(builder.and_(raw, whole(0x007FFFFF)), whole(0x3F000000))
        m = builder.bitcast(half, args[0].type)
        exponent = builder.sub(builder.lshr(raw, whole(23)), whole(126))
        small = builder.fcmp_ordered("<", m, _constant(kind, _ROOT_HALF))
        exponent = builder.sub(exponent, builder.zext(small, bits))
        e = builder.sitofp(exponent, args[0].type)
        m = builder.fsub(builder.select(small, builder.fadd(m, m), m), _constant(kind, 1.0))
        z, p = builder.fmul(m, m), _constant(kind, _LOG[0])
        for coefficient in _LOG[1:]:
            p = _call(builder, "fma", p, m, _constant(kind, coefficient))
        y = builder.fmul(builder.fmul(m, z), p)
        y = _call(builder, "fma", e, _constant(kind, _LN2_LOW), y)
        y = _call(builder, "fma", z, _constant(kind, -0.5), y)
        return _call(builder, "fma", e, _constant(kind, _LN2_HIGH), builder.fadd(m, y))

    return signature(value, value), generate


def _folded(combine: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """One number of many, halves first: the same order on every machine."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, count, odd = args[0], sig.args[0].count, []
        while count > 1:
            if count % 2:
                odd.append(builder.extract_element(value, ir.Constant(_INT, count - 1)))
            count //= 2
            places = ir.VectorType(_INT, count)
            low = builder.shuffle_vector(value, value, ir.Constant(places, list(range(count))))
            high = builder.shuffle_vector(value, value, ir.Constant(places, list(range(count, 2 * count))))
            value = combine(builder, low, high)
        value = builder.extract_element(value, ir.Constant(_INT, 0))
        for number in odd:
            value = combine(builder, value, number)
        return value

    return generate


def _fold(combine: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, value: Any) -> Any:
        return signature(types.float32, value), _folded(combine)

    chosen: Callable[..., Any] = operation
    return chosen


total: Final = _fold(lambda builder, first, second: builder.fadd(first, second))
largest: Final = _fold(
    lambda builder, first, second: builder.select(builder.fcmp_ordered(">", first, second), first, second)
)


def _pairwise(instruction: str) -> Callable[..., Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            # "contract" lets a product and a sum become one fused step.
            return getattr(builder, instruction)(args[0], args[1], flags=("contract",))

        return signature(first, first, second), generate

    chosen: Callable[..., Any] = operation
    return chosen


add: Final = _pairwise("fadd")
sub: Final = _pairwise("fsub")
mul: Final = _pairwise("fmul")
