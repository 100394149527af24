"""``python -m espdl``."""

import sys

from espdl.cli import main

if __name__ == "__main__":
    sys.exit(main())
