"""What the bench_* scripts share."""

import os

# As clients.trainer sets it, before any of these modules loads torch: so both sides have it.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
