"""Flow matching: what a perfect model would lose, what is given, and that training learns and resumes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput
from scripts.train_embedded import flow
from scripts.train_embedded.latents import SHARD_SAMPLES
from scripts.train_embedded.sample_store import Batch
from scripts.train_embedded.training import Plan
from tests.train_embedded.flow_samples import SECTION, batch_of, write_shards


def test_training_follows_the_caption_resumes_where_it_stopped_and_writes_what_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        """Stands for the trained text: one direction of the context tells the two captions apart."""

        model = torch.nn.Linear(1, 1)

    def read(_encoder: object, _connectors: object, captions: list[str]) -> tuple[Tensor, Tensor]:
        said = torch.tensor([1.0 if caption == "white" else -1.0 for caption in captions])
        return (said[:, None, None].expand(-1, 64, 128),) * 2

    monkeypatch.setattr(flow, "load_text", lambda _folder: (Reader(), torch.nn.Linear(1, 1)))
    monkeypatch.setattr(flow, "contexts_of", read)
    cpu = torch.device("cpu")
    written = []
    for name, steps, stops in (("whole", 6, (None,)), ("parts", 6, (2, None)), ("long", 100, (None,))):
        folder = tmp_path / name
        write_shards(folder, 1)
        plan = Plan("transformer", steps, 1e-2, warmup_steps=2, report_every_steps=100, snapshot_every_steps=100)
        for stop_at in stops:
            model = flow.train_flow(SECTION, SHARD_SAMPLES, 2, plan, folder, cpu, torch.float32, stop_at=stop_at)
        written.append(load_file(folder / flow.FILE_NAME))
    # Sums may be taken in another order where memory lies otherwise.
    torch.testing.assert_close(written[1], written[0], rtol=0, atol=2e-6)
    loaded = LTX2Transformer(LTX2TransformerConfig.from_metadata(SECTION))
    flow.load_transformer(loaded, tmp_path / "long" / flow.FILE_NAME)
    batch = batch_of(0, 2)
    sigma = torch.ones(2)
    noise = torch.randn_like(batch.video)
    with torch.no_grad():
        for network in (model, loaded):
            velocity, _ = network(
                ModalityInput(noise, torch.ones(noise.shape[:2]), sigma, *_place(batch, 0)),
                ModalityInput(batch.audio, torch.ones(batch.audio.shape[:2]), sigma, *_place(batch, 1)),
            )
            clean = (noise - velocity).mean(dim=(1, 2))
            assert clean.tolist() == pytest.approx([1.0, -1.0], abs=0.3)


def _place(batch: Batch, stream: int) -> tuple[Tensor, Tensor]:
    from fastvideo.models.ltx2.rope import audio_positions, video_positions

    said = torch.tensor([1.0, -1.0])[:, None, None].expand(-1, 64, 128)
    positions = video_positions(8, 8, 8, fps=24) if stream == 0 else audio_positions(batch.plan.audio_latents)
    return positions, said
