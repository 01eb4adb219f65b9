"""Campaigns of tools/siege.py: each tries many inputs and counts what came of them.

Importing it sets what libraries read when they are imported, and finds recnn and bench/record.py.
"""
import os
import sys
from pathlib import Path

os.environ |= dict(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1", RECNN_PROGRESS="0", HF_HUB_OFFLINE="1",
                   TOKENIZERS_PARALLELISM="false")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]
