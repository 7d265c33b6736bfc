#!/usr/bin/env bash
set -euo pipefail
echo "Installing dependencies"
npm ci --no-audit --no-fund
# What refresh.sh looks at: dependencies are installed again when this does not fit any more.
sha256sum package-lock.json > node_modules/.installed.sha256
echo "Building"
npm run build
# Once now, so that the agent's first run finds the caches warm.
echo "Testing"
npm test
# One line per run: shows later that a session did not run setup again.
date -u +%FT%TZ >> "$HOME/setup-runs.log"
