"""`retry-parity minimize SOURCE --out FOLDER`: a divergence as the smallest test that shows it."""

from __future__ import annotations

from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from retry_parity import arguments, candidates
from retry_parity.containers import Container
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.minimizing import samples
from retry_parity.minimizing.finding import Playing
from retry_parity.minimizing.fixtures import Decision, FixtureError, parsed
from retry_parity.minimizing.redaction import kept_of
from retry_parity.minimizing.reduction import fixture_of, reduce, reproduce
from retry_parity.minimizing.rehearsal import MinimizeError, rehearse
from retry_parity.minimizing.sources import (
    CONFIG_NAME,
    Sampled,
    Traffic,
    candidate_of,
    ceiling,
    config_of,
    find_sources,
)
from retry_parity.minimizing.writing import WriteError, emit, write
from retry_parity.output import OutputError, console, printable, refuse
from retry_parity.regressions import faults
from retry_parity.replay import ReplayError
from retry_parity.scenarios import Call
from retry_parity.traces.calls import TraceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from retry_parity.differential.reducing import Sample
    from retry_parity.minimizing.finding import Found
    from retry_parity.minimizing.fixtures import Fixture

WRITTEN: Final = 0
NOTHING_FOUND: Final = 1
BAD_INPUT: Final = 3

#: What is wrong with the input; told in one line.
ERRORS: Final = (
    EvidenceError, FixtureError, MinimizeError, OutputError, ReplayError, TraceError, WriteError,
)  # fmt: skip
#: Bytes between two lines of progress where nobody's terminal is.
_LINE_EVERY: Final = 64 * 1024 * 1024
#: Signatures of one source; a candidate that has more has one cause for most of them.
_MOST_SIGNATURES: Final = 64


class _Lead(NamedTuple):
    found: Found
    candidate: str
    hint: str


def add_minimize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "minimize",
        help="write a divergence as the smallest test that shows it",
        description=(
            "Look for a divergence in recorded calls or evidence, shrink it to the smallest chain, "
            "take out what it does not need, and write it as a pytest case with a JSON fixture. "
            "Exit status: 0 = written, or there already, 1 = no divergence was found, or none that "
            "shows again, 3 = bad input."
        ),
    )
    arguments.refuse_with(command, BAD_INPUT)
    command.add_argument(
        "source",
        type=arguments.path,
        nargs="+",
        metavar="SOURCE",
        help="a trace (JSON lines or Parquet), a folder of evidence, or a merged file of evidence",
    )
    command.add_argument(
        "--out",
        type=arguments.path,
        required=True,
        metavar="FOLDER",
        help="where the test is written",
    )
    command.add_argument(
        "--candidate",
        choices=candidates.NAMES,
        help="what is compared to the hybrid (default: what the evidence names, else rust)",
    )
    command.add_argument(
        "--reference",
        choices=("legacy",),
        default="legacy",
        help="what is right (default: %(default)s)",
    )
    command.add_argument(
        "--config",
        type=arguments.path,
        metavar="FILE",
        help="plugins file with the retry plugin's config (default: what the trace says, then "
        f"{CONFIG_NAME} beside it; for samples, the policy they have)",
    )
    command.add_argument(
        "--signature", metavar="NAME", help="look for this divergence, as evidence names it"
    )
    command.add_argument(
        "--all", action="store_true", help="write one test for each signature, not only the first"
    )
    command.add_argument(
        "--allow-text",
        action="store_true",
        help="write texts, names and numbers of the original that the divergence needs",
    )
    command.add_argument(
        "--force", action="store_true", help="replace files that have other contents"
    )


def minimize_command(options: argparse.Namespace) -> int:
    """Run the command; give its exit status."""
    try:
        return _minimize(options)
    except ERRORS as error:
        return refuse(str(error), BAD_INPUT)


def _minimize(options: argparse.Namespace) -> int:
    if options.out.exists() and not options.out.is_dir():
        message = f"{options.out}: it is a file, a folder is allowed"
        raise OutputError(message)
    job = _Job(options)
    for lead in _leads(options, job.wanted, job.say):
        if job.take(lead) and not options.all:
            break
    return job.end()


class _Job:
    """What is looked for, and what became of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.say = _Speaker(console(stderr=False))
        self._options = options
        self._done: set[str] = set()
        self._lost: dict[str, str] = {}
        self._refused: list[str] = []

    def wanted(self, signature: str) -> bool:
        """Whether a divergence of this signature is still looked for."""
        is_it = self._options.signature in {None, signature}
        return is_it and signature not in self._done

    def take(self, lead: _Lead) -> bool:
        """Make a test of what was found; say whether it showed again."""
        signature = lead.found.signature
        if signature in self._done:
            return False
        sample = reproduce(lead.found, lead.candidate)
        if sample is None:
            line = f"{signature}: {lead.found.place} does not show it again; {lead.hint}"
            self._lost[signature] = line
            return False
        self._done.add(signature)
        try:
            _write(sample, lead, self._options, self.say)
        except MinimizeError as error:
            # One that cannot be written hides no other.
            self._refused.append(str(error))
        return True

    def end(self) -> int:
        """Say what is left to say; give the exit status."""
        for signature, line in self._lost.items():
            if signature not in self._done:
                self.say(line)
        if not self._done and not self._lost:
            named = self._options.signature
            what = f" with the signature {named}" if named else ""
            self.say(f"no divergence{what} was found; nothing was written")
        for line in self._refused:
            refuse(line, BAD_INPUT)
        if self._refused:
            return BAD_INPUT
        return WRITTEN if self._done else NOTHING_FOUND


def _leads(
    options: argparse.Namespace, wanted: Callable[[str], bool], say: _Speaker
) -> Iterator[_Lead]:
    """Give what was found, source by source; nothing is under way while one is looked at."""
    for source in find_sources(options.source):
        candidate = candidate_of(source, options.candidate)
        if isinstance(source, Sampled):
            yield from _sampled(source, candidate, options, wanted)
        else:
            yield from _played(source, candidate, options, wanted, say)


def _sampled(
    source: Sampled, candidate: str, options: argparse.Namespace, wanted: Callable[[str], bool]
) -> Iterator[_Lead]:
    config = config_of(source, options.config)
    settings = None if config is None else config.config
    for sample in source.samples():
        if not wanted(str(sample["signature"])):
            continue
        found = samples.found_of(sample, settings, ceiling())
        hint = "its result was captured; the calls before it may be what is missing: use a trace"
        if not samples.is_whole(sample):
            hint = "what was captured of it is too little: use a trace, or evidence.capture: full"
        yield _Lead(found, candidate, hint)


def _played(
    source: Traffic,
    candidate: str,
    options: argparse.Namespace,
    wanted: Callable[[str], bool],
    say: _Speaker,
) -> Iterator[_Lead]:
    """Play a trace with each kind of dict; the plainer one first."""
    config = config_of(source, options.config)
    if config is None:
        return
    met: dict[str, Found] = {}
    played: list[str] = []

    def still(signature: str) -> bool:
        return signature not in met and len(met) < _MOST_SIGNATURES and wanted(signature)

    for container in (Container.SNAPSHOT, Container.LAZY):
        with _progress(source, container) as advance:
            playing = Playing(config, ceiling(), candidate, container, advance)
            divergences = playing.divergences(source.file, still)
            with closing(divergences):
                for found in divergences:
                    met[found.signature] = found
                    if not options.all:
                        break
        played.append(f"{playing.calls:,} with a {container.value} dict")
        if met and not options.all:
            break
    say(f"{source.file.path}: calls played: {', '.join(played)}")
    hint = "neither the chain nor the calls shortly before it are all that it takes"
    yield from (_Lead(found, candidate, hint) for found in met.values())


def _write(sample: Sample, lead: _Lead, options: argparse.Namespace, say: _Speaker) -> None:
    where = console(stderr=True)
    with where.status("reducing") if where.is_terminal else nullcontext():
        smallest, reduced = reduce(sample, lead.candidate)
    fixture = fixture_of(smallest, lead.candidate, lead.found.origin)
    signature = fixture.signature
    say(
        f"{signature}: {lead.found.place}; {_calls(sample)} reduced to {_calls(smallest)}"
        f"{'' if reduced else ' (not reduced to the end)'}"
    )
    left = kept_of(sample.scenario, smallest.scenario)
    if not options.allow_text:
        unknown = [each for each in left if not each.known]
        if unknown:
            places = ", ".join(dict.fromkeys(each.place for each in unknown[:5]))
            message = (
                f"{signature}: needs something of the original that is no word of the format "
                f"({places}); nothing was written; look at it, then give --allow-text to write it"
            )
            raise MinimizeError(message)
    for each in left:
        say(f"  kept because the divergence needs it: {each.place}: {each.what}")
    emitted = emit(fixture, _got(fixture))
    _check(parsed(emitted.fixture, emitted.name))
    new = write(emitted, options.out, force=options.force)
    for path, _ in emitted.paths(options.out):
        say(f"  {'written' if new else 'there already'}: {path}")


def _calls(sample: Sample) -> str:
    count = sum(isinstance(step, Call) for step in sample.scenario.steps)
    return f"{count:,} call{'' if count == 1 else 's'}"


def _check(fixture: Fixture) -> None:
    """See that the test will fail on the candidate it was made of.

    Raises:
        MinimizeError: It would not.
    """
    if not any(faults(fixture, fixture.candidate)):
        message = f"{fixture.signature}: the test would pass on {fixture.candidate}; not written"
        raise MinimizeError(message)


def _got(fixture: Fixture) -> str:
    """Say what the candidate does in the step that shows the divergence."""
    for run in rehearse(fixture.scenario, fixture.candidate):
        for deed in run:
            if deed.step == fixture.step and deed.signature == fixture.signature:
                theirs = deed.comparison.candidate
                return str(Decision.of(None if theirs is None else theirs.outcome))
    return "another decision"


class _Speaker:
    """Says a line."""

    def __init__(self, where: Console) -> None:
        self._console = where

    def __call__(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress(source: Traffic, container: Container) -> Iterator[Callable[[int], object]]:
    """Show how much of a trace was read: a bar on a terminal, a line now and then elsewhere."""
    where = console(stderr=True)
    name, size = source.file.path.name, source.file.size_bytes
    if not where.is_terminal:
        read = 0

        def tell(more: int) -> None:
            nonlocal read
            before, read = read, read + more
            if before // _LINE_EVERY != read // _LINE_EVERY:
                line = f"{name}, {container.value} dict: {read >> 20:,} of {size >> 20:,} MiB"
                where.print(printable(line), markup=False, highlight=False)

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=where, transient=True) as bar:
        task = bar.add_task(f"{container.value} dict", total=size)
        yield lambda more: bar.advance(task, more)
