"""``python -m bioptimus_lib`` is the ``bioptimus`` command."""

import sys

from bioptimus_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
