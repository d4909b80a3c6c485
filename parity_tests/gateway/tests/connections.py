"""Connections to each of a gateway's workers."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gateway.client import Client
    from gateway.stack import Stack

#: Far more than it takes until each worker has accepted one.
_MOST_CONNECTIONS: Final = 2000


@contextmanager
def each_worker(
    stack: Stack, number: int = 2, *, besides: Collection[int] = ()
) -> Iterator[dict[int, Client]]:
    """Connect until each worker has a connection that stays with it.

    Args:
        stack: Whose workers.
        number: How many there are to be.
        besides: Process ids that do not count.

    Yields:
        The clients, by the process id of their worker.
    """
    with ExitStack() as connections:
        found: dict[int, Client] = {}
        for _ in range(_MOST_CONNECTIONS):
            with ExitStack() as connection:
                client = connection.enter_context(stack.gateway.another())
                worker = worker_of(stack, client)
                if worker is not None and worker not in (*found, *besides):
                    found[worker] = client
                    connections.push(connection.pop_all())
            if len(found) == number:
                break
        assert len(found) == number, f"workers {sorted(found)} answer, {number} have to"
        yield found


def worker_of(stack: Stack, client: Client) -> int | None:
    """Say which process has accepted the connection that a client keeps; ``None``: none has."""
    # Once there is an answer, the connection is accepted.
    if not client.is_healthy():
        return None
    for worker in psutil.Process(stack.program.pid).children():
        with suppress(psutil.Error):
            for connection in worker.net_connections("tcp"):
                if connection.raddr and connection.raddr.port == client.local_port:
                    return int(worker.pid)
    return None
