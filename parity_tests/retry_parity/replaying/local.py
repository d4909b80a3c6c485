"""A replay on this machine: a process for each core."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Final

from retry_parity.lifetime import end_pool, end_worker_with_parent
from retry_parity.replaying.playing import Played, ReplayRefusedError, play

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_parity.replaying.playing import Task

#: A part that is lost with its process is played again so often.
_MOST_TRIES: Final = 3
#: Seconds between two looks at the progress.
_LOOK_S: Final = 0.2


def play_locally(
    tasks: Sequence[Task], workers: int, advance: Callable[[int], None] = lambda _: None
) -> Played:
    """Play parts, as many at a time as there are workers.

    A worker that dies is replaced, its part is played again, and counted once.

    Args:
        tasks: The parts of one trace.
        workers: Processes.
        advance: Told now and then how many calls were played so far.

    Returns:
        All parts added up.

    Raises:
        ReplayRefusedError: It cannot begin, or workers died again and again.
        TraceError: The trace cannot be read.
    """
    # Fresh interpreters: what this one has loaded or counted plays no part.
    context = multiprocessing.get_context("spawn")
    # A place for each part, which only its worker writes: no lock that a dying one could keep.
    progress = context.RawArray("q", len(tasks))
    done: dict[int, Played] = {}
    for tries in range(1, _MOST_TRIES + 1):
        try:
            _play_missing(context, progress, tasks, workers, done, advance)
            break
        except BrokenProcessPool:
            if tries == _MOST_TRIES:
                message = f"workers died {tries} times (out of memory?); fewer --workers may do"
                raise ReplayRefusedError(message) from None
    advance(sum(played.calls for played in done.values()))
    whole = Played()
    for number in sorted(done):
        whole.add(done[number])
    return whole


def cores() -> int:
    """Give the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _play_missing(  # noqa: PLR0913, PLR0917 - what one try needs
    context: Any,
    progress: Any,
    tasks: Sequence[Task],
    workers: int,
    done: dict[int, Played],
    advance: Callable[[int], None],
) -> None:
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_begin, initargs=(progress,)
    )
    try:
        numbers = {}
        for number, task in enumerate(tasks):
            if number not in done:
                progress[number] = 0
                numbers[pool.submit(_play, number, task)] = number
        left = set(numbers)
        while left:
            finished, left = wait(left, _LOOK_S, FIRST_COMPLETED)
            for future in finished:
                done[numbers[future]] = future.result()
            advance(sum(progress))
    finally:
        end_pool(pool)


class _Worker:
    """What a worker's process was begun with."""

    progress: Any = None


def _begin(progress: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    end_worker_with_parent()
    _Worker.progress = progress


def _play(number: int, task: Task) -> Played:
    def advance(calls: int) -> None:
        _Worker.progress[number] += calls

    return play(task, advance)
