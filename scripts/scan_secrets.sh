#!/bin/sh
# Looks for keys and passwords in the files that git tracks; `make lint` runs it. What it takes for one and is none
# stands in .secrets.baseline: `detect-secrets scan --baseline .secrets.baseline` adds to it, `detect-secrets audit`
# says of each what it is. Left out: what tools write, full of hashes.
set -eu
cd "$(dirname "$0")/.."
BIN=${1:+$1/}
git ls-files -z -- . ':!requirements/*.txt' ':!docs/benchmarks' ':!*.png' ':!.secrets.baseline' |
  xargs -0 "${BIN}detect-secrets-hook" --no-verify --baseline .secrets.baseline
