"""The sink beside its peers: `python -m tests.benchmarks.sink --contestants ours,… --rounds 5`.

One real stack, one prefilled log; the contestants take turns in windows of about half a minute.

    log ─► contestants (jobs, programs) ─► referee (clock, CPU, tables) ─► standings ─► document
"""
