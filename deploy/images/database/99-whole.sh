#!/bin/sh
# Runs last in a new database: moves it to its place at once and as a whole. What the base image would do
# next, with the directory as it was called, is left out: the entrypoint goes on from here.
set -eu
case $PGDATA in
*.making) ;;
*) exit 0 ;; # The base image was started past airq's entrypoint, and knows what it does.
esac
pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
mv -T "$PGDATA" "${PGDATA%.making}"
# Else the end of the machine could undo the move when there is data already.
sync "${PGDATA%/*}"
echo "airq-database: the new database is whole, and starts"
kill "$PPID"
