"""Which results are failures: the flags and the status, without a look at any text.

Where text is checked and where it is not, the rules are the same unless a case says otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING

from .results import FAILURE, LazyDict, result, status, text

if TYPE_CHECKING:
    from .harness import Retry

NOT_TRUE = (None, False, 1, 1.0, "true", "True", "yes", [True], {"isError": True})
"""What a flag may be without being the object ``True``."""

RETRYABLE = (429, 500, 502, 503, 504)
"""The default retry_on_status."""

NOT_RETRYABLE = (0, 200, 302, 400, 404, 428, 499, 501, 505, 599, -503, 50)


class Indexable:
    """Has an integer value without being an ``int``."""

    def __index__(self) -> int:
        """Give a retryable status."""
        return 503

    def __eq__(self, other: object) -> bool:
        """Equal its integer value, as numeric types do."""
        return other == 503

    def __hash__(self) -> int:
        """Go with equality."""
        return hash(503)


NOT_INTEGERS = (None, 503.0, "503", "", [503], {"code": 503}, Indexable())
"""What a status code may be without being an ``int``."""


def test_an_ordinary_result_is_no_failure(retry: Retry) -> None:
    """Content of any kind, structured or not, is a success while nothing in it says otherwise."""
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    retry.plugin().expect_no_failure(
        result(),
        result(content=(text("found 500 errors"), image)),
        result(content=(text({"rows": 3}),), structured={"rows": 3}),
        result(structured={}),
        {},
    )


def test_is_error_without_a_status_is_a_failure(retry: Retry) -> None:
    """A tool that says isError, and no more, has failed."""
    retry.plugin().expect_failure(
        result(is_error=True),
        result(is_error=True, content=(text("timed out"),)),
        result(is_error=True, structured={"message": "timed out"}),
        {"isError": True},
    )


def test_is_error_counts_only_as_the_object_true(retry: Retry) -> None:
    """Whatever is merely like true, null, or not there at all, is no isError."""
    retry.plugin().expect_no_failure(
        *(result(is_error=flag) for flag in NOT_TRUE), {"content": [], "structuredContent": None}
    )


def test_is_error_with_a_retryable_status_is_a_failure(retry: Retry) -> None:
    """An error whose status is in retry_on_status may go away."""
    retry.plugin().expect_failure(
        *(result(is_error=True, structured={"status_code": code}) for code in RETRYABLE)
    )


def test_is_error_with_another_status_is_no_failure(retry: Retry) -> None:
    """An error whose status is not in retry_on_status will not go away; a retry is of no use."""
    retry.plugin().expect_no_failure(
        *(result(is_error=True, structured={"status_code": code}) for code in NOT_RETRYABLE),
        result(is_error=True, structured={"status_code": 404, "isError": False}),
    )


def test_is_error_with_a_status_that_is_no_integer_is_a_failure(retry: Retry) -> None:
    """A status that is no int is as good as none, so the error stands alone."""
    retry.plugin().expect_failure(
        *(result(is_error=True, structured={"status_code": code}) for code in NOT_INTEGERS),
        *(result(is_error=True, structured={"status_code": code}) for code in (404.0, "404")),
    )


def test_structured_is_error_without_a_status_is_a_failure(retry: Retry) -> None:
    """An isError inside structuredContent counts as the result's own."""
    retry.plugin().expect_failure(
        result(structured={"isError": True}),
        result(is_error=None, structured={"isError": True, "status_code": None}),
        {"structuredContent": {"isError": True}},
    )


def test_structured_is_error_with_a_retryable_status_is_a_failure(retry: Retry) -> None:
    """An isError and a retryable status inside structuredContent are a failure."""
    retry.plugin().expect_failure(
        *(result(structured={"isError": True, "status_code": code}) for code in RETRYABLE)
    )


def test_structured_is_error_counts_only_as_the_object_true(retry: Retry) -> None:
    """Inside structuredContent, too, nothing but ``True`` is an isError."""
    retry.plugin().expect_no_failure(
        *(result(structured={"isError": flag}) for flag in NOT_TRUE),
        *(result(structured={"isError": flag, "status_code": 404}) for flag in NOT_TRUE),
    )


def test_structured_is_error_outweighs_another_status_where_text_is_checked(retry: Retry) -> None:
    """Where text is checked, isError inside structuredContent is a failure whatever the status.

    Where it is not, not all implementations share one rule for the pair.
    """
    retry.plugin(check_text_content=True).expect_failure(
        *(result(structured={"isError": True, "status_code": code}) for code in NOT_RETRYABLE)
    )


def test_a_retryable_status_alone_is_a_failure(retry: Retry) -> None:
    """429, 500, 502, 503 and 504 are failures by default, without any isError."""
    retry.plugin().expect_failure(
        *(status(code) for code in RETRYABLE),
        *(result(is_error=flag, structured={"status_code": 503}) for flag in NOT_TRUE),
    )


def test_another_status_alone_is_no_failure(retry: Retry) -> None:
    """A status that is not in retry_on_status says nothing."""
    retry.plugin().expect_no_failure(*(status(code) for code in NOT_RETRYABLE))


def test_a_status_of_an_int_subclass_counts(retry: Retry) -> None:
    """HTTPStatus members are statuses, and ``True`` is the status 1."""
    plugin = retry.plugin(retry_on_status=[1, 503])
    plugin.expect_failure(status(HTTPStatus.SERVICE_UNAVAILABLE), status(code=True))
    plugin.expect_no_failure(
        status(HTTPStatus.NOT_FOUND),
        status(code=False),
        result(is_error=True, structured={"status_code": HTTPStatus.NOT_FOUND}),
        result(is_error=True, structured={"status_code": False}),
    )


def test_a_status_that_is_no_integer_says_nothing(retry: Retry) -> None:
    """Floats, strings and what merely converts to an integer are no statuses."""
    retry.plugin().expect_no_failure(*(status(code) for code in NOT_INTEGERS))


def test_the_configured_statuses_replace_the_default_ones(retry: Retry) -> None:
    """retry_on_status is the whole list; an empty one leaves errors without a status only."""
    teapot = retry.plugin(retry_on_status=[418])
    teapot.expect_failure(status(418), result(is_error=True, structured={"status_code": 418}))
    teapot.expect_no_failure(*(status(code) for code in RETRYABLE))
    none = retry.plugin(retry_on_status=[])
    none.expect_failure(FAILURE)
    none.expect_no_failure(
        status(503), status(0), result(is_error=True, structured={"status_code": 503})
    )


def test_structured_content_that_is_no_dict_says_nothing(retry: Retry) -> None:
    """A list, a string or a number there is neither a flag nor a status, and hides none."""
    plugin = retry.plugin(retry_on_status=[503, 1])
    shapes = ([{"isError": True}], ["status_code"], "isError", 503, True, 1.5)
    plugin.expect_no_failure(*(result(structured=shape) for shape in shapes))
    plugin.expect_failure(*(result(is_error=True, structured=shape) for shape in shapes))


def test_a_dict_of_any_subclass_is_read_through_its_methods(retry: Retry) -> None:
    """What a dict subclass answers counts, not what its C storage happens to hold.

    Releases that read the storage directly found it empty in the gateway's copy-on-write dict,
    and never retried anything for 58 days.
    """

    class Stale(LazyDict):
        """Stores the opposite of what it answers."""

    lying = Stale({"isError": True})
    dict.update(lying, {"isError": False})
    calm = Stale({"isError": False, "structuredContent": None, "content": []})
    dict.update(calm, {"isError": True})
    plugin = retry.plugin()
    plugin.expect_failure(
        lying,
        LazyDict(result(structured=LazyDict({"status_code": 503}))),
        OrderedDict(result(is_error=True)),
        result(structured=OrderedDict(isError=True)),
    )
    plugin.expect_no_failure(calm, LazyDict(result(structured=LazyDict({"status_code": 200}))))
