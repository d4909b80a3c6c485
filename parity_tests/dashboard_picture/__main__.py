"""Draw the panels of the dashboard as a real Prometheus answers them now.

Panels, queries and numbers are the dashboard's; the drawing is this page's own and not Grafana's,
which no registry that this repository builds from carries. It says so on the picture. Needs npm
(for uPlot, the chart library that Grafana draws with too) and Chromium.

    python parity_tests/dashboard_picture http://127.0.0.1:9090 docs/dashboard.png --minutes 15
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from retry_parity.lifetime import bound

HERE: Final = Path(__file__).parent
DASHBOARD: Final = HERE.parent / "retry_parity" / "dashboards" / "retry-migration.json"
_UPLOT: Final = "uplot@1.6.32"
_WIDTH: Final = 1600
_UNIT: Final = 40  # pixels that a row of the dashboard's grid is high
_FRAME: Final = 90


def draw(prometheus: str, picture: Path, minutes: float, rate_s: int, now: float) -> None:
    """Make the picture.

    Args:
        prometheus: Address of a server.
        picture: The PNG file to write.
        minutes: How far back it goes.
        rate_s: What ``$__rate_interval`` is, seconds; Grafana takes four scrapes.
        now: Where it ends, seconds since 1970.
    """
    board = json.loads(DASHBOARD.read_text())
    asked = {
        "prometheus": prometheus,
        "start": now - minutes * 60,
        "end": now,
        "step": max(minutes * 60 / 240, 1),
        "variables": {
            "$plugin": ".*",
            "$__rate_interval": f"{rate_s}s",
            "$__range": f"{round(minutes * 60)}s",
        },
        "unit": _UNIT,
        "board": board,
    }
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", name, _UPLOT)
        library = folder / "node_modules" / "uplot" / "dist"
        page = (HERE / "page.html").read_text()
        for place, text in {
            "/*uplot.css*/": (library / "uPlot.min.css").read_text(),
            "/*uplot.js*/": (library / "uPlot.iife.min.js").read_text(),
            "/*asked*/ null": json.dumps(asked),
        }.items():
            page = page.replace(place, text)
        (folder / "page.html").write_text(page)
        _run(
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=20000",
            f"--window-size={_WIDTH},{height * _UNIT + _FRAME}",
            f"--screenshot={picture.resolve()}",
            (folder / "page.html").as_uri(),
        )


def _run(*command: str) -> None:
    subprocess.run(bound(command), check=True, capture_output=True)  # noqa: S603 - our own


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate-s", type=int, default=60)
    given = parser.parse_args()
    draw(given.prometheus, given.picture, given.minutes, given.rate_s, time.time())


if __name__ == "__main__":
    main()
