"""The fault matrix on one real stack: `make test-faults [ROWS=A1,C4] [SEED=7] [FRESH=1]`.

How to write a row (its words stand in matrix.toml):

    @row("C5")                                                # binds the test to its row
    def test_c05_cassandra_killed(rig: Rig, trial: Trial) -> None:
        with rig.under_load(trial, tps=100):                  # health first, then a seeded writer
            pid = rig.kill("cassandra")                       #   and canaries that are polled (O2)
            trial.happened(f"SIGKILL of Cassandra, pid {pid}")  # O9: without it the test fails
            rig.recover(trial, within_s=60)                   # O5: heartbeats are fresh again
        # here writers have stopped and every row of both stores was compared (O1): all counts 0

- The name says the row: test_<letter><two digits>_…; a row may have parameters (each is a case).
- `rig` is the shared pipeline. A row that breaks it for good uses `replica` (own database, keyspace
  and generation) and `reconcile(trial, …)`, or heals with `tidemark resync` before it ends.
- Leave everything as it was: `with` blocks of injection.py undo themselves, also after a failure.
- O6: `rig.alarm("slot")` waits for status and metric. O3: `rig.duplicates(since)`. Bounds (O7) are
  asserts of the row, told with `trial.note(…)`.
- `trial.not_injectable(reason)` where this machine cannot do it: the row stays, with its reason.
- Randomness comes from `trial.random` only. Results: .tidemark/faults/<commit>.json, and
  docs/faults.md with --write-matrix.
- Try one: pytest --keep-stack=FOLDER tests/faults --rows=C5 --fresh
"""
