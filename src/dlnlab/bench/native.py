"""Kernels in C for one network, two balanced pathways of one mode: the limit of a generic path."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dlnlab.typing import Any

_C = """
void run(double* one, double* two, const double* rate, long lanes, long steps) {
  for (long block = 0; block < lanes; block += 16)
    for (long t = 0; t < steps; ++t)
      for (long k = block; k < block + 16; ++k) {
        double a = one[k], b = two[k], r = rate[k] * (a * a * a + b * b * b - 1.0);
        one[k] = a - r * a * a;
        two[k] = b - r * b * b;
      }
}
"""

_C_STATISTICS = """
#include <math.h>
void run(const double* rates, double* lyapunov, int* period, int* outcome, double* highest,
         long lanes, long steps) {
  const double share = 1.0 / sqrt(3.0);
  for (long block = 0; block < lanes; block += 16) {
    double one[16], two[16], p[16], q[16], scale[16], from[16], count[16], anchor[16], top[16],
        total[16], low[16], high[16], most[16];
    long found[16], published[16], rose[16], over[16], swings[16], alive[16];
    for (int k = 0; k < 16; ++k) {
      one[k] = sqrt(3.0) * cbrt(0.02), two[k] = sqrt(3.0) * cbrt(0.01), p[k] = 0.6, q[k] = 0.8;
      scale[k] = count[k] = 0, from[k] = 1, anchor[k] = 0.03, top[k] = total[k] = 0;
      low[k] = 1e300, high[k] = -1e300, most[k] = 0.5 * 0.97 * 0.97;
      found[k] = published[k] = rose[k] = over[k] = swings[k] = 0, alive[k] = 1;
    }
    for (long t = 1; t <= steps; ++t) {
      const long lag = (t - 1) % 64 + 1, ends = lag == 64, counted = t > 0.25 * steps;
      const long closing = steps - t < 200;
      for (int k = 0; k < 16; ++k) {
        const double rate = rates[block + k], a = one[k] * share, b = two[k] * share;
        const double x = a * a * a, y = b * b * b, r = x + y - 1.0, before = 0.5 * r * r;
        const double da = 3 * share * a * a, db = 3 * share * b * b;
        const double ha = 6 * share * share * a, hb = 6 * share * share * b;
        const double wing = da * p[k] + db * q[k];
        double pn = p[k] - rate * (wing * da + r * ha * p[k]);
        double qn = q[k] - rate * (wing * db + r * hb * q[k]);
        const double on = one[k] - rate * r * da, tw = two[k] - rate * r * db;
        const long fine = alive[k] & (fabs(on) + fabs(tw) < INFINITY);
        const double c = on * share, d = tw * share, u = c * c * c, v = d * d * d;
        const double rn = u + v - 1.0, after = 0.5 * rn * rn, size = pn * pn + qn * qn;
        const double big = size > 0x1p400 ? 0x1p-200 : size < 0x1p-400 ? 0x1p200 : 1.0;
        const double power = size > 0x1p400 ? 200 : size < 0x1p-400 ? -200 : 0;
        const long back = fabs(u + v - anchor[k]) <= 1e-6;
        const long new_found = back & (found[k] == 0) ? lag : found[k];
        const long rises = after > before + 8.3e-25;
        const double ax = fabs(x), ay = fabs(y);
        p[k] = fine ? pn * big : p[k], q[k] = fine ? qn * big : q[k];
        scale[k] = fine ? (counted ? scale[k] + power : 0) : scale[k];
        from[k] = fine & !counted ? size * big * big : from[k];
        count[k] += fine & counted;
        anchor[k] = fine & ends ? u + v : anchor[k];
        published[k] = fine & ends ? new_found : published[k];
        found[k] = fine ? (ends ? 0 : new_found) : found[k];
        top[k] = fine & !rose[k] ? (ax > ay ? ax : ay) : top[k];
        total[k] = fine & !rose[k] ? ax + ay : total[k];
        rose[k] |= fine & rises, over[k] |= fine & (after > 5e5);
        swings[k] += fine & closing & (r * rn < 0);
        low[k] = fine & closing & (rn < low[k]) ? rn : low[k];
        high[k] = fine & closing & (rn > high[k]) ? rn : high[k];
        most[k] = fine & (after > most[k]) ? after : most[k];
        one[k] = fine ? on : one[k], two[k] = fine ? tw : two[k];
        alive[k] &= fine;
      }
    }
    for (int k = 0; k < 16; ++k) {
      const double size = p[k] * p[k] + q[k] * q[k], c = one[k] * share, d = two[k] * share;
      const double x = fabs(c * c * c), y = fabs(d * d * d), r = c * c * c + d * d * d - 1.0;
      const double drop = top[k] / total[k] - (x > y ? x : y) / (x + y);
      lyapunov[block + k] = (0.5 * log(size / from[k]) + scale[k] * log(2.0)) / count[k];
      period[block + k] = published[k], highest[block + k] = most[k];
      outcome[block + k] = over[k] | !alive[k] ? 0 : high[k] < -0.99 ? 1
        : swings[k] >= 10 && high[k] - low[k] > 1e-6 ? 2 : fabs(r) >= 1e-5 ? 6
        : !rose[k] ? 3 : drop >= 0.05 ? 4 : 5;
    }
  }
}
"""


def bare(lanes: int, steps: int) -> Callable[[], float]:
    """The bare step, blocks of lanes in registers: what one core can do at all."""
    kernel, rate = _kernel(_C), _padded_rates(lanes)

    def run() -> float:
        one, two = np.full(len(rate), 0.02 ** (1 / 3)), np.full(len(rate), 0.01 ** (1 / 3))
        kernel(*map(_pointer, (one, two, rate)), ctypes.c_long(len(rate)), ctypes.c_long(steps))
        return float(one[0])

    return run


def with_statistics(lanes: int, steps: int) -> Callable[[], tuple[Any, ...]]:
    """The same with Lyapunov exponent, period, outcome and the largest loss, returned in this
    order: what a kernel of our own could gain at most."""
    kernel, rate = _kernel(_C_STATISTICS), _padded_rates(lanes)
    found = [np.empty(len(rate), dtype) for dtype in (float, np.int32, np.int32, float)]

    def run() -> tuple[Any, ...]:
        kernel(*map(_pointer, (rate, *found)), ctypes.c_long(len(rate)), ctypes.c_long(steps))
        return tuple(array[:lanes] for array in found)

    return run


def _padded_rates(lanes: int) -> Any:
    return np.resize(np.linspace(0.01, 1.2, lanes), -(-lanes // 16) * 16)


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@functools.cache
def _kernel(text: str) -> Any:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ImportError("no C compiler", name="a C compiler")
    folder = Path(tempfile.mkdtemp(prefix="dlnlab-bench-"))
    source, made = folder / "modes.c", folder / "modes.so"
    source.write_text(text, encoding="utf-8")
    flags = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(source), "-o", str(made), "-lm"], check=True)
    return ctypes.CDLL(str(made)).run
