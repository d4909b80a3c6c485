"""What the framework imports when it loads the measured plugin by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable


class Managed:
    """Makes the plugin that is being measured."""

    made: ClassVar[Callable[[Any], Any]]

    def __new__(cls, config: Any) -> Any:
        """Make it with this config."""
        return cls.made(config)
