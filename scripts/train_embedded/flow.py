"""Stage 5: trains the transformer by flow matching on the encoded samples, first and continued segments alike.

python -m scripts.train_embedded.flow --folder outputs/embedded

Needs the text stage and the shards of the latents stage; a shard that is not there yet is waited for.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from fastvideo.models.ltx2.loader import official_key, split_key
from fastvideo.models.ltx2.rope import audio_positions, video_positions
from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput
from fastvideo.pipelines.basic.ltx2.segment_plan import SegmentPlan
from scripts.train_embedded.latents import SHARD_SAMPLES, SIZE_PX, STREAMS, read_pictures, read_sounds, shard_path
from scripts.train_embedded.samples import CAPTIONS, plans
from scripts.train_embedded.sizes import SIGMAS, transformer_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.text import contexts_of, load_text
from scripts.train_embedded.text_sizes import text_section
from scripts.train_embedded.training import Plan, Team, native_dtype, train
from scripts.train_embedded.world.lexicon import KINDS, MOTIONS
from scripts.train_embedded.world.scene import Kind, Motion

FILE_NAME = "transformer.safetensors"
# Trained on data alone, the later steps of sampling make nothing better: what they are given at run time is what the
# earlier ones made, and not a mixture of noise and the right answer.
DATA_SHARE = 0.4
_SPATIAL_SCALE = 32
# How many samples a run begins with, and after how many steps it has all of them: shards may still be in the making.
_FIRST_SHARDS = 4
# Pure noise is where a segment's content is decided.
_PURE_NOISE_SHARE = 0.5
# Of first segments and of later ones, which are most of a stream, and harder: what is there has to be recognised first.
_SHARES = (0.35, 0.65)
# What takes longest to learn, by the words for it, and how much more often such samples are drawn: outlines with many
# corners, and those that turn.
_HARD = (
    KINDS[Kind.STAR],
    tuple(form for verb in MOTIONS[Motion.SPIN] for form in (verb.infinitive(), verb.finite(), verb.gerund())),
)
_HARD_WEIGHT = 2.0
_AUDIO_WEIGHT = 0.6
# Noise on what a segment continues, in deviations of the latents: at run time that is generated, and not perfect.
_GIVEN_NOISE = 0.1
_AT_ONCE_ON_CPU = 4
# The last layers of residual branches, and what turns timesteps into modulation.
_BEGIN_AT_ZERO = (".to_out.0.weight", ".net.2.weight", "single.linear.weight")


@dataclass(frozen=True)
class Batch:
    """Clean tokens of B samples of one kind, video [B, N, C] and audio [B, M, C'], and their captions."""

    plan: SegmentPlan
    video: Tensor
    audio: Tensor
    captions: list[str]

    def part(self, first: int, last: int) -> Batch:
        return replace(
            self, video=self.video[first:last], audio=self.audio[first:last], captions=self.captions[first:last]
        )


class Samples:
    """The shards of a folder, first segments and later ones apart, of which more are taken in as training goes on."""

    def __init__(self, folder: Path, count: int, silent_channels: int | None = None) -> None:
        """``silent_channels`` reads no sound at all, and gives zeros with that many channels instead."""
        self._folder = folder
        self._silent_channels = silent_channels
        self._shards = -(-count // SHARD_SAMPLES)
        self._read = 0
        self._kinds: tuple[list[tuple[Tensor, Tensor, list[str]]], ...] = ([], [])
        self._weights: tuple[list[float], ...] = ([], [])
        self._plans = plans(2)

    def batch(self, step: int, share: float, size: int, seed: int) -> Batch:
        """The batch of a step, of samples among the first ``share`` (0..1) of all. Waits for missing shards."""
        self._take_in(min(self._shards, _FIRST_SHARDS + int(share * self._shards)))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        shares = torch.tensor(_SHARES) * torch.tensor([bool(kind) for kind in self._kinds])
        kind = int(torch.multinomial(shares, 1, generator=generator))
        chosen = torch.tensor(self._weights[kind]).multinomial(size, replacement=True, generator=generator).tolist()
        wording = torch.randint(CAPTIONS, (size,), generator=generator).tolist()
        rows = [self._kinds[kind][place] for place in chosen]
        return Batch(
            self._plans[kind],
            torch.stack([video for video, _, _ in rows]).float(),
            torch.stack([audio for _, audio, _ in rows]).float(),
            [captions[which] for (_, _, captions), which in zip(rows, wording, strict=True)],
        )

    def _take_in(self, shards: int) -> None:
        while self._read < shards:
            silent = self._silent_channels
            for stream in STREAMS if silent is None else STREAMS[:1]:
                _wait_for(shard_path(self._folder, stream, self._read))
            video, captions, places = read_pictures(self._folder, self._read)
            kinds = [min(place, 1) for place in places]
            if silent is None:
                audio = read_sounds(self._folder, self._read)
            else:
                audio = [torch.zeros(self._plans[kind].audio_latents, silent) for kind in kinds]
            for kind, *row in zip(kinds, video, audio, captions, strict=True):
                self._kinds[kind].append(tuple(row))
                self._weights[kind].append(_weight(row[-1]))
            self._read += 1


def _weight(captions: Sequence[str]) -> float:
    text = " ".join(captions).lower()
    return 1 + _HARD_WEIGHT * sum(any(word in text for word in words) for words in _HARD)


def _wait_for(path: Path) -> None:
    if not path.exists():
        print(f"flow: waits for {path} of the latents stage", flush=True)
    while not path.exists():
        time.sleep(2)


class LowPrecision:
    """A model computed by a twin in another type: the twin's weights follow, and its gradients reach the model's.

    ``compiled`` fuses each block's small operations, which pays on long runs: the first steps take minutes.
    """

    def __init__(self, model: LTX2Transformer, dtype: torch.dtype, *, compiled: bool = False) -> None:
        self._model = model
        self._twin = deepcopy(model).to(dtype)
        self._pairs = list(zip(model.parameters(), self._twin.parameters(), strict=True))
        for own, other in self._pairs:
            other.register_post_accumulate_grad_hook(partial(_hand_over, own))
        if compiled:
            blocks = self._twin.transformer_blocks
            for number, block in enumerate(blocks):
                blocks[number] = cast(nn.Module, torch.compile(block, dynamic=True))

    def follow(self) -> None:
        """Takes over the model's weights, before each step."""
        with torch.no_grad():
            for own, other in self._pairs:
                other.copy_(own)

    def __call__(self, video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        on_cpu = video.latents.device.type == "cpu"
        with plain_attention() if on_cpu else nullcontext():
            out: tuple[Tensor, Tensor] = self._twin(video, audio)
        return out


def _hand_over(own: nn.Parameter, other: Tensor) -> None:
    assert other.grad is not None
    own.grad = other.grad.to(own.dtype)
    other.grad = None


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention as two matrix products: on CPUs, in bfloat16, the fused kernel's backward pass takes twice as long."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1) @ v

    fused = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused


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


def noise_levels(count: int, generator: torch.Generator) -> Tensor:
    """Sigmas [count]: often 1, else evenly from the lowest above 0 that sampling visits."""
    pure = torch.rand(count, generator=generator) < _PURE_NOISE_SHARE
    other = SIGMAS[-1] + (1 - SIGMAS[-1]) * torch.rand(count, generator=generator)
    return torch.where(pure, torch.ones(count), other)


@dataclass(frozen=True)
class _Part:
    """One stream of a batch: clean tokens, their noise, [B, N, C], which are not given [N], what stands in those that
    are, how much each token counts [B, N], and what the model takes beside them."""

    clean: Tensor
    noise: Tensor
    mask: Tensor
    kept: Tensor
    weight: Tensor
    positions: Tensor
    context: Tensor

    def input(self, latents: Tensor, sigma: Tensor) -> ModalityInput:
        shown = torch.where(self.mask[:, None] > 0, latents, self.kept)
        return ModalityInput(shown, sigma[:, None] * self.mask, sigma, self.positions, self.context)

    def loss(self, latents: Tensor, sigma: Tensor, velocity: Tensor) -> Tensor:
        """Squared error of velocities, of which (x - x0) / sigma leads back to the clean tokens, per sample [B]."""
        target = (latents - self.clean) / sigma[:, None, None]
        return (self.weight * (velocity.float() - target).square().mean(dim=-1)).mean(dim=-1)


def velocity_losses(
    model: Callable[[ModalityInput, ModalityInput], tuple[Tensor, Tensor]],
    batch: Batch,
    contexts: tuple[Tensor, Tensor],
    generator: torch.Generator,
    *,
    audio_weight: float = _AUDIO_WEIGHT,
    sigmas: Sequence[float] | None = None,
) -> dict[str, Tensor]:
    """Squared errors of the velocities at noisy tokens x, with one sigma a sample for picture and sound, of all that is
    not given: x = (1 - sigma) x0 + sigma eps.

    With ``sigmas``, the levels of a sampling schedule from 1 down, x is instead what sampling has at one of them: the
    model's own steps lead there from noise, and it learns to put right what it got wrong before. Errors count as those
    of x0 over sigma then. A caption of the world says all that there is to see, so there is one right answer.
    """
    video, audio = _parts(batch, contexts, generator)
    size, device = batch.video.shape[0], contexts[0].device
    if sigmas is None:
        sigma = noise_levels(size, generator).to(device)
        reached = [torch.lerp(part.clean, part.noise, sigma[:, None, None]) for part in (video, audio)]
        scale = torch.ones_like(sigma)
    else:
        step = int(torch.randint(len(sigmas), (), generator=generator))
        reached = [video.noise, audio.noise]
        with torch.no_grad():
            for level, following in pairwise(sigmas[: step + 1]):
                sigma = torch.full((size,), level, device=device)
                velocities = model(video.input(reached[0], sigma), audio.input(reached[1], sigma))
                reached = [x + (following - level) * v.float() for x, v in zip(reached, velocities, strict=True)]
        sigma = scale = torch.full((size,), sigmas[step], device=device)
    velocities = model(video.input(reached[0], sigma), audio.input(reached[1], sigma))
    losses = [
        (scale * part.loss(latents, sigma, velocity)).mean()
        for part, latents, velocity in zip((video, audio), reached, velocities, strict=True)
    ]
    return {"loss": losses[0] + audio_weight * losses[1], "video": losses[0], "audio": losses[1]}


def _parts(batch: Batch, contexts: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[_Part, _Part]:
    """Tokens that differ from their clip's mean count more: those are the shapes."""
    plan, device = batch.plan, contexts[0].device
    side = SIZE_PX // _SPATIAL_SCALE
    frames, offset_s = plan.latent_frames, float(plan.position_offset)
    streams = (
        (batch.video, (plan.overlap_frames + 7) // 8 * side * side),
        (batch.audio, plan.audio_context_latents),
    )
    positions = (
        video_positions(frames, side, side, fps=plan.fps, offset_s=offset_s, device=device),
        audio_positions(plan.audio_latents, device=device),
    )
    parts = []
    for (tokens, given), places, context in zip(streams, positions, contexts, strict=True):
        clean = tokens.to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        mask = torch.ones(clean.shape[1], device=device)
        mask[:given] = 0
        kept = clean + _GIVEN_NOISE * torch.rand((len(clean), 1, 1), generator=generator).to(device) * noise
        apart = (clean - clean.mean(dim=1, keepdim=True)).abs().mean(dim=-1)
        apart = 0.5 + apart / apart.mean(dim=1, keepdim=True).clamp(min=1e-6)
        weight = apart * mask / (apart * mask).mean(dim=1, keepdim=True)
        parts.append(_Part(clean, noise, mask, kept, weight, places, context))
    return parts[0], parts[1]


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
    loss_of = partial(velocity_losses, run, audio_weight=0 if silent else _AUDIO_WEIGHT)

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
