#!/usr/bin/env bash
set -euo pipefail
echo "Building the manifest"
node build.js
echo "Running the tests once"
node --test
date -u +%FT%TZ >> "$HOME/setup-runs.log"
