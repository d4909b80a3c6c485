"""Candidates that are wrong in one way each, for what shrinks a divergence to a test."""

from __future__ import annotations

from typing import Any

from retry_with_backoff import RetryWithBackoffPlugin


class _Wrong(RetryWithBackoffPlugin):
    """The Rust core; `spoil` changes its answer."""

    async def tool_post_invoke(self, payload: Any, context: Any, extensions: Any = None) -> Any:
        """Answer, spoiled."""
        answer = await super().tool_post_invoke(payload, context, extensions)
        return self.spoil(payload, context, answer)

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Change an answer."""
        raise NotImplementedError


def no_retry(answer: Any) -> Any:
    """Give the answer without its retry."""
    return answer.model_copy(update={"retry_delay_ms": 0})


def first_text(payload: Any) -> str:
    """Give the first text of a result; empty where there is none."""
    content = (payload.result or {}).get("content") or [{}]
    text = content[0].get("text", "")
    return text if isinstance(text, str) else ""


class HatesAWord(_Wrong):
    """Loses the retry where a text has a word that no decision reads."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Look for the word."""
        del context
        return no_retry(answer) if "overdraft" in first_text(payload) else answer


class HatesLongTexts(_Wrong):
    """Loses the retry where a text is long."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Look at the length."""
        del context
        return no_retry(answer) if len(first_text(payload)) > 300 else answer


class LosesTheSecond(_Wrong):
    """Loses the second retry of every chain."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Look at the chain."""
        del payload, context
        base = (self.config.config or {}).get("backoff_base_ms", 200)
        return no_retry(answer) if answer.retry_delay_ms > base else answer


class DrawsTooLong(_Wrong):
    """Adds a millisecond to every delay, so that only the longest draw is wrong."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Add it."""
        del payload, context
        delay = answer.retry_delay_ms
        return answer.model_copy(update={"retry_delay_ms": delay + 1 if delay else 0})


class TiresOfATool(_Wrong):
    """Gives up on a tool after three retries of whatever request."""

    seen: dict[int, int]

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Count over all requests."""
        del payload, context
        self.count = getattr(self, "count", 0) + bool(answer.retry_delay_ms)
        return no_retry(answer) if self.count > 3 else answer


class NeverForgets(_Wrong):
    """Keeps a chain beyond its 300 s."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Double a first delay that is none to it."""
        key = (payload.name, context.global_context.request_id)
        known: set[Any] = self.__dict__.setdefault("known", set())
        again = key in known and answer.retry_delay_ms == 100
        if answer.retry_delay_ms:
            known.add(key)
        else:
            known.discard(key)
        return answer.model_copy(update={"retry_delay_ms": 200}) if again else answer


class MinglesTools(_Wrong):
    """Loses the retry of a chain whose joined key it has seen for another pair."""

    def spoil(self, payload: Any, context: Any, answer: Any) -> Any:
        """Remember the joined keys."""
        pair = (payload.name, context.global_context.request_id)
        known: dict[str, Any] = self.__dict__.setdefault("known", {})
        first = known.setdefault(":".join(pair), pair)
        return no_retry(answer) if first != pair else answer


class RefusesABudget(RetryWithBackoffPlugin):
    """Refuses a config that both sides take."""

    def __init__(self, config: Any) -> None:
        """Look at the budget."""
        if (config.config or {}).get("max_retries", 0) > 6:
            message = "max_retries: too many"
            raise KeyError(message)
        super().__init__(config)
