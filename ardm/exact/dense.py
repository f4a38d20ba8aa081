"""Products of unsigned bytes with signed ones, summed in int32: the arithmetic of every layer, compiled.
Knows no network.

`accumulate_four` adds x . w to a start, of four rows. Where the processor has AVX512-VNNI it uses that
instruction; elsewhere plain loops, which LLVM vectorises; and NumPy where nothing is compiled. The choice is
made when this module is loaded and changes no integer: |w| <= 127, 0 <= x <= 255, and every sum stays below
2**24.

    packed weights, flat: VNNI int8 [inputs / 4][outputs / 16][16][4]; plain int8 [outputs][inputs]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ardm.ahead import has_vnni
from ardm.compiled import BORROWING, inlined, internal
from ardm.exact import int32

LANES = 16  # outputs in a vector of int32
QUAD = 4  # inputs that one instruction sums
COLOURED = 3 * LANES  # bytes in whole vectors and whole pixels


VNNI = has_vnni()


def padded(count: int, unit: int) -> int:
    """The next multiple of unit."""
    return -(-count // unit) * unit


def pack(weight: np.ndarray) -> np.ndarray:
    """Weights in the layout of this machine. weight: int8 (outputs, inputs), multiples of 16 and of 4.
    Returns int8, flat.
    """
    outputs, inputs = weight.shape
    if not VNNI:
        return np.ascontiguousarray(weight).reshape(-1)
    blocks = weight.reshape(outputs // LANES, LANES, inputs // QUAD, QUAD)
    return np.ascontiguousarray(blocks.transpose(2, 0, 1, 3)).reshape(-1)


def widened(weight: np.ndarray, outputs: int, inputs: int) -> np.ndarray:
    """Weights int8 with rows and columns of zeros added."""
    out = np.zeros((outputs, inputs), np.int8)
    out[: weight.shape[0], : weight.shape[1]] = weight
    return out


def lengthened(vector: np.ndarray, count: int) -> np.ndarray:
    """Biases or shifts with zeros added, int32."""
    return np.pad(vector.astype(np.int32), (0, count - len(vector)))


def packed_layers(tensors: Mapping[str, np.ndarray], width: int, outputs: int) -> tuple[np.ndarray, ...]:
    """Weights, biases and shifts of the hidden layers, of `width`, then of the head, of `outputs`, as
    products take them.
    """
    return (
        np.concatenate([pack(widened(h, width, width)) for h in tensors["hidden"]]),
        np.concatenate([lengthened(b, width) for b in tensors["hidden_bias"]]),
        np.concatenate([lengthened(s, width) for s in tensors["hidden_shift"]]),
        pack(widened(tensors["head"], outputs, width)),
        lengthened(tensors["head_bias"], outputs),
        lengthened(tensors["head_shift"], outputs),
    )


def _make_vnni(pixels: int, groups: int) -> Any:
    """An intrinsic that sums `groups` vectors of outputs for `pixels` rows of inputs, in registers."""
    vector, word = ir.VectorType(ir.IntType(32), LANES), ir.IntType(32)
    zeros = ir.Constant(ir.VectorType(word, LANES), [0] * LANES)

    @intrinsic
    def accumulate(
        typing: Any,
        x: Any,
        x_at: Any,
        x_step: Any,
        w: Any,
        w_at: Any,
        w_step: Any,
        quads: Any,
        sums: Any,
        at: Any,
        step: Any,
        start: Any,
        start_at: Any,
        start_step: Any,
    ) -> Any:
        """sums[at + p step ...] = start[...] + x[x_at + p x_step ...] . w, the weights of a quad w_step bytes
        after those of the one before.
        """

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def data(i: int) -> Any:
                return context.make_array(signature.args[i])(context, builder, args[i]).data

            index = ir.IntType(64)
            product = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), "llvm.x86.avx512.vpdpbusd.512"
            )
            inputs, weights = data(0), data(3)
            total = builder.gep(data(7), [args[8]])
            places = {}
            for p in range(pixels):
                row = builder.gep(total, [builder.mul(args[9], index(p))])
                origin = builder.gep(data(10), [builder.add(args[11], builder.mul(args[12], index(p)))])
                for g in range(groups):
                    pointer = builder.bitcast(builder.gep(row, [index(g * LANES)]), vector.as_pointer())
                    slot = cgutils.alloca_once(builder, vector)
                    load = builder.load(
                        builder.bitcast(builder.gep(origin, [index(g * LANES)]), vector.as_pointer())
                    )
                    load.align = 4
                    builder.store(load, slot)
                    places[p, g] = pointer, slot
            rows = [
                builder.gep(inputs, [builder.add(args[1], builder.mul(args[2], index(p)))])
                for p in range(pixels)
            ]
            rows = [builder.bitcast(row, word.as_pointer()) for row in rows]
            first = builder.gep(weights, [args[4]])
            with cgutils.for_range(builder, args[6]) as loop:
                line = builder.gep(first, [builder.mul(loop.index, args[5])])
                loaded = []
                for g in range(groups):
                    load = builder.load(
                        builder.bitcast(builder.gep(line, [index(g * LANES * QUAD)]), vector.as_pointer())
                    )
                    load.align = 1
                    loaded.append(load)
                for p in range(pixels):
                    four = builder.load(builder.gep(rows[p], [loop.index]))
                    four.align = 1
                    spread = builder.insert_element(ir.Constant(vector, ir.Undefined), four, word(0))
                    spread = builder.shuffle_vector(spread, ir.Constant(vector, ir.Undefined), zeros)
                    for g in range(groups):
                        slot = places[p, g][1]
                        builder.store(builder.call(product, [builder.load(slot), spread, loaded[g]]), slot)
            for pointer, slot in places.values():
                store = builder.store(builder.load(slot), pointer)
                store.align = 4
            return context.get_dummy_value()

        return types.void(
            x, x_at, x_step, w, w_at, w_step, quads, sums, at, step, start, start_at, start_step
        ), generate

    return accumulate


if VNNI:
    _four_4, _four_2, _four_1 = (_make_vnni(4, g) for g in (4, 2, 1))

    @internal(boundscheck=False, inline="never", _nrt=False)
    def accumulate_four(
        x: Any,
        at: Any,
        x_step: Any,
        w: Any,
        w_at: Any,
        inputs: Any,
        outputs: Any,
        start: Any,
        start_at: Any,
        start_step: Any,
        sums: Any,
        sums_step: Any,
    ) -> None:
        """sums[p sums_step ...] = start[start_at + p start_step ...] + x[at + p x_step ...] . w of four rows
        p, for flat uint8 x, packed w from w_at on, flat int32 start and sums. Weights are loaded once.
        """
        quads, step = np.int64(inputs // QUAD), np.int64(outputs * QUAD)
        o, a, v, b = np.int64(0), np.int64(at), np.int64(w_at), np.int64(start_at)
        x_by, sums_by, start_by = np.int64(x_step), np.int64(sums_step), np.int64(start_step)
        while outputs - o >= 4 * LANES:
            _four_4(x, a, x_by, w, v + o * QUAD, step, quads, sums, o, sums_by, start, b + o, start_by)
            o += 4 * LANES
        while outputs - o >= 2 * LANES:
            _four_2(x, a, x_by, w, v + o * QUAD, step, quads, sums, o, sums_by, start, b + o, start_by)
            o += 2 * LANES
        while outputs - o >= LANES:
            _four_1(x, a, x_by, w, v + o * QUAD, step, quads, sums, o, sums_by, start, b + o, start_by)
            o += LANES

elif config.DISABLE_JIT:

    def accumulate_four(
        x: Any,
        at: Any,
        x_step: Any,
        w: Any,
        w_at: Any,
        inputs: Any,
        outputs: Any,
        start: Any,
        start_at: Any,
        start_step: Any,
        sums: Any,
        sums_step: Any,
    ) -> None:
        """The same by NumPy."""
        weight = w[w_at : w_at + outputs * inputs].reshape(outputs, inputs).astype(np.int32)
        for p in range(4):
            row, first = x[at + p * x_step :][:inputs].astype(np.int32), start_at + p * start_step
            sums[p * sums_step :][:outputs] = start[first : first + outputs] + weight @ row

else:

    @internal(boundscheck=False, _nrt=False)
    def accumulate_four(
        x: Any,
        at: Any,
        x_step: Any,
        w: Any,
        w_at: Any,
        inputs: Any,
        outputs: Any,
        start: Any,
        start_at: Any,
        start_step: Any,
        sums: Any,
        sums_step: Any,
    ) -> None:
        """The same in plain loops."""
        for p in range(4):
            for o in range(outputs):
                line, row, total = w_at + o * inputs, at + p * x_step, np.int32(0)
                for i in range(inputs):
                    total = int32.add(total, int32.mul(np.int32(x[row + i]), np.int32(w[line + i])))
                sums[p * sums_step + o] = int32.add(start[start_at + p * start_step + o], total)


# ---- vectors of 16 numbers, which LLVM makes of what the processor has -------------------------------------

_WORD, _BYTE = ir.IntType(32), ir.IntType(8)
_WIDE, _NARROW = ir.VectorType(_WORD, LANES), ir.VectorType(_BYTE, LANES)


def _constant(value: int) -> Any:
    return ir.Constant(_WIDE, [value] * LANES)


def _access(builder: Any, pointer: Any, at: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [at]), kind.as_pointer())


def _read(builder: Any, pointer: Any, at: Any, kind: Any) -> Any:
    load = builder.load(_access(builder, pointer, at, kind))
    load.align = 1 if kind is _NARROW else 4
    return load


def _write(builder: Any, values: Any, pointer: Any, at: Any, kind: Any) -> None:
    store = builder.store(values, _access(builder, pointer, at, kind))
    store.align = 1 if kind is _NARROW else 4


def _between(builder: Any, values: Any, low: int, high: int) -> Any:
    values = builder.select(builder.icmp_signed(">", values, _constant(low)), values, _constant(low))
    return builder.select(builder.icmp_signed("<", values, _constant(high)), values, _constant(high))


def _saturated(builder: Any, name: str, one: Any, other: Any) -> Any:
    """uadd or usub of unsigned bytes, which stay within 0..255."""
    kind = ir.FunctionType(_NARROW, [_NARROW] * 2)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.sat.v{LANES}i8")
    return builder.call(function, [one, other])


def _arrays(context: Any, builder: Any, signature: Any, args: Any, which: tuple[int, ...]) -> list[Any]:
    return [context.make_array(signature.args[n])(context, builder, args[n]).data for n in which]


def _make_vectors() -> tuple[Any, Any, Any, Any]:
    @intrinsic
    def weigh(
        typing: Any,
        line: Any,
        i: Any,
        pixels: Any,
        at: Any,
        stride: Any,
        weight: Any,
        k: Any,
        step: Any,
        rows: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            line, pixels, weight = _arrays(context, builder, signature, args, (0, 2, 5))
            lanes = [ir.Constant(args[1].type, j * LANES) for j in range(COLOURED // LANES)]
            totals = [cgutils.alloca_once_value(builder, _constant(0)) for _ in lanes]
            with cgutils.for_range(builder, args[8]) as loop:
                source = builder.add(args[3], builder.mul(loop.index, args[4]))
                by = builder.add(args[6], builder.mul(loop.index, args[7]))
                for lane, total in zip(lanes, totals, strict=True):
                    values = _read(builder, pixels, builder.add(source, lane), _NARROW)
                    times = _read(builder, weight, builder.add(by, lane), _WIDE)
                    more = builder.mul(builder.zext(values, _WIDE), times)
                    builder.store(builder.add(builder.load(total), more), total)
            for lane, total in zip(lanes, totals, strict=True):
                _write(builder, builder.load(total), line, builder.add(args[1], lane), _WIDE)
            return context.get_dummy_value()

        return types.void(line, i, pixels, at, stride, weight, k, step, rows), generate

    @intrinsic
    def put_apart(
        typing: Any, values: Any, k: Any, pixels: Any, at: Any, red: Any, green: Any, blue: Any
    ) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values, pixels = _arrays(context, builder, signature, args, (0, 2))
            bases = ir.Constant(_NARROW, ir.Undefined)
            for c in range(3):
                bases = builder.insert_element(bases, builder.trunc(args[4 + c], _BYTE), _WORD(c))
            middle = ir.Constant(_NARROW, [128] * LANES)
            for j in range(COLOURED // LANES):
                lane = ir.Constant(args[1].type, j * LANES)
                colours = ir.Constant(
                    ir.VectorType(_WORD, LANES), [(j * LANES + i) % 3 for i in range(LANES)]
                )
                base = builder.shuffle_vector(bases, ir.Constant(_NARROW, ir.Undefined), colours)
                apart = _read(builder, pixels, builder.add(args[3], lane), _NARROW)
                # values - base + 128 within a byte: one of the two differences is 0
                apart = _saturated(builder, "uadd", apart, _saturated(builder, "usub", middle, base))
                apart = _saturated(builder, "usub", apart, _saturated(builder, "usub", base, middle))
                _write(builder, apart, values, builder.add(args[1], lane), _NARROW)
            return context.get_dummy_value()

        return types.void(values, k, pixels, at, red, green, blue), generate

    def shifted(builder: Any, total: Any, shift: Any) -> Any:
        half = builder.ashr(builder.shl(_constant(1), shift), _constant(1))
        return builder.ashr(builder.add(total, half), shift)

    def activation(residual: bool) -> Any:
        @intrinsic
        def activate(typing: Any, sums: Any, i: Any, shift: Any, at: Any, out: Any, k: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                sums, shifts, out = _arrays(context, builder, signature, args, (0, 2, 4))
                total, shift = _read(builder, sums, args[1], _WIDE), _read(builder, shifts, args[3], _WIDE)
                if residual:
                    before = builder.zext(_read(builder, out, args[5], _NARROW), _WIDE)
                    total = builder.add(total, builder.shl(before, shift))
                result = _between(builder, shifted(builder, total, shift), 0, 255)
                _write(builder, builder.trunc(result, _NARROW), out, args[5], _NARROW)
                return context.get_dummy_value()

            return types.void(sums, i, shift, at, out, k), generate

        return activate

    return weigh, put_apart, activation(False), activation(True)


if config.DISABLE_JIT:

    def weigh(
        line: Any, i: Any, pixels: Any, at: Any, stride: Any, weight: Any, k: Any, step: Any, rows: Any
    ) -> None:
        """line[i : i + 48] = sum over rows v of pixels[at + v stride ...] * weight[k + v step ...]: int32,
        uint8, int32.
        """
        line[i : i + COLOURED] = sum(
            pixels[at + v * stride :][:COLOURED].astype(np.int32) * weight[k + v * step :][:COLOURED]
            for v in range(rows)
        )

    def put_apart(values: Any, k: Any, pixels: Any, at: Any, red: Any, green: Any, blue: Any) -> None:
        """values[k : k + 48] = clamp(pixels[at : at + 48] - base, -128, 127) + 128, where base is red, green,
        blue in turn, each 0..255.
        """
        base = np.tile(np.array([red, green, blue], np.int32), COLOURED // 3)
        values[k : k + COLOURED] = (
            np.clip(pixels[at : at + COLOURED].astype(np.int32) - base, -128, 127) + 128
        )

    def _shifted(total: Any, shift: Any) -> Any:
        return (total + (1 << shift >> 1)) >> shift

    def activate(sums: Any, i: Any, shift: Any, at: Any, out: Any, k: Any) -> None:
        """out[k : k + 16] = clamp(sums[i : i + 16] * 2**-shift[at : at + 16], 0, 255), rounded half up."""
        out[k : k + LANES] = np.clip(_shifted(sums[i : i + LANES], shift[at : at + LANES]), 0, 255)

    def activate_more(sums: Any, i: Any, shift: Any, at: Any, out: Any, k: Any) -> None:
        """The same, added to what out is."""
        more = out[k : k + LANES].astype(np.int32) << shift[at : at + LANES]
        out[k : k + LANES] = np.clip(_shifted(sums[i : i + LANES] + more, shift[at : at + LANES]), 0, 255)

else:
    weigh, put_apart, activate, activate_more = _make_vectors()


@inlined(**BORROWING)
def shifted_sum(total: Any, shift: Any) -> Any:
    """total * 2**-shift, rounded half up."""
    return int32.sar(int32.add(total, int32.sar(int32.shl(np.int32(1), shift), np.int32(1))), shift)


# ---- rows of a table, where inputs are one-hot -------------------------------------------------------------


def _make_rows(groups: int) -> Any:
    """An intrinsic that sums `groups` vectors of outputs over rows, in registers."""

    @intrinsic
    def sum_group(
        typing: Any, table: Any, rows: Any, count: Any, o: Any, unit: Any, start: Any, sums: Any, to: Any
    ) -> Any:
        """sums[to + o ...] = start[o ...] + unit * sum of table[rows[k] + o ...]."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            table, rows, start, sums = _arrays(context, builder, signature, args, (0, 1, 5, 6))
            slots = [cgutils.alloca_once_value(builder, _constant(0)) for _ in range(groups)]
            with cgutils.for_range(builder, args[2]) as loop:
                row = builder.add(builder.load(builder.gep(rows, [loop.index])), args[3])
                for g, slot in enumerate(slots):
                    at = builder.add(row, ir.Constant(row.type, g * LANES))
                    values = builder.sext(_read(builder, table, at, _NARROW), _WIDE)
                    builder.store(builder.add(builder.load(slot), values), slot)
            one = builder.insert_element(ir.Constant(_WIDE, ir.Undefined), args[4], _WORD(0))
            unit = builder.shuffle_vector(one, ir.Constant(_WIDE, ir.Undefined), _constant(0))
            for g, slot in enumerate(slots):
                at = builder.add(args[3], ir.Constant(args[3].type, g * LANES))
                total = builder.add(_read(builder, start, at, _WIDE), builder.mul(builder.load(slot), unit))
                _write(builder, total, sums, builder.add(args[7], at), _WIDE)
            return context.get_dummy_value()

        return types.void(table, rows, count, o, unit, start, sums, to), generate

    return sum_group


if config.DISABLE_JIT:

    def sum_rows(table: Any, rows: Any, unit: Any, outputs: Any, start: Any, sums: Any, to: Any) -> None:
        """sums[to ...] = start + unit * the sum of `outputs` numbers of int8 table from every one of rows
        on; int64 rows, int32 unit, start and sums.
        """
        total = sum(table[row : row + outputs].astype(np.int32) for row in rows)
        sums[to : to + outputs] = start[:outputs] + unit * total

else:
    _rows_4, _rows_1 = (_make_rows(g) for g in (4, 1))

    @internal(boundscheck=False, inline="never", _nrt=False)
    def sum_rows(table: Any, rows: Any, unit: Any, outputs: Any, start: Any, sums: Any, to: Any) -> None:
        """The same in registers."""
        o, count, at = np.int64(0), np.int64(rows.size), np.int64(to)
        while outputs - o >= 4 * LANES:
            _rows_4(table, rows, count, o, unit, start, sums, at)
            o += 4 * LANES
        while outputs - o >= LANES:
            _rows_1(table, rows, count, o, unit, start, sums, at)
            o += LANES
