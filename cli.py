"""The command line from a checkout, without installing: `python cli.py validate specs/ple.yaml`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from archspec.cli import main

if __name__ == "__main__":
    sys.exit(main())
