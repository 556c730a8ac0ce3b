#!/bin/sh
# Copies every plan of this repository into the fuzzer's corpus.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/compile
for plan in ../examples/*.yaml ../plans/*/plan.yaml ../tests/broken/*.yaml; do
    cp "$plan" "corpus/compile/$(echo "$plan" | sed 's|^\.\./||; s|[/.]|-|g')"
done
