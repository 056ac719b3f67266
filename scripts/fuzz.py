"""Feed what reads hostile bytes with what nobody would send, guided by coverage (atheris, libFuzzer).

    python -m venv fuzz && fuzz/bin/pip install -c constraints.txt -e '.[fuzz]'
    fuzz/bin/python scripts/fuzz.py frame --seconds 60          one target; without a name, the list
    fuzz/bin/python scripts/fuzz.py --write-seeds               tests/corpus anew from what honest parties say

A target starts from tests/corpus/TARGET and writes what it finds to --found. An input that breaks a promise, takes more
than five seconds or more than 1 GB ends the run with a traceback and is kept there as `crash-…`: mend the reader and
put the input, minimised, into tests/corpus, where the default tests replay it for good.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from random import Random

CORPUS = Path(__file__).resolve().parent.parent / "tests/corpus"


def main() -> None:
    args = arguments()
    if args.write_seeds:
        write_seeds()
        return
    import atheris

    # Everything of ours that is imported here is instrumented; libraries are not.
    with atheris.instrument_imports(include=["federation", "clients", "aggregator", "cbor2"]):
        from fuzzing.mutate import changed
        from fuzzing.targets import TARGETS, honest
    if args.target is None:
        print(*TARGETS, sep="\n")
        return
    honest()
    found = args.found / args.target
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={args.seconds}", f"-runs={args.runs}", "-timeout=5", "-rss_limit_mb=1024"]
    options = ["-max_len=8192", "-print_final_stats=1", f"-artifact_prefix={found}/", *limits]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        """Every other time by structure, otherwise as libFuzzer would."""
        other = changed(args.target, data, Random(seed)) if seed % 2 else None  # noqa: S311
        return other if other is not None and len(other) <= max_size else atheris.Mutate(data, max_size)

    command = [sys.argv[0], *options, str(found), str(CORPUS / args.target)]
    atheris.Setup(command, TARGETS[args.target], custom_mutator=mutate)
    atheris.Fuzz()


def write_seeds() -> None:
    """One file an input, named by its hash."""
    from fuzzing.targets import seeds

    for target, data in seeds():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (CORPUS / target / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--seconds", type=int, default=60, help="wall time (0: no limit)")
    parser.add_argument("--runs", type=int, default=-1, help="inputs (-1: no limit)")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where new inputs are kept")
    parser.add_argument("--write-seeds", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
