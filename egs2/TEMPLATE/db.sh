# Where corpora lie. A site's own places go to db.local.sh beside this file (git-ignored), or into
# the environment: SPEECHOCEAN762=/data/speechocean762 ./run.sh
shared="${root:?source path.sh first}/../shared/data"
: "${SPEECHOCEAN762:=${shared}/speechocean762}" # OpenSLR 101
: "${MBOSHI_FRENCH:=${shared}/mboshi}"          # github.com/besacier/mboshi-french-parallel-corpus
: "${LJSPEECH_MINI:=${shared}/ljspeech_mini}"   # 32 clips of LJSpeech with MFA alignments
: "${LIBRISPEECH:=${shared}/librispeech}"       # OpenSLR 12 (mini: 31); --download true puts it there
: "${MLS_EN:=${shared}/mls_en}"                 # OpenSLR 94, English; likewise
: "${LIBRIVOX_SMOKE:=${shared}/librivox_smoke}" # 9 clips of audiobooks
: "${LJSPEECH:=${shared}/ljspeech}"             # keithito.com/LJ-Speech-Dataset
if [ -f "${root}/egs2/TEMPLATE/db.local.sh" ]; then
    . "${root}/egs2/TEMPLATE/db.local.sh"
fi
export SPEECHOCEAN762 MBOSHI_FRENCH LJSPEECH_MINI LIBRIVOX_SMOKE LIBRISPEECH MLS_EN LJSPEECH
