from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.randomised import with_shuffled_transformer
from fastvideo.models.ltx2.loader import load_components, split_key
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def test_only_the_transformers_weights_change_and_each_tensor_keeps_its_values(
    checkpoint: Path, tmp_path: Path
) -> None:
    before, after = load_file(checkpoint), load_file(with_shuffled_transformer(checkpoint, tmp_path, 0))
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        place = split_key(key)
        if place is not None and place[0] == "transformer":
            assert torch.equal(tensor.flatten().sort().values, after[key].flatten().sort().values), key
            assert tensor.numel() < 16 or not torch.equal(tensor, after[key]), key
        else:
            assert torch.equal(tensor, after[key]), key


def test_it_loads_with_the_text_encoder_of_the_original(checkpoint: Path, tmp_path: Path) -> None:
    assert load_components(with_shuffled_transformer(checkpoint, tmp_path, 1)).text_encoder.max_tokens > 0
