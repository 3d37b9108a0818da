"""Thousands of damaged DICOM, NIfTI and .npy inputs: each must end in a derived series or in a clear error.

``make fuzz``; FUZZ_CASES and FUZZ_SEED choose how many, and which. ``fuzz.py SEED NUMBER...`` repeats some.
"""

from __future__ import annotations

import os
import sys
import time

from fuzzing import fuzz


def main() -> int:
    """Run the cases; the exit code is 1 if there are defects."""
    seed = os.environ.get("FUZZ_SEED") or str(int(time.time()))
    numbers = range(int(os.environ.get("FUZZ_CASES") or 5000))
    if len(sys.argv) > 2:
        seed, numbers = sys.argv[1], [int(number) for number in sys.argv[2:]]  # type: ignore[assignment]
    print(f"seed {seed}, {len(numbers)} inputs", flush=True)
    begin = time.monotonic()
    result = fuzz(seed, numbers)
    print(result.table())
    print(
        f"{len(numbers)} inputs in {time.monotonic() - begin:.0f} s, the slowest {result.slowest:.1f} s, "
        f"at most {result.peak >> 20} MB; {len(result.defects)} defects"
    )
    for number, what, trace in result.defects:
        print(f"\n--- {what}: again with: python scripts/fuzz.py {seed} {number}\n{trace}")
    return 1 if result.defects else 0


if __name__ == "__main__":
    sys.exit(main())
