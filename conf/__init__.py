"""Every setting of rengo, with a comment on each: `GROUP/OPTION.yaml` is chosen by `GROUP=OPTION`, a value in it is set
by `GROUP.KEY=VALUE`. A package, so that a wheel carries it; `federation/load_plan.py` reads it."""
