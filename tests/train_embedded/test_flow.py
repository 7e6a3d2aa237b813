"""Flow matching: what a perfect model would lose, what is given, and that training learns and resumes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fastvideo.models.ltx2.transformer import LTX2Transformer, LTX2TransformerConfig, ModalityInput
from fastvideo.pipelines.basic.ltx2.sigmas import distilled_sigmas
from fastvideo.pipelines.basic.ltx2.stages.ltx2_denoising import euler_step
from scripts.train_embedded import flow
from scripts.train_embedded.flow import Batch, LowPrecision, Samples, initialise, noise_levels, velocity_losses
from scripts.train_embedded.latents import SHARD_SAMPLES, shard_path
from scripts.train_embedded.samples import plans
from scripts.train_embedded.sizes import SIGMAS, transformer_section
from scripts.train_embedded.snapshot import write_tensors
from scripts.train_embedded.text_sizes import text_section
from scripts.train_embedded.training import Plan

VIDEO_CHANNELS, AUDIO_CHANNELS = 4, 8
SECTION = transformer_section(
    layers=1,
    heads=2,
    head_dim=16,
    audio_heads=1,
    audio_head_dim=16,
    latent_channels=VIDEO_CHANNELS,
    audio_channels=AUDIO_CHANNELS,
    text=text_section(),
)


def batch_of(place: int, size: int = 2) -> Batch:
    plan = plans(2)[place]
    generator = torch.Generator().manual_seed(place)
    return Batch(
        plan,
        torch.randn((size, 8 * 64, VIDEO_CHANNELS), generator=generator),
        torch.randn((size, plan.audio_latents, AUDIO_CHANNELS), generator=generator),
        ["a red ball"] * size,
    )


def contexts(size: int = 2) -> tuple[Tensor, Tensor]:
    return torch.zeros((size, 64, 128)), torch.zeros((size, 64, 128))


@pytest.mark.parametrize("place", [0, 1])
def test_the_velocity_that_leads_back_to_the_clean_tokens_loses_nothing(place: int) -> None:
    batch = batch_of(place)

    def perfect(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        def velocity(stream: ModalityInput, clean: Tensor) -> Tensor:
            sigma = stream.sigma[:, None, None]
            return (stream.latents - clean) / sigma

        return velocity(video, batch.video), velocity(audio, batch.audio)

    losses = velocity_losses(perfect, batch, contexts(), torch.Generator().manual_seed(0))
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(
        dict.fromkeys(("loss", "video", "audio"), 0.0), abs=1e-6
    )


def test_what_a_later_segment_continues_is_nearly_clean_has_timestep_0_and_costs_nothing() -> None:
    batch = batch_of(1)
    seen: list[ModalityInput] = []

    def wrong_where_given(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        seen.extend((video, audio))
        velocities = []
        for stream, clean in ((video, batch.video), (audio, batch.audio)):
            right = (stream.latents - clean) / stream.sigma[:, None, None]
            velocities.append(torch.where(stream.timesteps[..., None] > 0, right, torch.full_like(right, 9.0)))
        return velocities[0], velocities[1]

    losses = velocity_losses(wrong_where_given, batch, contexts(), torch.Generator().manual_seed(0))
    assert float(losses["loss"]) == pytest.approx(0, abs=1e-6)
    for stream, clean, given in zip(seen, (batch.video, batch.audio), (2 * 64, 56), strict=True):
        assert (stream.timesteps[:, :given] == 0).all()
        assert torch.equal(stream.timesteps[:, given:], stream.sigma[:, None].expand(-1, clean.shape[1] - given))
        assert float((stream.latents - clean)[:, :given].std()) < 0.15
    assert seen[1].positions.shape[2] == batch.plan.audio_latents
    # The picture begins where the sound has gone on for 1.6 s.
    assert float(seen[0].positions[0, 0, 0, 0]) == pytest.approx(1.6)


def test_along_a_schedule_the_model_meets_what_its_own_steps_lead_to() -> None:
    batch, sigmas = batch_of(1), distilled_sigmas(4)
    seen: list[list[ModalityInput]] = []

    def half_way(video: ModalityInput, audio: ModalityInput) -> tuple[Tensor, Tensor]:
        seen.append([video, audio])
        return 0.5 * video.latents, 0.5 * audio.latents

    generator = torch.Generator().manual_seed(0)
    while len(seen) < 4:
        seen.clear()
        losses = velocity_losses(half_way, batch, contexts(), generator, sigmas=sigmas[:-1])
    for stream in range(2):
        latents = seen[0][stream].latents
        for inputs, sigma, following in zip(seen, sigmas, sigmas[1:], strict=False):
            free = inputs[stream].timesteps[..., None] > 0
            assert inputs[stream].sigma.tolist() == pytest.approx([sigma] * 2)
            torch.testing.assert_close(torch.where(free, inputs[stream].latents, latents), latents)
            clean = latents - sigma * 0.5 * latents
            latents = torch.where(free, euler_step(latents, clean, sigma, following), latents)
    # The last level's velocity, from where it began to the clean tokens; errors count as those of x0 over sigma.
    last, clean = seen[-1][0], batch.video
    free = last.timesteps[0] > 0
    error = (last.latents - sigmas[3] * 0.5 * last.latents - clean).square().mean(dim=-1) / sigmas[3]
    apart = (clean - clean.mean(dim=1, keepdim=True)).abs().mean(dim=-1)
    apart = 0.5 + apart / apart.mean(dim=1, keepdim=True)
    expected = [
        float((one[free] * weight[free]).mean() / weight[free].mean()) for one, weight in zip(error, apart, strict=True)
    ]
    assert float(losses["video"]) == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_noise_levels_are_often_1_and_reach_the_lowest_that_sampling_visits() -> None:
    sigmas = noise_levels(4000, torch.Generator().manual_seed(1))
    assert SIGMAS[-1] <= float(sigmas.min()) < SIGMAS[-1] + 0.01
    assert float(sigmas.max()) == 1
    assert 0.45 < float((sigmas == 1).float().mean()) < 0.55


def test_a_twin_in_low_precision_follows_the_model_and_hands_its_gradients_over() -> None:
    model = LTX2Transformer(LTX2TransformerConfig.from_metadata(SECTION))
    initialise(model, 0)
    run = LowPrecision(model, torch.bfloat16)
    losses = velocity_losses(run, batch_of(0), contexts(), torch.Generator())
    losses["loss"].backward()  # type: ignore[no-untyped-call]
    gradient = model.proj_out.weight.grad
    assert gradient is not None
    assert gradient.dtype is torch.float32
    assert float(gradient.abs().max()) > 0
    with torch.no_grad():
        model.proj_out.weight.sub_(gradient)
    run.follow()
    after = velocity_losses(run, batch_of(0), contexts(), torch.Generator())
    assert float(after["video"].detach()) != float(losses["video"].detach())


def test_plain_attention_is_the_fused_one() -> None:
    q, k, v = torch.randn(3, 2, 4, 32, 16)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    with flow.plain_attention():
        plain = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(plain, fused)


def write_shards(folder: Path, count: int) -> None:
    """Shards whose clips have one of two colours, as their captions say."""
    generator = torch.Generator().manual_seed(0)
    known = plans(2)
    for number in range(count):
        places = [place % 2 for place in range(SHARD_SAMPLES)]
        signs = torch.randint(2, (SHARD_SAMPLES,), generator=generator) * 2 - 1
        video = signs[:, None, None] * torch.ones(SHARD_SAMPLES, 8 * 64, VIDEO_CHANNELS)
        audio = {
            str(place): (float(signs[place]) * torch.ones(known[places[place]].audio_latents, AUDIO_CHANNELS)).half()
            for place in range(SHARD_SAMPLES)
        }
        captions = [["white" if sign > 0 else "black"] * 8 for sign in signs.tolist()]
        metadata = {"captions": json.dumps(captions), "places": json.dumps(places), "seed": "0"}
        write_tensors(shard_path(folder, "video", number), {"video": video.half()}, metadata)
        write_tensors(shard_path(folder, "audio", number), audio, {"seed": "0"})


def test_what_takes_longest_to_learn_is_drawn_more_often(tmp_path: Path) -> None:
    known = plans(2)
    captions = ["a star spins", "a white star", "the ball turns green", "a ball"] * (SHARD_SAMPLES // 4)
    video = torch.arange(SHARD_SAMPLES).remainder(4)[:, None, None].expand(-1, 8 * 64, VIDEO_CHANNELS)
    metadata = {
        "captions": json.dumps([[caption] * 8 for caption in captions]),
        "places": json.dumps([0] * SHARD_SAMPLES),
        "seed": "0",
    }
    write_tensors(shard_path(tmp_path, "video", 0), {"video": video.half()}, metadata)
    sound = torch.zeros(known[0].audio_latents, AUDIO_CHANNELS)
    audio = {str(place): sound.clone() for place in range(SHARD_SAMPLES)}
    write_tensors(shard_path(tmp_path, "audio", 0), audio, {"seed": "0"})
    samples = Samples(tmp_path, SHARD_SAMPLES)
    drawn = torch.cat([samples.batch(step, 1.0, 50, seed=0).video[:, 0, 0] for step in range(40)])
    shares = drawn.long().bincount(minlength=4) / len(drawn)
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.1, 0.1], abs=0.04)


def test_batches_are_of_one_kind_and_depend_on_the_step_alone(tmp_path: Path) -> None:
    write_shards(tmp_path, 2)
    samples = Samples(tmp_path, 2 * SHARD_SAMPLES)
    batches = [samples.batch(step, 1.0, 4, seed=0) for step in range(20)]
    again = Samples(tmp_path, 2 * SHARD_SAMPLES).batch(7, 1.0, 4, seed=0)
    assert torch.equal(batches[7].video, again.video)
    assert batches[7].captions == again.captions
    assert {batch.plan.overlap_frames for batch in batches} == {0, 9}
    for batch in batches:
        assert batch.audio.shape[1] == batch.plan.audio_latents
        for sign, caption in zip(batch.video[:, 0, 0], batch.captions, strict=True):
            assert caption == ("white" if sign > 0 else "black")


def test_pictures_can_be_learnt_before_there_is_sound(tmp_path: Path) -> None:
    write_shards(tmp_path, 1)
    shard_path(tmp_path, "audio", 0).unlink()
    batch = Samples(tmp_path, SHARD_SAMPLES, AUDIO_CHANNELS).batch(0, 1.0, 4, seed=0)
    assert batch.audio.shape == (4, batch.plan.audio_latents, AUDIO_CHANNELS)
    assert not batch.audio.any()
    losses = velocity_losses(
        lambda video, audio: (torch.zeros_like(video.latents), torch.zeros_like(audio.latents)),
        batch,
        contexts(4),
        torch.Generator(),
        audio_weight=0,
    )
    assert torch.equal(losses["loss"], losses["video"])


def test_training_follows_the_caption_resumes_exactly_and_writes_what_loads(
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
    for name, steps, stops in (("whole", 6, (None,)), ("parts", 6, (2, None)), ("long", 40, (None,))):
        folder = tmp_path / name
        write_shards(folder, 1)
        plan = Plan("transformer", steps, 1e-2, warmup_steps=2, report_every_steps=60, snapshot_every_steps=60)
        for stop_at in stops:
            model = flow.train_flow(SECTION, SHARD_SAMPLES, 2, plan, folder, cpu, torch.float32, stop_at=stop_at)
        written.append(load_file(folder / flow.FILE_NAME))
    assert all(torch.equal(written[1][name], tensor) for name, tensor in written[0].items())
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
