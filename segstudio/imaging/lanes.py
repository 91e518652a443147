"""Several float32 numbers at once in numba kernels: what LLVM's own vectoriser gives up on is written out here.

A kernel with dozens of streams through one array is not vectorised automatically, since nothing tells the compiler that
they do not overlap. These operations leave it no choice. Arrays are flat, contiguous float32; places count elements.

How many numbers there are is said by `like`: a tuple of that many floats, of which only the length counts. It is part
of the tuple's type, so one kernel serves every width, each compiled when first used. Widths that are no power of two,
and those beyond 16, are made of several vectors: 24 numbers are three of eight. LLVM, left alone with odd or longer
vectors, takes them apart into single numbers.

Numba's cache on disk looks at a kernel's own file alone: after a change here it has to be removed.
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
_LONGEST: Final = 16
_INT: Final = ir.IntType(32)
_FLOAT: Final = ir.FloatType()


def width(count: int) -> tuple[float, ...]:
    """What to give as `like` for `count` numbers at once."""
    return (0.0,) * count


class _LanesType(types.Type):  # type: ignore[misc]
    """So many numbers, as a few LLVM vectors of one length."""

    def __init__(self, count: int) -> None:
        super().__init__(name=f"float32x{count}")
        self.count = count
        self.length = min(_LONGEST, count & -count)
        self.vector = ir.VectorType(_FLOAT, self.length)
        self.whole = ir.VectorType(_INT, self.length)
        self.vectors = count // self.length


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: _LanesType) -> None:
        super().__init__(manager, kind, ir.ArrayType(kind.vector, kind.vectors))


def _constant(kind: _LanesType, number: float) -> Any:
    return ir.Constant(kind.vector, [number] * kind.length)


def _together(builder: Any, kind: _LanesType, parts: list[Any]) -> Any:
    value = ir.Constant(ir.ArrayType(kind.vector, kind.vectors), ir.Undefined)
    for index, part in enumerate(parts):
        value = builder.insert_value(value, part, index)
    return value


def _apart(builder: Any, kind: _LanesType, value: Any) -> list[Any]:
    return [builder.extract_value(value, index) for index in range(kind.vectors)]


def _call(builder: Any, name: str, value: Any, *more: Any) -> Any:
    """An operation of LLVM on vectors of one type."""
    full = f"llvm.{name}.v{value.type.count}f32"
    kind = ir.FunctionType(value.type, [value.type] * (1 + len(more)))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), [value, *more])


def _places(context: Any, builder: Any, kind: _LanesType, array_type: Any, array: Any, place: Any) -> list[Any]:
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.bitcast(builder.gep(data, [place]), kind.vector.as_pointer())
    return [builder.gep(first, [ir.Constant(_INT, index)]) for index in range(kind.vectors)]


def _each(work: Callable[..., Any], count: int) -> Callable[..., Any]:
    """An operation of `count` operands of one width, from what it does to one vector of each."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        apart = [_apart(builder, kind, value) for value in args]
        return _together(builder, kind, [work(builder, kind, *parts) for parts in zip(*apart, strict=True)])

    made: Callable[..., Any]
    if count == 1:

        @intrinsic  # type: ignore[untyped-decorator]
        def made(typing: Any, value: Any) -> Any:
            return signature(value, value), generate

    elif count == 2:

        @intrinsic  # type: ignore[untyped-decorator]
        def made(typing: Any, first: Any, second: Any) -> Any:
            return signature(first, first, second), generate

    else:

        @intrinsic  # type: ignore[untyped-decorator]
        def made(typing: Any, first: Any, second: Any, third: Any) -> Any:
            return signature(first, first, second, third), generate

    return made


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, place: Any, like: Any) -> Any:
    """The numbers from `place` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        parts = []
        for address in _places(context, builder, sig.return_type, sig.args[0], args[0], args[1]):
            parts.append(builder.load(address))
            parts[-1].align = _FLOAT_BYTES
        return _together(builder, sig.return_type, parts)

    return signature(_LanesType(like.count), array, types.intp, like), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Puts the numbers at `place`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.args[2]
        addresses = _places(context, builder, kind, sig.args[0], args[0], args[1])
        for address, part in zip(addresses, _apart(builder, kind, args[2]), strict=True):
            builder.store(part, address).align = _FLOAT_BYTES
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, value), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any, like: Any) -> Any:
    """One number many times."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        empty = ir.Constant(kind.vector, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(_INT, 0))
        part = builder.shuffle_vector(first, empty, ir.Constant(kind.whole, [0] * kind.length))
        return _together(builder, kind, [part] * kind.vectors)

    return signature(_LanesType(like.count), types.float32, like), generate


def _select(builder: Any, comparison: str, first: Any, second: Any, yes: Any, no: Any) -> Any:
    return builder.select(builder.fcmp_ordered(comparison, first, second), yes, no)


floor_at_zero: Final = _each(
    lambda builder, kind, value: _select(builder, ">", value, _constant(kind, 0.0), value, _constant(kind, 0.0)), 1
)
"""The larger of each number and zero; zero for what is not a number."""

larger: Final = _each(lambda builder, _kind, first, second: _select(builder, ">", first, second, first, second), 2)
"""The larger of each pair; the second for what is not a number."""

below: Final = _each(
    lambda builder, kind, first, second: builder.uitofp(builder.fcmp_ordered("<", first, second), kind.vector), 2
)
"""1 where the first is smaller, else 0."""

chosen: Final = _each(
    lambda builder, kind, first, second, value: _select(builder, "==", first, second, value, _constant(kind, 0.0)), 3
)
"""The third where the first two are equal, else 0."""

nearest: Final = _each(lambda builder, _kind, value: _call(builder, "nearbyint", value), 1)
"""Each number rounded to a whole one, halves to the even one."""

# "contract" lets a product and a sum become one fused step.
add: Final = _each(lambda builder, _kind, first, second: builder.fadd(first, second, flags=("contract",)), 2)
sub: Final = _each(lambda builder, _kind, first, second: builder.fsub(first, second, flags=("contract",)), 2)
mul: Final = _each(lambda builder, _kind, first, second: builder.fmul(first, second, flags=("contract",)), 2)
rounded_mul: Final = _each(lambda builder, _kind, first, second: builder.fmul(first, second), 2)
"""A product that is rounded, whatever is done with it."""

# exp(r) for |r| <= ln(2) / 2 is 1 + r + r^2 p(r): a minimax polynomial (S. L. Moshier, Cephes, `expf`).
_EXP: Final = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LN2_HIGH: Final = 0.693359375
_LN2_LOW: Final = -2.12194440e-4
_LOG2_E: Final = 1.44269504088896341
# Adding it leaves the nearest whole number in the last bits of the sum.
_ROUNDING: Final = 12582912.0
_LEAST: Final = -87.0


def _exponential(builder: Any, kind: _LanesType, x: Any) -> Any:
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
    exponent = builder.shl(builder.fptosi(whole, kind.whole), ir.Constant(kind.whole, [23] * kind.length))
    scaled = builder.bitcast(builder.add(builder.bitcast(y, kind.whole), exponent), x.type)
    return builder.select(alive, scaled, _constant(kind, 0.0))


exponential: Final = _each(_exponential, 1)
"""e to the power of each number, which is at most 0: relative error below 2e-7, and exactly 0 below -87."""

# log(1 + m) for sqrt(1/2) <= 1 + m < sqrt(2): a minimax polynomial (S. L. Moshier, Cephes, `logf`).
_LOG: Final = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_ROOT_HALF: Final = 0.70710678118654752440


def _logarithm(builder: Any, kind: _LanesType, x: Any) -> Any:
    def whole(number: int) -> Any:
        return ir.Constant(kind.whole, [number] * kind.length)

    raw = builder.bitcast(x, kind.whole)
    half = builder.or_(builder.and_(raw, whole(0x007FFFFF)), whole(0x3F000000))
    m = builder.bitcast(half, kind.vector)
    exponent = builder.sub(builder.lshr(raw, whole(23)), whole(126))
    small = builder.fcmp_ordered("<", m, _constant(kind, _ROOT_HALF))
    exponent = builder.sub(exponent, builder.zext(small, kind.whole))
    e = builder.sitofp(exponent, kind.vector)
    m = builder.fsub(builder.select(small, builder.fadd(m, m), m), _constant(kind, 1.0))
    z, p = builder.fmul(m, m), _constant(kind, _LOG[0])
    for coefficient in _LOG[1:]:
        p = _call(builder, "fma", p, m, _constant(kind, coefficient))
    y = builder.fmul(builder.fmul(m, z), p)
    y = _call(builder, "fma", e, _constant(kind, _LN2_LOW), y)
    y = _call(builder, "fma", z, _constant(kind, -0.5), y)
    return _call(builder, "fma", e, _constant(kind, _LN2_HIGH), builder.fadd(m, y))


logarithm: Final = _each(_logarithm, 1)
"""The natural logarithm of each number, which is positive, finite and not denormal; error below 2e-7."""


def _fold(combine: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """One number of all: vector by vector, then halves, the same order on every machine."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, *others = _apart(builder, sig.args[0], args[0])
        for other in others:
            value = combine(builder, value, other)
        count = sig.args[0].length
        while count > 1:
            count //= 2
            places = ir.VectorType(_INT, count)
            low = builder.shuffle_vector(value, value, ir.Constant(places, list(range(count))))
            high = builder.shuffle_vector(value, value, ir.Constant(places, list(range(count, 2 * count))))
            value = combine(builder, low, high)
        return builder.extract_element(value, ir.Constant(_INT, 0))

    @intrinsic  # type: ignore[untyped-decorator]
    def made(typing: Any, value: Any) -> Any:
        return signature(types.float32, value), generate

    operation: Callable[..., Any] = made
    return operation


total: Final = _fold(lambda builder, first, second: builder.fadd(first, second))
largest: Final = _fold(lambda builder, first, second: _select(builder, ">", first, second, first, second))
