"""gunicorn's settings for several workers; `stack` passes everything else on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import multiprocess

from retry_parity.lifetime import end_with_parent

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

worker_class: Final = "uvicorn_worker.UvicornWorker"
preload_app: Final = True
#: Seconds. A client that keeps its connection stays with its worker, also when it pauses.
keepalive: Final = 60
# Its socket lies in the user's home, where a second gateway would replace the first one's.
control_socket_disable: Final = True


def post_fork(server: Arbiter, _worker: Worker) -> None:
    """Give a worker a pool of its own; connections that cross a fork break for both sides.

    It ends when its master is killed: uvicorn's worker does not look.
    """
    from mcpgateway.db import engine

    end_with_parent(server.pid)
    engine.dispose(close=False)


def child_exit(_server: Arbiter, worker: Worker) -> None:
    """Take what a worker that is gone reported as its present state off the metrics page."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # it has no types
