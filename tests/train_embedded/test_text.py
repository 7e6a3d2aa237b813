"""The text stage learns within a few steps, resumes, and writes parts that the pipeline's own classes load."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from fastvideo.models.ltx2.connectors import TextConnectors, TextConnectorsConfig
from fastvideo.models.ltx2.loader import TEXT_ENCODER_FOLDER, split_key
from fastvideo.models.ltx2.text_encoder import GemmaTextEncoder
from scripts.train_embedded.text import (
    FILE_NAME,
    accuracies,
    contexts_of,
    load_text,
    reading_losses,
    readings,
    report,
    token_batch,
    tokenizer_of,
    train_text,
)
from scripts.train_embedded.text_batches import caption_batch, held_out_batch
from scripts.train_embedded.text_model import TextModel, places_of
from scripts.train_embedded.text_sizes import TEXT_TOKENS, TEXT_WIDTH, text_section
from scripts.train_embedded.text_targets import ATTRIBUTES
from scripts.train_embedded.training import Plan

# The norms' kernels on a CPU have no fused form for mixed types, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
PLAN = Plan("text", 30, 3e-3, warmup_steps=5, snapshot_every_steps=10)
BATCH = 16
CAPTIONS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    train_text(PLAN, BATCH, folder, tokenizer_captions=CAPTIONS)
    return folder


def test_text_encoder_and_connectors_are_small(folder: Path) -> None:
    assert sum(file.stat().st_size for file in (folder / TEXT_ENCODER_FOLDER).iterdir()) < 1_300_000
    assert (folder / FILE_NAME).stat().st_size < 1_000_000


def test_the_part_has_official_names_and_its_section(folder: Path) -> None:
    with safe_open(folder / FILE_NAME, framework="pt") as file:
        assert json.loads(file.metadata()["transformer"]) == text_section()
        assert {split_key(key)[0] for key in file.keys()} == {"connectors"}  # type: ignore[index]  # noqa: SIM118


def test_a_few_steps_teach_something(folder: Path) -> None:
    tokenizer = tokenizer_of(0, CAPTIONS)
    torch.manual_seed(0)
    fresh = TextModel(len(tokenizer))
    trained = train_text(PLAN, BATCH, folder, tokenizer_captions=CAPTIONS)
    batch = caption_batch(0, 10**6, 64)
    with torch.no_grad():
        tokens = token_batch(tokenizer, batch.captions)
        before, after = (
            float(reading_losses(model, model.contexts(*tokens), batch.targets)["loss"]) for model in (fresh, trained)
        )
    assert after < 0.75 * before


def test_an_interrupted_run_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    train_text(PLAN, BATCH, tmp_path, tokenizer_captions=CAPTIONS, stop_at=10)
    train_text(PLAN, BATCH, tmp_path, tokenizer_captions=CAPTIONS)
    for whole, resumed in zip(load_text(folder)[1].parameters(), load_text(tmp_path)[1].parameters(), strict=True):
        assert torch.equal(whole, resumed)
    name = f"{TEXT_ENCODER_FOLDER}/model.safetensors"
    assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_contexts_are_the_pipeline_s_at_the_cost_of_the_longest_caption(folder: Path) -> None:
    encoder, connectors = load_text(folder)
    captions = ["A red ball bounces on a blue background.", "now it turns green"]
    with torch.inference_mode():
        expected = connectors(*encoder.encode(captions))
    for mine, its in zip(contexts_of(encoder, connectors, captions), expected, strict=True):
        assert mine.shape == (2, TEXT_TOKENS, TEXT_WIDTH)
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-3)


def test_training_sees_the_tokens_that_the_pipeline_sees(folder: Path) -> None:
    encoder = GemmaTextEncoder.from_folder(folder / TEXT_ENCODER_FOLDER)
    captions = ["A red ball bounces on a blue background.", "now it turns green"]
    ids, mask = token_batch(tokenizer_of(0, CAPTIONS), captions)
    expected_ids, expected_mask = encoder.tokens(captions, length=ids.shape[1])
    assert torch.equal(ids, expected_ids)
    assert torch.equal(mask, expected_mask)


def test_readings_are_judged_in_both_contexts() -> None:
    right = torch.full((2, len(ATTRIBUTES)), 1)
    wrong = right.clone()
    wrong[0, 0] = 0
    targets = right.clone()
    shares = accuracies((right, wrong), targets)
    assert (shares["topic"], shares["things"], shares["all"]) == (0.5, 1.0, 0.5)


def test_the_report_names_attributes_and_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = train_text(PLAN, BATCH, folder, tokenizer_captions=CAPTIONS)
    report(model, folder, 0, captions=20)
    out = capsys.readouterr().out
    assert "captions of held-out scenes: topic" in out
    assert "mistakes" in out
    assert readings(model, folder, held_out_batch(0, 4, own=True).captions)[0].shape == (4, len(ATTRIBUTES))


def test_readers_look_at_registers_that_no_caption_reaches() -> None:
    context = torch.arange(TEXT_TOKENS).float()[None, :, None].expand(1, TEXT_TOKENS, TEXT_WIDTH)
    own, joint = places_of(context)
    places = [int(place[0, 0]) for place in [*own, *joint]]
    assert len(own) == len(ATTRIBUTES)
    assert len(set(places)) == len(places)
    assert min(places) == TEXT_TOKENS - len(places) >= TEXT_TOKENS // 2


def test_connectors_with_a_low_base_tell_the_order_of_words() -> None:
    torch.manual_seed(0)
    config = TextConnectorsConfig.from_metadata(text_section())
    connectors = TextConnectors(replace(config, num_text_hidden_states=4))
    words = torch.randn(1, TEXT_TOKENS, TEXT_WIDTH, 4)
    mask = torch.zeros(1, TEXT_TOKENS, dtype=torch.int64)
    mask[:, -12:] = 1
    swapped = words.clone()
    swapped[:, [-3, -4]] = words[:, [-4, -3]]

    def last_register(hidden_states: Tensor) -> Tensor:
        context: Tensor = connectors(hidden_states, mask)[0][0, -1]
        return context

    with torch.no_grad():
        for parameter in connectors.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
        apart = (last_register(words) - last_register(swapped)).abs().max()
    assert float(apart) > 1e-3
