"""What becomes of two observations of one call: compared, and explained by the ledger.

Shadow mode and `retry-parity compare` judge here, so that what one of them calls a divergence is
one for the other. Nothing here runs a candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from retry_parity.compare import Difference, Kind, Outcome, compare, same_plain
from retry_parity.evidence import Comparison, Step
from retry_parity.ledger import Explanation
from retry_parity.observation import Call, Hook, Raised, Side, attempt
from retry_parity.policy_predicates import PolicyCase
from retry_parity.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_parity.chains import Chains
    from retry_parity.ledger import Ledger
    from retry_parity.observation import Observation
    from retry_parity.reference import Reference


class Judge:
    """Judges the calls of one config, in the order in which they were made.

    Args:
        oracle: The hybrid under this config, after the call that is judged and before the next.
        ledger: Explains differences.
        chains: Chains whose counts differ, shared by all judges of the same chains.
        failed: Told where the ledger itself fails; it explains nothing then.
    """

    def __init__(
        self,
        oracle: Reference,
        ledger: Ledger,
        chains: Chains,
        failed: Callable[[Step, BaseException], None] = lambda *_: None,
    ) -> None:
        """Judge with these."""
        self._oracle = oracle
        self._ledger = ledger
        self._chains = chains
        self._failed = failed

    def decision(
        self,
        call: Call,
        reference: Observation,
        candidate: Observation,
        extra: Sequence[Difference] = (),
    ) -> Comparison:
        """Judge a hook call; ``extra`` are differences that the two observations do not show."""
        view = View(call, reference, candidate, self._oracle, self._chains)
        if view.pair is not None:
            self._chains.see(view.pair)
        differences = (*compare(reference, candidate, view.legal_draw), *extra)
        return self._explained(view, differences)

    def policy(self, tool: str, ceiling: int, ours: object, theirs: object) -> Comparison | None:
        """Judge two native policies, or what was raised for them; ``None`` where they are equal."""
        if isinstance(ours, Raised) and isinstance(theirs, Raised):
            return None
        raised = isinstance(ours, Raised) or isinstance(theirs, Raised)
        if not raised and same_plain(ours, theirs):
            return None
        difference = Difference(Kind.POLICY)
        case = PolicyCase(tool, ceiling, ours, theirs, self._oracle)
        entry = self._ledger.explain_policy(case, difference)
        return Comparison.of_mismatch(Call(Hook.NATIVE_POLICY, tool=tool), difference, entry)

    def _explained(self, view: View, differences: tuple[Difference, ...]) -> Comparison:
        desynchronised_by = None
        accepted: tuple[str, ...] = ()
        unexplained = differences
        if differences:
            explanation = self._explanation(view, differences)
            accepted, unexplained = explanation.accepted, explanation.unexplained
            desynchronised_by = explanation.desynchronised_by
        pair = view.pair
        if pair is not None and (desynchronised_by or pair.ambiguous or view.drift):
            self._chains.settle(
                pair, view.reference_failures, view.candidate_count_after(), desynchronised_by
            )
        return Comparison(
            Outcome.MISMATCH if differences else Outcome.MATCH,
            view.call,
            view.reference,
            view.candidate,
            differences,
            accepted,
            unexplained,
        )

    def _explanation(self, view: View, differences: tuple[Difference, ...]) -> Explanation:
        """Ask the ledger. One that fails explains nothing: the divergence must not be lost."""
        explanation = attempt(lambda: self._ledger.explain(view, differences), Side.CANDIDATE)
        if isinstance(explanation, Raised):
            if explanation.error is not None:
                self._failed(Step.LEDGER, explanation.error)
            return Explanation((), differences, None)
        return explanation
