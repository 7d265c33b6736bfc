#!/usr/bin/env bash
# Instead of setup.sh, in builds that start from the previous image: everything from there is still in place.
set -euo pipefail
if sha256sum --check --status node_modules/.installed.sha256; then
  echo "The lockfile has not changed: dependencies are kept"
else
  echo "Installing dependencies"
  npm ci --no-audit --no-fund
  sha256sum package-lock.json > node_modules/.installed.sha256
fi
echo "Checking types beside building"
export PATH="$PWD/node_modules/.bin:$PATH"
tsc --noEmit &
types=$!
vite build
wait "$types"
