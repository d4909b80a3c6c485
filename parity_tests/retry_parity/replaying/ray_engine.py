"""A replay on a Ray cluster, for traces that outgrow one machine.

The parts are those of the local engine, so the evidence is the same byte for byte. Every node has
to reach the trace's files under the same paths, and to have the same packages installed.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from retry_parity.replaying.playing import Played, ReplayRefusedError, play
from retry_parity.traces.calls import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_parity.replaying.playing import Task

#: A part whose worker or node is lost is played again so often.
_MOST_RETRIES: Final = 3
_LOOK_S: Final = 1.0
#: Seconds within which a cluster has to take a connection.
_REACHED_S: Final = 10.0
#: Ray tells its makers of its use unless this says that it shall not.
_TELLS: Final = "RAY_USAGE_STATS_ENABLED"


def play_on_ray(
    tasks: Sequence[Task],
    workers: int | None,
    address: str | None,
    advance: Callable[[int], None] = lambda _: None,
    player: Callable[[Task], Played] = play,
) -> Played:
    """Play parts on the cluster's workers.

    Ray plays a part again whose worker was lost. Only what a part returns is counted, so it is
    counted once.

    Args:
        tasks: The parts of one trace.
        workers: Processes of a cluster that is started here; ``None`` means one for each core.
        address: Of a cluster that is there already; ``None`` starts one here.
        advance: Told now and then how many calls were played so far, in parts that have ended.
        player: Plays a part.

    Returns:
        All parts added up.

    Raises:
        ReplayRefusedError: Ray is not installed, the cluster cannot be reached, or a part's
            workers were lost again and again.
        TraceError: The trace cannot be read.
    """
    os.environ.setdefault(_TELLS, "0")
    try:
        import ray
    except ImportError as error:
        message = f"--engine ray needs {error.name}; install retry-parity[ray]"
        raise ReplayRefusedError(message) from error
    if address is not None:
        _reach(address)
    try:
        ray.init(
            address=address,
            num_cpus=None if address else workers,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        reason = " ".join(str(error).split())
        message = f"--address {address}: no Ray cluster can be reached: {reason}"
        if address is None:
            message = f"--engine ray: Ray cannot be started here: {reason}"
        raise ReplayRefusedError(message) from error
    try:
        return _play(ray, tasks, advance, player)
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """See whether somebody is at an address; Ray goes on trying for minutes.

    Raises:
        ReplayRefusedError: Nobody is there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit() or not host:
        return  # "auto", or what only Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHED_S).close()
    except (OSError, OverflowError) as error:
        message = f"--address {address}: no Ray cluster can be reached: {error}"
        raise ReplayRefusedError(message) from error


def _play(
    ray: Any,
    tasks: Sequence[Task],
    advance: Callable[[int], None],
    player: Callable[[Task], Played],
) -> Played:
    remote = ray.remote(max_retries=_MOST_RETRIES, num_cpus=1)(player)
    numbers = {remote.remote(task): number for number, task in enumerate(tasks)}
    done: dict[int, Played] = {}
    left = list(numbers)
    while left:
        finished, left = ray.wait(left, num_returns=1, timeout=_LOOK_S)
        for reference in finished:
            try:
                done[numbers[reference]] = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise _cause(error) from None
            except ray.exceptions.RayError as error:
                message = f"part {numbers[reference]}: its workers were lost again and again: "
                reason = " ".join(str(error).split())
                raise ReplayRefusedError(message + reason) from None
        advance(sum(played.calls for played in done.values()))
    whole = Played()
    for number in sorted(done):
        whole.add(done[number])
    return whole


def _cause(error: Any) -> BaseException:
    """Give what a part raised, as it was raised."""
    cause: BaseException = error.cause
    if isinstance(cause, ReplayRefusedError | TraceError):
        return cause
    return ReplayRefusedError(f"a part failed: {type(cause).__name__}: {cause}")
