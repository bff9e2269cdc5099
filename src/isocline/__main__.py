"""`python -m isocline` is the command line."""

from __future__ import annotations

import sys

from isocline.cli import main

if __name__ == "__main__":
    sys.exit(main())
