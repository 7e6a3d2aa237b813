"""Stage 5: trains the transformer by flow matching on the encoded samples, first and continued segments alike.

python -m scripts.train_embedded.flow --folder outputs/embedded

Needs the text stage and the shards of the latents stage; a shard that is not there yet is waited for.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from fastvideo.models.ltx2.loader import official_key, split_key
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig
from scripts.train_embedded.low_precision import LowPrecision
from scripts.train_embedded.sample_store import Samples
from scripts.train_embedded.sizes import SIGMAS, transformer_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.text import contexts_of, load_text
from scripts.train_embedded.text_sizes import text_section
from scripts.train_embedded.training import Plan, Team, native_dtype, train
from scripts.train_embedded.velocity_loss import AUDIO_WEIGHT, velocity_losses

FILE_NAME = "transformer.safetensors"
# Trained on data alone, the later steps of sampling make nothing better: what they are given at run time is what the
# earlier ones made, and not a mixture of noise and the right answer.
DATA_SHARE = 0.4
_AT_ONCE_ON_CPU = 4
# The last layers of residual branches, and what turns timesteps into modulation.
_BEGIN_AT_ZERO = (".to_out.0.weight", ".net.2.weight", "single.linear.weight")


@torch.no_grad()
def initialise(model: LTX2Transformer, seed: int) -> None:
    """Branches that add nothing at first, open gates, and an output that hands through what came in.

    A velocity holds all of the noise that came in: in a narrow stream, random branches would bury it, and thousands of
    steps would go by before it was found again.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1)
        elif parameter.ndim < 2 or name.endswith(_BEGIN_AT_ZERO) or "scale_shift_table" in name:
            parameter.zero_()
        else:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.shape[1] ** -0.5)
    for name, parameter in model.named_parameters():
        if name.endswith("scale_shift_table") and parameter.shape[0] == 6:
            parameter[2], parameter[5] = 1, 1
        elif "scale_shift_table_a2v" in name:
            parameter[4] = 1
        elif name.endswith((".to_q.bias", ".to_k.bias")):
            # A constant part of queries and keys: attention that looks by distance alone from the first step on.
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    for into, out in ((model.patchify_proj, model.proj_out), (model.audio_patchify_proj, model.audio_proj_out)):
        out.weight.copy_(torch.linalg.pinv(into.weight))


def train_flow(
    section: dict[str, Any],
    samples: int,
    batch_size: int,
    plan: Plan,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    stop_at: int | None = None,
    start_from: Path | None = None,
    compiled: bool = False,
    silent: bool = False,
    data_share: float = DATA_SHARE,
) -> LTX2Transformer:
    """Trains from the last snapshot in ``folder`` and writes the transformer's tensors.

    ``silent`` trains on pictures alone, before there is a sound VAE; the same run can go on with sound.
    The first ``data_share`` (0..1) of the run is on noisy data, the rest along the model's own steps.
    """
    text_encoder, connectors = load_text(folder)
    text_encoder.model.to(device)
    connectors.to(device)
    model = LTX2Transformer(LTX2TransformerConfig.from_metadata(section))
    initialise(model, plan.seed)
    if start_from is not None:
        load_transformer(model, start_from)
    model.to(device)
    run = LowPrecision(model, dtype, compiled=compiled)
    team = Team.join()
    share = batch_size // team.size
    store = Samples(folder, samples, model.config.audio_in_channels if silent else None)
    loss_of = partial(velocity_losses, run, audio_weight=0 if silent else AUDIO_WEIGHT)

    def losses_at(step: int) -> dict[str, Tensor]:
        run.follow()
        sigmas = None if step < data_share * plan.steps else SIGMAS
        batch = store.batch(step, 2 * step / plan.steps, batch_size, plan.seed)
        generator = torch.Generator().manual_seed((plan.seed * 7_000_003 + step) * team.size + team.rank)
        parts = []
        # On a CPU what fits into its caches is computed in half the time.
        at_once = _AT_ONCE_ON_CPU if device.type == "cpu" else share
        for first in range(0, share, at_once):
            part = batch.part(team.rank * share + first, team.rank * share + min(first + at_once, share))
            contexts = contexts_of(text_encoder, connectors, part.captions)
            parts.append(loss_of(part, contexts, generator, sigmas=sigmas))
        return {name: torch.stack([losses[name] for losses in parts]).mean() for name in parts[0]}

    average = train(model, losses_at, plan, folder, stop_at=stop_at, team=team)
    model.load_state_dict(average)
    model.eval()
    if team.rank:
        return model
    tensors = {official_key("transformer", name): tensor for name, tensor in model.state_dict().items()}
    write_tensors(folder / FILE_NAME, tensors, {"transformer": json.dumps(section)})
    return model


def load_transformer(model: LTX2Transformer, file: Path) -> None:
    """The tensors that :func:`train_flow` wrote to ``file``, or those of a whole checkpoint."""
    with safe_open(file, framework="pt") as tensors:
        places = {key: split_key(key) for key in tensors.keys()}  # noqa: SIM118
        model.load_state_dict(
            {place[1]: tensors.get_tensor(key) for key, place in places.items() if place and place[0] == "transformer"}
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with the text, the shards; gets the snapshot")
    parser.add_argument("--samples", type=int, default=8192, help="samples that the latents stage makes (default 8192)")
    parser.add_argument("--steps", type=int, default=20000, help="length of the run (default 20000)")
    parser.add_argument("--batch", type=int, default=16, help="samples a step (default 16)")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate (default 0.0015)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and noise (default 0)")
    parser.add_argument("--from", dest="start_from", type=Path, help="trained weights to begin with")
    parser.add_argument(
        "--data-share",
        type=float,
        default=DATA_SHARE,
        help=f"of the run that is on noisy data, before the model's own steps (default {DATA_SHARE})",
    )
    parser.add_argument("--silent", action="store_true", help="pictures alone; go on without this for sound")
    parser.add_argument("--compile", action="store_true", help="fuse operations: 2 minutes first, then faster steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    train_flow(
        transformer_section(text=text_section()),
        arguments.samples,
        arguments.batch,
        Plan("transformer", arguments.steps, arguments.rate, arguments.seed),
        arguments.folder,
        device,
        native_dtype(device),
        start_from=arguments.start_from,
        compiled=arguments.compile,
        silent=arguments.silent,
        data_share=arguments.data_share,
    )


if __name__ == "__main__":
    main()
