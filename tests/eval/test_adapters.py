"""The optional metrics: what they ask of the packages that they stand for, and what they say when one is absent.

The packages are played by small modules and a program of the same interface, CLIP by a random one of two layers.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fastvideo.api.errors import DependencyMissing, EvaluationError
from fastvideo.eval import create_evaluator, get_metric
from fastvideo.eval.metrics import clip_score

LPIPS = """
import torch

class LPIPS(torch.nn.Module):
    def __init__(self, net, verbose):
        super().__init__()
        assert (net, verbose) == ("alex", False)

    def forward(self, one, other):
        assert one.shape == other.shape == (1, 3, 64, 64)
        assert -1 <= one.min() and one.max() <= 1
        return (one - other).abs().mean().reshape(1, 1, 1, 1)
"""
VBENCH = """#!{python}
import json, pathlib, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert sys.argv[1] == "evaluate" and arguments["--mode"] == "custom_input", sys.argv
videos = list(pathlib.Path(arguments["--videos_path"]).iterdir())
if videos[0].read_bytes() == b"broken":
    sys.exit("cannot decode")
results = pathlib.Path(arguments["--output_path"])
results.mkdir()
dimension = arguments["--dimension"]
answer = {{dimension: [0.625, [{{"video_path": str(videos[0]), "video_results": 0.625}}]]}}
(results / "results_2026_eval_results.json").write_text(json.dumps(answer))
"""


def test_lpips_says_what_to_install():
    if get_metric("lpips").missing() is None:
        pytest.skip("lpips is installed here")
    with pytest.raises(DependencyMissing, match="Install it with: pip install lpips torchvision"):
        create_evaluator("lpips")


def test_lpips_is_asked_for_pairs_of_frames_between_minus_one_and_one(tmp_path, monkeypatch, texture, worn):
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "lpips.py").write_text(LPIPS)
    (modules / "torchvision.py").write_text("")
    monkeypatch.syspath_prepend(modules)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with pytest.raises(DependencyMissing, match=r"needs the weights of AlexNet at .* does not download them"):
        create_evaluator("lpips")
    weights = tmp_path / "torch" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    weights.parent.mkdir(parents=True)
    weights.touch()
    one = texture(2, 64, 64)
    other = worn(one, 9)
    result = create_evaluator("lpips").evaluate(other, one)["lpips"]
    assert result.score == pytest.approx(np.abs(one / 127.5 - other / 127.5).mean(), abs=1e-5)
    assert result.details["frames"] == 2
    sys.modules.pop("lpips", None)


@pytest.fixture
def small_clip(tmp_path: Path) -> str:
    """A folder with a random CLIP and a tokenizer of letters."""
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast

    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (tmp_path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizerFast(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    torch.manual_seed(0)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**layers, "vocab_size": len(words), "bos_token_id": 0, "eos_token_id": 1, "max_position_embeddings": 24}
    config = CLIPConfig(
        text_config=text, vision_config={**layers, "image_size": 32, "patch_size": 8}, projection_dim=16
    )
    folder = tmp_path / "clip"
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_clip_score_is_the_cosine_of_prompt_and_frames(small_clip, texture, sample):
    from transformers import CLIPModel, CLIPTokenizerFast

    frames = texture(3, 40, 48)
    found = clip_score.load("cpu", small_clip)(sample(frames, prompt="a red ball"))
    network, tokenizer = CLIPModel.from_pretrained(small_clip), CLIPTokenizerFast.from_pretrained(small_clip)
    # 32 px of the middle 40 are a resize that both sides do with Pillow; the rest is the library's own arithmetic.
    pixels = torch.from_numpy(np.stack([clip_score._prepared(frame, 32) for frame in frames]))
    with torch.inference_mode():
        logits = network(pixel_values=pixels, **tokenizer(["a red ball"], return_tensors="pt")).logits_per_image
        cosines = logits.squeeze(1) / network.logit_scale.exp()
    assert found.value == pytest.approx(100 * float(cosines.clamp(min=0).mean()), abs=1e-3)
    assert found.details["frames"] == 3
    # A long prompt is cut to what the model takes.
    assert clip_score.load("cpu", small_clip)(sample(frames, prompt="ball " * 50)).value is not None


def test_clip_score_does_not_download_its_model(tmp_path):
    with pytest.raises(DependencyMissing, match="Get it with: hf download nobody/nothing"):
        clip_score.load("cpu", "nobody/nothing")
    with pytest.raises(DependencyMissing, match="does not download it by itself"):
        clip_score.load("cpu", str(tmp_path))


@pytest.fixture
def vbench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of VBench's command line on the PATH; gives the cache folder that belongs to it."""
    programs, cache = tmp_path / "bin", tmp_path / "cache"
    programs.mkdir()
    program = programs / "vbench"
    program.write_text(VBENCH.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(cache))
    return cache


def test_vbench_says_what_to_install_and_which_weights_are_absent(vbench, monkeypatch):
    with pytest.raises(DependencyMissing, match=r"needs .*/musiq_spaq_ckpt-358bb6af.pth, and does not download"):
        create_evaluator("vbench_imaging_quality")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DependencyMissing, match=r"needs the command vbench, which is not on the PATH\. VBench"):
        create_evaluator("vbench_imaging_quality")


def test_vbench_is_run_on_the_file(vbench, tmp_path, texture, video_file):
    weights = vbench / "pyiqa_model" / "musiq_spaq_ckpt-358bb6af.pth"
    weights.parent.mkdir(parents=True)
    weights.touch()
    evaluator = create_evaluator("vbench_imaging_quality")
    path = video_file(tmp_path / "a video; of mine.mkv", texture(3, 16, 16))
    assert evaluator.evaluate(path)["vbench_imaging_quality"].score == 0.625
    with pytest.raises(EvaluationError, match="VBench measures files"):
        evaluator.evaluate(texture(3, 16, 16))
