"""The Headwater service."""

import sys

# structlog loads rich where it is installed (with the command line client), for tracebacks that are never shown here. That
# would be a fifth of the start.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
