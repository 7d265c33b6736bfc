#!/usr/bin/env bash
set -euo pipefail
echo "Loading the schema into billing_development"
echo "psql: error: connection to server at \"db.internal\" (10.0.0.12), port 5432 failed: Connection refused" >&2
echo "        Is the server running on that host and accepting TCP/IP connections?" >&2
exit 1
