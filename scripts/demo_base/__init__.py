"""The parts of scripts/pretrain_demo_base.py: troff, pages, sources, corpus, vocabulary, training, export."""

import os

# Read when torch loads its OpenMP, so before any part imports torch. Why: see clients/trainer.py.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# The tokenizer's threads: by default one a core, also where the run is to leave the other cores alone.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
