"""``python -m rasterloom``."""

from __future__ import annotations

from rasterloom.cli import main

if __name__ == "__main__":
    main()
