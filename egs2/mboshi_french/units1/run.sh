#!/usr/bin/env bash
# mboshi_french: Mboshi (Bantu) with French translations, three speakers; train lacks valid's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "dev dev_martial" \
    --boundary_sets dev \
    "$@"
