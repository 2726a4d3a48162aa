"""``python -m tvtfast``."""

import sys

from tvtfast.cli import main

sys.exit(main())
