#!/bin/sh
# Lays what the fuzzer learned, and every plan of this repository, into its corpus.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/compile
if [ -f corpus.tar.gz ]; then tar xzf corpus.tar.gz -C corpus; fi
for plan in ../examples/*.yaml ../plans/*/plan.yaml ../tests/broken/*.yaml; do
    cp "$plan" "corpus/compile/$(echo "$plan" | sed 's|^\.\./||; s|[/.]|-|g')"
done
