"""``python -m backend.cli``: the same as the installed command ``humanref``."""

import sys

from backend.cli.app import main

sys.exit(main())
