#!/usr/bin/env bash
set -euo pipefail
echo "Installing dependencies"
npm ci --no-audit --no-fund
echo "Building"
npm run build
# One line per run: shows later that a session did not run setup again.
date -u +%FT%TZ >> "$HOME/setup-runs.log"
