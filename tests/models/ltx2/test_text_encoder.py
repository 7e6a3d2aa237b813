import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextModel

from fastvideo.api.errors import CheckpointError
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from fastvideo.models.ltx2.tiny import write_tiny_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny")).parent / "text_encoder"


@pytest.fixture(scope="module")
def encoder(folder: Path) -> GemmaTextEncoder:
    return GemmaTextEncoder.from_folder(folder)


def test_prompts_are_stripped_begin_with_bos_end_without_eos_and_are_padded_on_the_left(
    encoder: GemmaTextEncoder,
) -> None:
    ids, mask = encoder.tokens(["  ab \n", "abc"], length=6)
    bos, padding = 2, 0
    assert ids[0, :3].tolist() == [padding] * 3
    assert ids[0, 3] == ids[1, 2] == bos
    assert ids[0, 4:].tolist() == ids[1, 3:5].tolist()
    assert mask.tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]]


def test_a_long_prompt_loses_its_end(encoder: GemmaTextEncoder) -> None:
    ids, mask = encoder.tokens(["abcdefgh"], length=4)
    assert torch.equal(ids[0, 1:], encoder.tokens(["abc"], length=4)[0][0, 1:])
    assert mask.tolist() == [[1, 1, 1, 1]]


def test_an_empty_prompt_is_bos_alone(encoder: GemmaTextEncoder) -> None:
    ids, mask = encoder.tokens(["   "], length=3)
    assert ids.tolist() == [[0, 0, 2]]
    assert mask.tolist() == [[0, 0, 1]]


def test_prompts_are_padded_to_what_the_tokenizer_was_made_for(encoder: GemmaTextEncoder) -> None:
    assert encoder.max_tokens == 256
    assert encoder.tokens(["a"])[0].shape == (1, 256)


def test_all_hidden_states_are_stacked_last(encoder: GemmaTextEncoder) -> None:
    hidden_states, mask = encoder.encode(["a prompt", "another"], length=16)
    assert hidden_states.shape == (2, 16, encoder.hidden_size, encoder.num_hidden_states)
    assert mask.shape == (2, 16)
    ids, _ = encoder.tokens(["a prompt", "another"], length=16)
    with torch.inference_mode():
        model: Any = encoder.model
        expected = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    assert all(torch.equal(hidden_states[..., index], state) for index, state in enumerate(expected))


def test_the_hidden_states_of_a_prompt_do_not_depend_on_its_neighbours(encoder: GemmaTextEncoder) -> None:
    alone, mask = encoder.encode(["a prompt"], length=16)
    beside, _ = encoder.encode(["a prompt", "a longer prompt"], length=16)
    torch.testing.assert_close(alone[0][mask[0].bool()], beside[0][mask[0].bool()], atol=1e-5, rtol=0)


def test_the_inner_model_is_taken_out_of_a_whole_gemma(folder: Path, encoder: GemmaTextEncoder, tmp_path: Path) -> None:
    """Published folders hold vision tower and LM head too; their text model's hidden states are the same."""
    text_config = Gemma3TextModel.from_pretrained(str(folder)).config
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    whole = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text_config, vision_config=vision, mm_tokens_per_image=4)
    )
    whole.model.language_model.load_state_dict(encoder.model.state_dict())
    whole.save_pretrained(str(tmp_path))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    taken = GemmaTextEncoder.from_folder(tmp_path)
    assert isinstance(taken.model, Gemma3TextModel)
    assert torch.equal(taken.encode(["a prompt"])[0], encoder.encode(["a prompt"])[0])


def copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_missing_weights_are_named(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = copied(folder, tmp_path / "broken")
    tensors = load_file(str(broken / "model.safetensors"))
    del tensors["layers.1.mlp.up_proj.weight"]
    save_file(tensors, str(broken / "model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj\.weight"):
        GemmaTextEncoder.from_folder(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "llama"}'), "'llama'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot load"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot load"),
    ],
)
def test_a_folder_that_is_not_complete_is_a_sentence(folder: Path, tmp_path: Path, change: Any, message: str) -> None:
    broken = copied(folder, tmp_path / "broken")
    change(broken)
    with pytest.raises(CheckpointError, match=message):
        GemmaTextEncoder.from_folder(broken)


def test_a_missing_folder_says_where_the_text_encoder_belongs(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="text_encoder_weights"):
        GemmaTextEncoder.from_folder(tmp_path / "none")


def test_a_tokenizer_without_bos_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = copied(folder, tmp_path / "broken")
    config = json.loads((broken / "tokenizer_config.json").read_text())
    config.pop("bos_token")
    (broken / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="BOS"):
        GemmaTextEncoder.from_folder(broken)
