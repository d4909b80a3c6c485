"""`python -m retry_parity`."""

from __future__ import annotations

import sys

from retry_parity.cli import main

sys.exit(main())
