"""`python benches/soak`: sustained load on the plugin behind its manager, its memory and latency.

Opens chains up to the limit, then begins new ones without end, each of which drops the oldest; some
give up, some succeed. `--plugin shadow` does it to the comparison with the hybrid, whose store has
no bound: there chains end by success. With `--clock-step` chains age by the number of calls and
not by real time: quickly, so that they expire within a minute, or slowly, so that a million of them
stays alive on any machine. Every answer is checked and every chain accounted for: exit status 1
where something was lost, 2 where it could not be run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from load import SUBJECTS, Load, has_grown, replace_clocks
from memory import resident_bytes, slope
from retry_with_backoff import _core
from timed import Timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retry_parity._native import Latency

_EVERY_S: Final = 1.0
#: Lines of progress.
_LINES: Final = 60
#: The first part of the run, in which caches fill and the allocator settles.
_SETTLING: Final = 0.1
#: Seconds that a chain lives after its last failure (BEHAVIOUR.md, "The chain").
_TTL_S: Final = 300.0
#: Below it resident memory says little of the store.
_WEIGHABLE: Final = 100_000
_MIB: Final = 2**20
_SHARES: Final = (0.5, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is seen once a second.

    Attributes:
        at_s: Seconds since the load began.
        resident_bytes: Of the process.
        calls: Hook calls so far, those of the filling included.
        live: Live chains.
        store_bytes: What the store takes.
    """

    at_s: float
    resident_bytes: int
    calls: int
    live: int
    store_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = _parse(arguments)
    try:
        told = asyncio.run(_soak(options))
    except RuntimeError as error:
        sys.stderr.write(f"soak: {error}\n")
        return 2
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for name, value in told["figures"].items():
        sys.stdout.write(f"{name}: {value}\n")
    for name, count in told["troubles"].items():
        sys.stdout.write(f"LOST {name}: {count}\n")
    sys.stdout.write(f"tried {told['tried']:,}, lost {told['lost']:,}\n")
    return int(told["lost"] > 0)


async def _soak(options: argparse.Namespace) -> dict[str, Any]:
    subject = SUBJECTS[options.plugin]
    load = Load(subject, options.live or subject.live)
    began = time.monotonic()
    step_s = options.clock_step
    if step_s:
        replace_clocks(lambda: load.calls * step_s)
    await load.start()
    gc.collect()
    empty = _sample(load, began)
    await load.fill()
    gc.collect()
    full = _sample(load, began)
    _say(f"{full.live:,} live chains, {full.store_bytes / _MIB:.1f} MiB, in {full.at_s:.0f} s")
    Timed.hook.clear()
    samples = await _loaded(load, options)
    aged_s = load.calls * step_s if step_s else time.monotonic() - began
    may_expire = aged_s > _TTL_S
    troubles = dict(load.troubles(may_expire=may_expire))
    grown = full.resident_bytes - empty.resident_bytes
    most_bytes = max(each.store_bytes for each in samples)
    troubles["store beyond its bytes"] = int(most_bytes > load.most_store_bytes)
    troubles["store that grows at its limit"] = int(
        subject.evicts and has_grown(load.live, full.store_bytes, most_bytes)
    )
    troubles["memory beyond the store's bytes"] = int(
        subject.evicts and load.live >= _WEIGHABLE and grown > load.most_store_bytes
    )
    return {
        "tried": load.calls,
        "lost": sum(troubles.values()),
        "figures": _figures(load, samples, full, grown),
        "troubles": {name: count for name, count in troubles.items() if count},
        "measured": _measured(load, samples, full, grown),
        "samples": [asdict(sample) for sample in samples],
    }


async def _loaded(load: Load, options: argparse.Namespace) -> list[Sample]:
    """Load it for so long, or with so many calls."""
    began = time.monotonic()
    last, every = began, max(_EVERY_S, options.seconds / _LINES)
    samples, said = [_sample(load, began)], 0.0
    first_calls = load.calls
    while True:
        await load.round()
        now = time.monotonic()
        done = now - began >= options.seconds
        if options.calls:
            done = load.calls - first_calls >= options.calls
        if done or now - last >= _EVERY_S:
            last = now
            samples.append(_sample(load, began))
        if done:
            return samples
        if now - began >= said + every:
            said = now - began
            _say(_progress(load, samples))


def _progress(load: Load, samples: Sequence[Sample]) -> str:
    latest = samples[-1]
    rate = (latest.calls - samples[0].calls) / (latest.at_s or 1.0)
    return (
        f"{latest.at_s:6.0f} s  {latest.calls:,} calls ({rate:,.0f}/s)  "
        f"{latest.resident_bytes / _MIB:.1f} MiB  {latest.live:,} live  "
        f"{load.evicted:,} evicted  p99.9 {_us(Timed.hook, 0.999)}"
    )


def _measured(load: Load, samples: Sequence[Sample], full: Sample, grown: int) -> dict[str, Any]:
    took_s = samples[-1].at_s - samples[0].at_s
    settled = [each for each in samples if each.at_s >= took_s * _SETTLING]
    rising = slope([(each.at_s, each.resident_bytes) for each in settled])
    return {
        "seconds": took_s,
        "calls_per_s": (samples[-1].calls - samples[0].calls) / took_s if took_s else None,
        "hook_ns": _quantiles(Timed.hook),
        "call_ns": _quantiles(load.call_times),
        "live": samples[-1].live,
        "begun": load.begun,
        "ended": load.ended,
        "evicted": load.evicted,
        "expired": load.expired,
        "store_bytes": full.store_bytes,
        "store_bytes_at_most": max(each.store_bytes for each in samples),
        "resident_bytes_of_filling": grown,
        "resident_bytes": [samples[0].resident_bytes, samples[-1].resident_bytes],
        "slope_bytes_per_hour": None if rising is None else rising.bytes_per_hour,
        "slope_plus_minus": None if rising is None else rising.plus_minus,
    }


def _figures(load: Load, samples: Sequence[Sample], full: Sample, grown: int) -> dict[str, str]:
    """Give what was measured, as it is read."""
    measured = _measured(load, samples, full, grown)
    rising, margin = measured["slope_bytes_per_hour"], measured["slope_plus_minus"]
    steep = "too short to say" if rising is None else f"{rising / _MIB:+.2f} MiB/h"
    if margin is not None:
        steep += f" ± {margin / _MIB:.2f} (95 %)"
    first, last = measured["resident_bytes"]
    return {
        "load": f"{measured['calls_per_s']:,.0f} calls/s for {measured['seconds']:,.0f} s",
        "hook": _latency(Timed.hook),
        "whole call": _latency(load.call_times),
        "chains": f"{measured['live']:,} live, {load.begun:,} begun, {load.ended:,} ended, "
        f"{load.evicted:,} evicted, {max(load.expired, 0):,} expired",
        "store": f"{full.store_bytes / _MIB:.1f} MiB for {full.live:,} chains, "
        f"{grown / _MIB:.1f} MiB resident",
        "resident memory": f"{first / _MIB:.1f} MiB at first, {last / _MIB:.1f} MiB at last, "
        f"{steep}",
    }


def _latency(times: Latency) -> str:
    names = ("p50", "p99", "p99.9", "max")
    return ", ".join(
        f"{name} {_us(times, share)}" for name, share in zip(names, _SHARES, strict=True)
    )


def _quantiles(times: Latency) -> list[int | None]:
    return [times.quantile_ns(share) for share in _SHARES]


def _us(times: Latency, share: float) -> str:
    return f"{(times.quantile_ns(share) or 0) / 1000:,.1f} µs"


def _sample(load: Load, began: float) -> Sample:
    return Sample(
        at_s=time.monotonic() - began,
        resident_bytes=resident_bytes(),
        calls=load.calls,
        live=_core.live_chains(),
        store_bytes=_core.store_bytes(),
    )


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benches/soak", description=__doc__)
    parser.add_argument("--plugin", choices=list(SUBJECTS), default="product")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--calls", type=int, default=0, help="as many calls instead of so long")
    parser.add_argument(
        "--live", type=int, default=0, help="live chains (default 1,000,000; in shadow mode 1,000)"
    )
    parser.add_argument(
        "--clock-step",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="age chains by so much at each call (default: real time)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    options = parser.parse_args(arguments)
    for name in ("seconds", "calls", "live", "clock_step"):
        if getattr(options, name) < 0:
            parser.error(f"--{name.replace('_', '-')}: allowed: a number of at least 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
