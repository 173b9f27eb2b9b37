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
- `rig` is the shared pipeline. What cannot be healed in a minute uses `replica` (own database,
  keyspace, generation) with `trial.prove(reconcile(replica.settings))`, or a `CraftedLog`;
  replication that is broken for good is healed by `rig.resync(trial)` inside the load.
- Leave everything as it was: `frozen`, `stopped`, `restarted_with`, `program_instead`,
  `second_sink`, `failpoint`, TcpProxy undo themselves; guard your own SQL with try/finally.
- O3: oracles.duplicates. O6: rig.alarm("slot", …), any of them, in metric and status. Bounds
  (O7) are asserts of the row. `trial.note(…)` tells figures in the table.
- `trial.not_injectable(reason)`: this machine cannot do it; the row stays, with its reason.
- Chance comes from `trial.random` only. Results: .tidemark/faults/<commit>.json, and
  what docs/faults.md shows of them in docs/faults.json.
- Try: pytest --keep-stack=FOLDER tests/faults --rows=C5 --fresh [--patience=3 on a busy machine]
"""
