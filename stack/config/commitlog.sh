#!/bin/sh
# Start Cassandra, after segments of its commit log that nothing was ever written to are removed.
#
#     sh commitlog.sh FOLDER COMMAND [ARGUMENT …]
#
# On a full disk a segment is made and finds no room for its header: a file of zeros, in which there
# is no mutation, for the header comes first. Cassandra 5.0 refuses every later start over it ("Could
# not read commit log descriptor"), also when there is room again. A segment with any other byte in
# it stays, however broken: what to do with it is for a person to decide.
folder=$1
shift
for segment in "$folder"/CommitLog-*.log; do
    [ -f "$segment" ] || continue
    begun=$(head -c 8 "$segment" | tr -d '\0' | wc -c)  # of most, this answers at once
    [ "$begun" -gt 0 ] || begun=$(tr -d '\0' < "$segment" | head -c 1 | wc -c)
    if [ "$begun" -eq 0 ]; then
        echo "removed $segment: nothing but zeros, as a full disk leaves it" >&2
        rm -- "$segment"
    fi
done
exec "$@"
