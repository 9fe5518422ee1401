#!/usr/bin/env bash
# The model directory of this recipe becomes one that comes with the toolkit: local/ship.sh [NAME], from units1.
set -euo pipefail
to=../../../espnet_entropy/models/${1:-mini_hubert}
for file in exp/compressor/model.yaml exp/calibration/rates.txt ../ssl1/exp/units/model/README.md; do
    if [ ! -f "${file}" ]; then
        echo "ship.sh: no ${file}: run ../ssl1 and this recipe first; ${to} is left as it is" >&2
        exit 1
    fi
done
rm -rf "${to}"
cp -r exp/compressor "${to}"
{
    cat exp/compressor/README.md
    printf '\n## Rates on other sets\n\nGroups per second with the thresholds of this directory:\n\n```\n'
    grep -E '^(criterion|global|planned_center100|uniform) ' exp/calibration/rates.txt
    printf '```\n\n'
    sed 's/^#/##/' ../ssl1/exp/units/model/README.md
} > "${to}/README.md"
