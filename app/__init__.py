"""The Headwater service."""

import sys

# structlog loads rich where that is installed (with the command line client), a fifth of the start, for tracebacks that are
# never shown here. So it is not there while structlog is loaded, and there again for everybody else.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog as _  # noqa: F401

    del sys.modules["rich"]
