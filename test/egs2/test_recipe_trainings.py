"""Every recipe's ASR training passes ESPnet's own parser and makes model, optimizer, scheduler.

(The entropy LMs': test_lm_task.py. It imports ESPnet's task: one process.)
"""

import inspect
from pathlib import Path

import pytest
import torch

from espnet_entropy.evaluation.training_estimate import Corpus, training_model
from espnet_entropy.utils.config import read_yaml

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s
ROOT = Path(__file__).resolve().parents[2]
PLACES = ("egs2/*", "tools/recipe_template/asr1/egs2/*")
CONFIGS = [
    path for place in PLACES for path in sorted(ROOT.glob(f"{place}/asr1/conf/train_asr*.yaml"))
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_recipe_configurations_build(config, tmp_path):
    from espnet_entropy.tasks.asr import UnitASRTask
    from espnet_entropy.tasks.schedulers import scheduler_classes

    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\n<unk>\na\n<sos/eos>\n")
    words = ["--config", str(config), "--token_list", str(tokens), "--output_dir", str(tmp_path)]
    args = UnitASRTask.get_parser().parse_args(words)  # refuses keys that ESPnet does not know
    assert (args.frontend, args.optim, args.scheduler) == ("units", "adamw", "warmupcosinelr")
    with torch.device("meta"):  # shapes without memory: some have 100 M parameters
        model = training_model(read_yaml(config), Corpus(1.0, vocabulary=20), str(config))
    assert sum(p.numel() for p in model.parameters()) > 1e6
    assert args.optim_conf.keys() <= inspect.signature(torch.optim.AdamW).parameters.keys()
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler_classes[args.scheduler](optimizer, **args.scheduler_conf)
