"""What `verdict` and `report` ask for alike: evidence, and by what it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity import arguments
from retry_parity.deciding.judging_evidence import judge
from retry_parity.deciding.progress import reading_progress
from retry_parity.deciding.reading import read_evidence
from retry_parity.deciding.run_files import evidence_paths
from retry_parity.deciding.thresholds import read_thresholds
from retry_parity.evidence_files import config_hash
from retry_parity.flag import without_section
from retry_parity.output import console
from retry_parity.replay import read_plugin_config

if TYPE_CHECKING:
    import argparse

    from retry_parity.deciding.reading import Reading
    from retry_parity.deciding.thresholds import Thresholds
    from retry_parity.deciding.verdict import Verdict

#: Not 2, which a verdict says of evidence that is insufficient.
BAD_INPUT: Final = 3


def add_evidence(command: argparse.ArgumentParser) -> None:
    """Add the options to a command; wrong usage of it is bad input too."""
    command.add_argument(
        "evidence",
        nargs="+",
        metavar="EVIDENCE",
        help="evidence folders (all of it, a plugin's, a run's) and merged files",
    )
    command.add_argument(
        "--thresholds",
        type=arguments.path,
        metavar="FILE",
        help="what differs from the defaults, TOML",
    )
    command.add_argument(
        "--config",
        type=arguments.path,
        metavar="FILE",
        help="plugins file; evidence under another config of the retry plugin does not count",
    )
    command.add_argument("--plugin", metavar="NAME", help="whose evidence, where there are several")

    arguments.refuse_with(command, BAD_INPUT)


def judged(
    options: argparse.Namespace, *, with_samples: bool = False
) -> tuple[Reading, Verdict, Thresholds]:
    """Read the evidence and judge it; progress goes to standard error.

    Raises:
        EvidenceError: The evidence cannot be judged.
        ReplayError: The plugins file cannot be used.
        ThresholdsError: The thresholds cannot be used.
    """
    paths = evidence_paths(options.evidence)
    thresholds = read_thresholds(options.thresholds)
    config = None
    if options.config is not None:
        config = config_hash(without_section(read_plugin_config(options.config).config))
    with reading_progress(console(stderr=True)) as advance:
        reading = read_evidence(
            paths,
            plugin=options.plugin,
            config=config,
            versions=thresholds.versions,
            with_samples=with_samples,
            advance=advance,
        )
    return reading, judge(reading, thresholds), thresholds
