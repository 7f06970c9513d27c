# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the host asks of this guest (run.json), and how much longer things take here than on a stock kernel."""

import json
from pathlib import Path

_FILE = Path(__file__).resolve().parent / "run.json"
# There is none where scenarios are only listed.
ORDER = json.loads(_FILE.read_text()) if _FILE.exists() else {}
# Time limits are stretched by this: a kernel with checkers, or a busy machine.
SLOWNESS = ORDER.get("slowness", 1.0)
# The kernel itself is slow, so that what repeats something a hundred times does it less often.
SLOW_KERNEL = ORDER.get("slow_kernel", False)
